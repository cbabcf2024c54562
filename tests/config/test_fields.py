"""Locations in the file, with and without the kinds that pydantic puts in."""

import pytest

from visionfleet.config.cloud import ExistingNetwork, ManagedNetwork
from visionfleet.config.dedicated import GpuScaling
from visionfleet.config.deployment import DeploymentConfig
from visionfleet.config.edge import Device
from visionfleet.config.fields import field_at, sections_at, sections_with, without_kinds
from visionfleet.config.models import Model
from visionfleet.config.section import Location, Section


@pytest.mark.parametrize(
    ("location", "bare"),
    [
        ((), ()),
        (("cloud", "network", "managed", "cidr"), ("cloud", "network", "cidr")),
        (("cloud", "network", "cidr"), ("cloud", "network", "cidr")),
        (("cloud", "network", "managed"), ("cloud", "network")),
        (("dedicated", 0, "scaling", "gpu", "gpu"), ("dedicated", 0, "scaling", "gpu")),
        (("dedicated", 0, "gpu"), ("dedicated", 0, "gpu")),
        (("hub", "managed"), ("hub", "managed")),
    ],
)
def test_kinds_are_left_out(location: Location, bare: Location) -> None:
    assert without_kinds(DeploymentConfig, location) == bare


@pytest.mark.parametrize(
    ("location", "sections"),
    [
        ((), (DeploymentConfig,)),
        (("models",), (Model,)),
        (("models", 3), (Model,)),
        (("edge", "groups", 0, "devices", 7), (Device,)),
        (("cloud", "network"), (ManagedNetwork, ExistingNetwork)),
        (("cloud", "network", "existing"), (ExistingNetwork,)),
        (("dedicated", 1, "scaling", "gpu"), (GpuScaling,)),
        (("hub", "port"), ()),
        (("nothing", "of", 0, "ours"), ()),
    ],
)
def test_sections_at_a_location(location: Location, sections: tuple[type[Section], ...]) -> None:
    assert sections_at(DeploymentConfig, location) == sections


@pytest.mark.parametrize("kind", [(), ("existing",)])
def test_a_field_is_found_with_its_kind_and_without(kind: Location) -> None:
    field = field_at(DeploymentConfig, ("cloud", "network", *kind, "vpc_id"))

    assert field is ExistingNetwork.model_fields["vpc_id"]
    assert field_at(DeploymentConfig, ("cloud", "network", "managed", "vpc_id")) is None


def test_where_a_key_belongs() -> None:
    assert sections_with(DeploymentConfig, "vpc_id") == ["cloud.network"]
    assert sections_with(DeploymentConfig, "kube-proxy") == ["serverless.cluster.addons"]
    assert sections_with(DeploymentConfig, "target") == ["serverless.serving[].scaling", "dedicated[].scaling"]
    assert sections_with(DeploymentConfig, "nothing") == []
