"""`visionfleet render`: what pipelines commit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

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


def render_helm(file: Path, *options: str):
    return CliRunner().invoke(app, ["render", "helm", str(file), *options])


CLUSTER = ROOT / "examples" / "cluster" / "visionfleet.yaml"


def test_the_charts_values_are_printed_and_are_the_same_every_time() -> None:
    first = render_helm(CLUSTER)

    assert first.exit_code == 0, first.output
    values = yaml.safe_load(first.stdout)
    assert (values["nameOverride"], values["deployment"]["name"]) == ("vision", "vision")
    assert values["deployment"]["digest"].startswith("sha256:")
    assert render_helm(CLUSTER).stdout == first.stdout


def test_the_digest_is_that_of_the_folder_unless_another_is_given(tmp_path: Path) -> None:
    given = f"sha256:{'0' * 64}"
    copy = shutil.copytree(CLUSTER.parent, tmp_path / "copy") / "visionfleet.yaml"
    digest = digest_of(render_helm(CLUSTER))

    assert digest_of(render_helm(copy)) == digest
    assert digest_of(render_helm(copy, "--digest", given)) == given
    (tmp_path / "copy/models/colour-cells/class_names.txt").write_text("red\ngreen\nblue\nlight\ndark\n")
    assert digest_of(render_helm(copy)) != digest


def digest_of(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return yaml.safe_load(result.stdout)["deployment"]["digest"]


@pytest.mark.parametrize("digest", ["latest", "sha256:1", f"sha256:{'G' * 64}", f"sha256:{'0' * 64}\n", ""])
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    result = render_helm(CLUSTER, "--digest", digest)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "visionfleet hub publish" in result.stderr


def test_a_file_for_one_machine_is_told_all_that_keeps_it_there(tmp_path: Path) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_text("name: small\nworkspace: acme\n")
    result = render_helm(file)

    assert (result.exit_code, result.stdout) == (2, "")
    said = [line.removeprefix(f"{file}: ").split()[0] for line in result.stderr.splitlines()]
    assert said == ["hub.database", "hub.storage", "hub.signing_key"]


def test_a_file_that_is_wrong_has_its_problems_shown(tmp_path: Path) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_text("name: small\nworkspace: acme\nserverless: {scaler: vpa}\n")
    result = render_helm(file)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'hpa'?" in result.stderr
