"""`visionfleet render`: what pipelines commit."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner

from visionfleet.cli import app

ROOT = Path(__file__).parents[2]


def render(file: Path):
    return CliRunner().invoke(app, ["render", "karpenter", "--file", str(file)])


def test_the_manifests_of_the_files_pools_are_printed_and_are_the_same_every_time() -> None:
    file = ROOT / "examples" / "acme" / "visionfleet.yaml"
    first = render(file)
    assert first.exit_code == 0, first.output
    kinds = [manifest["kind"] for manifest in yaml.safe_load_all(first.stdout)]
    assert sorted(set(kinds)) == ["EC2NodeClass", "NodePool"]
    assert render(file).stdout == first.stdout


def test_a_file_without_karpenter_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_text("name: small\nworkspace: acme\ncloud: {provider: aws, region: eu-central-1, owner: us}\n")
    result = render(file)
    assert result.exit_code == 2
    assert "karpenter" in result.output
