"""arm64 on this machine: qemu (7.2) runs each program, the kernel is this machine's. A host boots in 6 to 15 s.

What qemu's user mode does not do is stood in for, in units that say so: systemd-networkd (its sockets are refused, so
`ip` sets the address) and credentials of systemd's own units (the mounts are refused, and they are empty).

Docker is not to be had on it. dockerd starts only with `iptables: false` ("Failed to initialize nft: Protocol not
supported") and then pulls, but no container starts: "failed to start shim: io.containerd.runc.v2: invalid argument",
with and without seccomp, a network of its own and published ports.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.engines.debian import EDGE_ARM64, root_folder
from tests.engines.engine import missing, wait_until
from tests.engines.nspawn import Host

BOOT_SECONDS = 720  # on a busy machine
POWER_OFF_SECONDS = 180
_QEMU = Path("/usr/libexec/qemu-binfmt/aarch64-binfmt-P")  # the name tells it that P is set
_FORMATS = Path("/proc/sys/fs/binfmt_misc")
_NAME = "visionfleet-aarch64"
# an ELF file for aarch64, of either kind of executable. P: argv[0] is kept, which Docker needs; F: qemu is
# found from inside of every root; C: sudo is root
_MAGIC = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_NETWORK = "stand-in-for-networkd.service"
_NETWORK_UNIT = """
[Unit]
Description=Stand-in for networkd, which qemu cannot run
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip addr add {address}/24 dev host0
ExecStart=/sbin/ip link set host0 up
ExecStart=/sbin/ip route add default via {gateway}
[Install]
WantedBy=multi-user.target
"""
_UNITS_WITH_CREDENTIALS = ("sysctl", "sysusers", "tmpfiles-setup-dev", "tmpfiles-setup")


def arm64_root() -> Path:
    """EDGE_ARM64, and this machine able to run it, as long as it is up. Skips the test where it cannot be."""
    emulate_arm64()
    return root_folder(EDGE_ARM64)


def emulate_arm64() -> None:
    """Have the kernel give arm64 programs to qemu, as Debian's package does where systemd runs."""
    if any("aarch64" in entry.name for entry in _FORMATS.glob("*")):
        return
    if not _QEMU.exists() or os.geteuid() != 0:
        missing("arm64", "apt install qemu-user-static, and run as root")
    if not (_FORMATS / "register").exists():
        subprocess.run(
            ["mount", "-t", "binfmt_misc", "binfmt_misc", str(_FORMATS)],
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
        )
    with suppress(FileExistsError):
        try:
            (_FORMATS / "register").write_text(f":{_NAME}:M::{_MAGIC}:{_MASK}:{_QEMU}:POCF")
        except (FileNotFoundError, PermissionError) as error:
            missing("arm64", f"a kernel with binfmt_misc, and the right to mount it ({error})")


def suit_arm64(host: Host) -> None:
    """Before its first start: what qemu cannot do is done otherwise."""
    host.boot_seconds = BOOT_SECONDS
    host.write(f"/etc/systemd/system/{_NETWORK}", _NETWORK_UNIT.format(address=host.address, gateway=host.gateway))
    wants = "/etc/systemd/system/multi-user.target.wants"
    host.link(f"{wants}/{_NETWORK}", f"../{_NETWORK}")
    for unit in ("systemd-networkd.service", "systemd-networkd.socket", "e2scrub_reap.service"):
        host.link(f"/etc/systemd/system/{unit}", "/dev/null")
    for unit in _UNITS_WITH_CREDENTIALS:
        drop_in = f"/etc/systemd/system/systemd-{unit}.service.d/no-credentials.conf"
        host.write(drop_in, "[Service]\nLoadCredential=\nSetCredential=\n")


def power_off(host: Host) -> None:
    """Shut down in order: the signal that systemd-nspawn sends to a host's systemd does not get through qemu."""
    host.run("systemctl", "poweroff")
    wait_until(lambda: not host.is_up, f"{host.name} is down", POWER_OFF_SECONDS)
