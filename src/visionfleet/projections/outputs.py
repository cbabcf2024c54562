"""What Pulumi made, as the other projections read it: the second input beside the file.

`infra/__main__.py` exports these names; `visionfleet.stacks` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class OutputsDiffer(ValueError):
    """The stack's outputs are not those that this version of visionfleet makes: run `pulumi up` with this version."""


class StackOutputs(BaseModel):
    """The outputs of a stack. None stands for what the file does not ask for. No output is a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    region: str = Field(description="Region of AWS.")
    endpoints: dict[str, str] = Field(default_factory=dict[str, str], description="URL of each endpoint, by its name.")
    bucket: str | None = Field(default=None, description="Bucket of the hub's objects.")
    database_address: str | None = Field(default=None, description="Host of the hub's database.")
    database_secret: str | None = Field(
        default=None, description="ARN of the secret that holds the database's user and password."
    )
    cluster: str | None = Field(default=None, description="Name of the EKS cluster.")
    registry: str | None = Field(default=None, description="Registry that images are pulled through, with its prefix.")


def read_outputs(outputs: Mapping[str, object]) -> StackOutputs:
    """The outputs as `pulumi stack output --json` tells them.

    Raises:
        OutputsDiffer: names what is missing, unknown or of another kind.
    """
    try:
        return StackOutputs.model_validate(outputs)
    except ValidationError as error:
        details = ", ".join(dict.fromkeys(_difference(line["type"], line["loc"]) for line in error.errors()))
        raise OutputsDiffer(
            f"the stack has outputs of another version of visionfleet: {details}\n  run `pulumi up` with this version"
        ) from None


def _difference(kind: str, location: tuple[str | int, ...]) -> str:
    what = {"missing": "is missing", "extra_forbidden": "is unknown"}.get(kind, "is of another kind")
    return f"'{location[0]}' {what}"
