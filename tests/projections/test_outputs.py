import pytest
from pydantic import ValidationError

from visionfleet.projections.outputs import OutputsDiffer, StackOutputs, read_outputs

OUTPUTS = {
    "region": "eu-central-1",
    "endpoints": {"line-3": "https://line-3.vision.acme.example"},
    "bucket": "acme-vision-hub-1234567",
    "database_address": "acme-vision-hub.rds.amazonaws.com",
    "database_secret": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1",
    "cluster": "acme-vision",
    "registry": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme-vision",
}


def test_outputs_are_read_as_they_are() -> None:
    outputs = read_outputs(OUTPUTS)

    assert outputs.model_dump() == OUTPUTS
    assert outputs.endpoints["line-3"] == "https://line-3.vision.acme.example"


def test_what_the_file_does_not_ask_for_is_none() -> None:
    assert read_outputs({"region": "eu-central-1"}) == StackOutputs(region="eu-central-1")
    assert read_outputs({"region": "eu-central-1", "endpoints": {}, "bucket": None}).bucket is None


def test_outputs_are_frozen() -> None:
    with pytest.raises(ValidationError):
        read_outputs(OUTPUTS).region = "us-east-1"  # pyright: ignore[reportAttributeAccessIssue] - that is the point


@pytest.mark.parametrize(
    ("outputs", "difference"),
    [
        ({"endpoints": {}}, "'region' is missing"),
        ({**OUTPUTS, "queue": "q"}, "'queue' is unknown"),
        ({**OUTPUTS, "bucket": ["a"]}, "'bucket' is of another kind"),
        ({**OUTPUTS, "endpoints": {"line-3": 1, "line-4": 2}}, "'endpoints' is of another kind"),
        ({"bucket": 1, "b": 2}, "'region' is missing, 'bucket' is of another kind, 'b' is unknown"),
    ],
)
def test_outputs_of_another_version_are_named(outputs: dict[str, object], difference: str) -> None:
    with pytest.raises(OutputsDiffer) as caught:
        read_outputs(outputs)

    first, second = str(caught.value).splitlines()
    assert first == f"the stack has outputs of another version of visionfleet: {difference}"
    assert second == "  run `pulumi up` with this version"
