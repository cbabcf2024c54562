"""Files that are made from the models: `python -m visionfleet.generate` writes them, `--check` compares them.

A further generated file is one more entry in GENERATED.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from visionfleet.config.reference import reference_page
from visionfleet.config.schema import json_schema
from visionfleet.projections.chart_files import entry_defaults, values_schema, values_yaml
from visionfleet.projections.roles import ROLES, Role, argument_specs, role_defaults, role_name, role_readme

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Generated:
    """A committed file, relative to the checkout, and what renders its text."""

    path: str
    render: Callable[[], str]


def _role_files(role: Role) -> tuple[Generated, ...]:
    folder = f"playbooks/roles/{role_name(role)}"
    return (
        Generated(f"{folder}/meta/argument_specs.yml", lambda: argument_specs(role)),
        Generated(f"{folder}/defaults/main.yml", lambda: role_defaults(role)),
        Generated(f"{folder}/README.md", lambda: role_readme(role)),
    )


GENERATED = (
    Generated("schema/visionfleet.schema.json", lambda: json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"),
    Generated("docs/reference/config.md", reference_page),
    Generated("charts/visionfleet/values.yaml", values_yaml),
    Generated("charts/visionfleet/values.schema.json", values_schema),
    Generated("charts/visionfleet/files/defaults.yaml", entry_defaults),
    *(file for role in ROLES for file in _role_files(role)),
)


def write(root: Path) -> list[str]:
    """Write every generated file below `root`; returns the paths of those that changed."""
    changed = drifted(root)
    for generated in GENERATED:
        if generated.path in changed:
            path = root / generated.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated.render(), encoding="utf-8")
    return changed


def drifted(root: Path) -> list[str]:
    """The paths of the generated files below `root` that are not as the models would have them."""
    return [generated.path for generated in GENERATED if _present(root / generated.path) != generated.render()]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The exit code: 1 where `--check` finds a file that has drifted, else 0."""
    parser = argparse.ArgumentParser(prog="python -m visionfleet.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 where a file has drifted")
    check: bool = parser.parse_args(arguments).check
    paths = drifted(root) if check else write(root)
    for path in paths:
        print(f"{path} has drifted from the models: run `make generate`" if check else f"wrote {path}")
    return 1 if check and paths else 0


def _present(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
