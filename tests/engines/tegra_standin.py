"""What makes a test's host look like a Jetson, each file a STAND-IN that says so: there is no Tegra here.

    give_tegra(host)                            # before its first start
    host.check("cat", CALLS)                    # "nvpmodel -m 0", "nvidia-container-runtime create", one a line

Stood in for: /etc/nv_tegra_release, the device tree, nvidia-container-runtime (calls runc), nvidia-ctk (writes
daemon.json), nvpmodel, jetson_clocks. The device tree is where the kernel has it, /sys/firmware/devicetree/base; the
link /proc/device-tree cannot be made, since /proc takes no files. The architecture is this machine's, not aarch64.
"""

from __future__ import annotations

from tests.engines.nspawn import Host

MODEL = "NVIDIA Jetson Orin Nano Developer Kit"
L4T = (36, "4.3")
CALLS = "/var/lib/stand-in/calls"
_COMPATIBLE = ("nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234")
_RELEASE = """\
# R{major} (release), REVISION: {revision}, GCID: 38968081, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025
# KERNEL_VARIANT: oot
TARGET_USERSPACE_LIB_DIR=nvidia
TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia
# STAND-IN of a test: this machine is no Jetson
"""
_TOOL = """\
#!/bin/sh
# STAND-IN for {name}, of a test: it notes its calls
mkdir -p /var/lib/stand-in
"""
_NOTE = 'echo "{name} $*" >>/var/lib/stand-in/calls\n'
# -m sets the mode, -q shows it, in nvpmodel's words
_NVPMODEL = """\
mode=/var/lib/stand-in/power-mode
case "$1" in
-m) echo "$2" >"$mode" ;;
-q) now=$(cat "$mode" 2>/dev/null || echo 1); printf 'NV Power Mode: MODE_%s\\n%s\\n' "$now" "$now" ;;
*) echo "this stand-in knows -m and -q alone" >&2; exit 1 ;;
esac
"""
# containerd's shim calls it as it calls runc, and there are many calls that tell nothing
_RUNTIME = """\
case " $* " in *" create "*) echo "nvidia-container-runtime create" >>/var/lib/stand-in/calls ;; esac
exec runc "$@"
"""
_TOOLKIT = """\
#!/usr/bin/python3
# STAND-IN for nvidia-ctk, of a test: it notes its calls, and tells Docker of the runtime
import json
import pathlib
import sys

arguments = sys.argv[1:]
calls = pathlib.Path("/var/lib/stand-in/calls")
calls.parent.mkdir(exist_ok=True)
with calls.open("a") as file:
    file.write("nvidia-ctk " + " ".join(arguments) + "\\n")
if arguments[:2] != ["runtime", "configure"] or "--runtime=docker" not in arguments:
    sys.exit("this stand-in knows `runtime configure --runtime=docker [--set-as-default]` alone")
path = pathlib.Path("/etc/docker/daemon.json")
path.parent.mkdir(exist_ok=True)
settings = json.loads(path.read_text()) if path.exists() else {}
settings.setdefault("runtimes", {})["nvidia"] = {"args": [], "path": "nvidia-container-runtime"}
if "--set-as-default" in arguments:
    settings["default-runtime"] = "nvidia"
path.write_text(json.dumps(settings, indent=4))
"""


def give_tegra(host: Host, model: str = MODEL, l4t: tuple[int, str] = L4T) -> None:
    """The files, before the host's first start. `l4t` is major and revision, as in R36, REVISION 4.3."""
    host.write("/etc/nv_tegra_release", _RELEASE.format(major=l4t[0], revision=l4t[1]))
    tree = host.folder / "device-tree-stand-in"
    tree.mkdir()
    (tree / "model").write_text(f"{model}\0")
    (tree / "compatible").write_text("".join(f"{name}\0" for name in _COMPATIBLE))
    host.options.append(f"--bind-ro={tree}:/sys/firmware/devicetree/base")
    for name, body in (
        ("nvpmodel", _NOTE + _NVPMODEL),
        ("jetson_clocks", _NOTE),
        ("nvidia-container-runtime", _RUNTIME),
    ):
        folder = "/usr/sbin" if name == "nvpmodel" else "/usr/bin"
        host.write(f"{folder}/{name}", _TOOL.format(name=name) + body.replace("{name}", name), 0o755)
    host.write("/usr/bin/nvidia-ctk", _TOOLKIT, 0o755)
