"""The stand-in's table against the SDK and botocore's models: no name in it is made up. No call is made."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engines.aws.kinds import Call, Kind, input_shape
from tests.engines.aws.plugin import Session
from tests.engines.aws.table import KINDS, TAGGING, UNSUPPORTED_BY_MOTO, UNSUPPORTED_CHANGES

NOT_INPUTS = {"self", "__self__", "resource_name", "opts", "__props__"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Session]:
    """Clients that are asked for their models only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield Session("eu-central-1")


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each resource type."""
    return request.param


def sdk_class(kind: Kind) -> Any:
    """The class of the SDK."""
    module, name = kind.name.split(".")
    return getattr(importlib.import_module(f"pulumi_aws.{module}"), name)


def sdk_inputs(kind: Kind) -> set[str]:
    """The inputs that the SDK's class takes, as the engine names them."""
    names = set(inspect.signature(sdk_class(kind)._internal_init).parameters) - NOT_INPUTS
    return {re.sub(r"_(\w)", lambda found: found.group(1).upper(), name) for name in names}


def test_its_names_are_the_sdks(kind: Kind) -> None:
    inputs = sdk_inputs(kind)
    named = {kind.named} if kind.named else set()
    topmost = {name.partition(".")[0] for name in kind.rename}
    optional = {f"{kind.named}Prefix", "namePrefix"}
    listed = {*kind.replace.split(), *kind.by_hand.split(), *named, *topmost} - {"*", *optional}
    assert listed <= inputs
    for output in kind.outputs:
        assert hasattr(sdk_class(kind), re.sub("([A-Z])", r"_\1", output).lower()), output


def test_it_takes_default_tags_as_the_sdk_says(kind: Kind) -> None:
    assert kind.tags == ("tags_all" in dir(sdk_class(kind)))


def test_its_calls_have_all_that_aws_requires(kind: Kind, cloud: Session) -> None:
    inputs = sdk_inputs(kind)
    steps = (*kind.create, *kind.settings, *kind.update, *kind.delete, kind.read)
    for call in (step for step in steps if isinstance(step, Call)):
        shape = input_shape(cloud, kind, call)
        assert set(call.fixed) <= set(shape.members), call.operation
        mapped = {kind.member(shape, name) for name in inputs} if call.auto else set()
        given = {*call.fixed, *mapped, call.into.partition(".")[0]}
        assert set(shape.required_members) <= given, call.operation


def test_every_tagged_type_has_a_way_to_tag(kind: Kind) -> None:
    if kind.tags and kind.token not in UNSUPPORTED_BY_MOTO:
        left_out = (kind.token, "tags") in UNSUPPORTED_CHANGES
        assert bool(TAGGING.get(kind.token, TAGGING.get(kind.service))) != left_out


def test_the_lists_of_what_is_missing_name_known_types() -> None:
    kept = {token for token in UNSUPPORTED_BY_MOTO if token in KINDS}
    assert all(not KINDS[token].calls for token in kept)
    assert all(kind.calls or kind.token in kept for kind in KINDS.values())
    assert {token for token, _ in UNSUPPORTED_CHANGES} <= set(KINDS)
