import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.config.support import write_file
from visionfleet.cli import app
from visionfleet.projections.prices import read_prices

run = CliRunner().invoke
ACME = Path(__file__).parents[2] / "examples/acme/visionfleet.yaml"
CLOUD = "cloud: {region: eu-central-1, owner: vision-team}\n"


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.\d\d\b", text)]


def test_the_table_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run(app, ["cost", "--file", str(ACME)])

    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "acme-vision in eu-central-1: US dollars for a month of 730 hours"
    for section in ("cloud.network", "dedicated line-3", "dedicated lab", "serverless.cluster", "hub.aws", "all"):
        assert [line for line in lines if line.strip().startswith(section)], section
    data = json.loads(run(app, ["cost", "-f", str(ACME), "--json"]).stdout)
    assert numbers(next(line for line in lines if line.strip().startswith("all "))) == [data["least"], data["most"]]
    assert f"Prices of {read_prices().date}" in result.stdout
    assert "Spot is counted at 45%" in result.stdout
    assert "Not counted: data transfer" in result.stdout


def test_an_estimate_for_machines() -> None:
    data = json.loads(run(app, ["cost", "--file", str(ACME), "--json"]).stdout)

    assert (data["region"], data["currency"]) == ("eu-central-1", "USD")
    assert data["pricesOf"] == read_prices().date.isoformat()
    assert data["least"] == pytest.approx(sum(line["least"] for line in data["lines"]), abs=0.1)
    assert data["most"] == pytest.approx(sum(line["most"] for line in data["lines"]), abs=0.1)
    assert {"section": "hub.aws", "item": "key and secrets", "least": 1.8, "most": 1.8} in data["lines"]


def test_without_spot_nothing_is_said_of_it(tmp_path: Path) -> None:
    result = run(app, ["cost", "-f", str(write_file(tmp_path, CLOUD))])

    assert result.exit_code == 0
    assert "1 NAT gateway" in result.stdout
    assert "Spot" not in result.stdout


def test_a_file_without_the_cloud(tmp_path: Path) -> None:
    file = write_file(tmp_path)
    result = run(app, ["cost", "-f", str(file)])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{file}: The file has no section `cloud`")


def test_a_region_without_prices(tmp_path: Path) -> None:
    result = run(app, ["cost", "-f", str(write_file(tmp_path, CLOUD.replace("eu-central-1", "sa-east-1")))])

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: there are no prices for sa-east-1 in src/visionfleet/projections/prices/")


def test_a_wrong_file(tmp_path: Path) -> None:
    result = run(app, ["cost", "-f", str(write_file(tmp_path, "cloud: {region: nowhere}\n"))])

    assert (result.exit_code, result.stdout) == (2, "")
    assert "cloud.region" in result.stderr
