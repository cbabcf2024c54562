from visionfleet.config.deployment import DeploymentConfig
from visionfleet.config.fields import fields_of
from visionfleet.config.reference import reference_page


def test_every_key_stands_in_a_table() -> None:
    page = reference_page()

    for key, field in fields_of(DeploymentConfig).items():
        assert f"| `{key}` |" in page
        assert field.description is not None
        assert field.description in page


def test_rows_tell_kind_and_default() -> None:
    rows = reference_page().splitlines()

    assert "| `name` | text | required | Name of the deployment: the prefix of everything that is created. |" in rows
    assert "| `port` | whole number, 1 to 65535 | `9500` | Port that the hub listens on. |" in rows
    assert "| `models` | list of sections |  | The models that clients may ask for. |" in rows
    assert "## `batch.workers.cpu`, `batch.workers.gpu`" in rows
    assert "## `models[]`" in rows


def test_sections_that_a_kind_tells_apart_have_a_table_each() -> None:
    rows = reference_page().splitlines()

    assert "## `cloud.network` of kind `managed`" in rows
    assert "## `dedicated[].scaling` of kind `requests`" in rows
    assert "| `network` | section |  | The VPC: made, or there. |" in rows
    assert "| `kind` | `existing` | required | `existing`: the VPC is there; only its ids are named. |" in rows


def test_defaults_are_written_as_in_the_file() -> None:
    rows = {row.split(" |")[0]: row.split(" | ")[2] for row in reference_page().splitlines() if row.startswith("| `")}

    assert rows["| `warm_pool`"] == "`false`"
    assert rows["| `allowed_cidrs`"] == "`0.0.0.0/0`"
    assert rows["| `days`"] == "`mon`, `tue`, `wed`, `thu`, `fri`"
    assert rows["| `kube-proxy`"] == "`v1.34.1-eksbuild.2`"
