"""The values of the chart: what the file says, and no secret."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft7Validator

from tests.charts.values import merged
from tests.config.support import write_file
from tests.projections.serverless import DIGEST, HUB, SERVERLESS, right_part
from visionfleet import __version__
from visionfleet.config import load
from visionfleet.projections.chart_files import entry_defaults, values_schema, values_yaml
from visionfleet.projections.chart_values import ChartValues
from visionfleet.projections.helm import NoChart, helm_values, helm_yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = {name: ROOT / "examples" / name / "visionfleet.yaml" for name in ("cluster", "acme")}
VALIDATOR = Draft7Validator(json.loads(values_schema()))


def values_of(folder: Path, text: str = "", hub: str = HUB) -> ChartValues:
    return helm_values(load(write_file(folder, f"{hub}{text}")), DIGEST)


def reasons(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(NoChart) as caught:
        helm_values(load(write_file(folder, text)))
    assert str(caught.value) == "\n".join(caught.value.reasons)
    return caught.value.reasons


@cache
def own_values() -> dict[str, Any]:
    """The chart's."""
    return yaml.safe_load(values_yaml())


@cache
def own_defaults() -> dict[str, Any]:
    """The chart's, of entries."""
    return yaml.safe_load(entry_defaults())


def with_defaults(rendered: dict[str, Any]) -> ChartValues:
    """What the chart makes of values: those over its own, those of entries over the defaults of entries."""
    whole = copy.deepcopy(merged(own_values(), rendered))
    defaults = own_defaults()
    for section, entries, kind in (("serving", "pools", "pool"), ("worker", "templates", "template")):
        whole[section][entries] = {
            name: merged(defaults[kind], entry) for name, entry in whole[section][entries].items()
        }
    return ChartValues.model_validate(whole)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_text_of_an_example_is_what_the_chart_takes(name: str) -> None:
    config = load(EXAMPLES[name])
    text = helm_yaml(helm_values(config, DIGEST))

    VALIDATOR.validate(merged(own_values(), yaml.safe_load(text)))  # as Helm does
    assert with_defaults(yaml.safe_load(text)) == helm_values(config, DIGEST)
    assert text == helm_yaml(helm_values(load(EXAMPLES[name]), DIGEST))


def test_the_smallest_deployment_says_little() -> None:
    values = yaml.safe_load(helm_yaml(helm_values(load(EXAMPLES["cluster"]), DIGEST)))

    environments = [
        values["serving"]["pools"]["cpu"].pop("environment"),
        values["worker"]["templates"]["cpu"]["server"].pop("environment"),
    ]
    assert environments[0] == environments[1]
    assert environments[0]["API_BASE_URL"] == "http://vision-hub:9500"
    image = {"repository": "roboflow/roboflow-inference-server-cpu", "tag": "1.8.3", "digest": ""}
    memory = {"requests": {"memory": "4Gi"}}
    assert values == {
        "nameOverride": "vision",
        "deployment": {"name": "vision", "workspace": "acme", "digest": DIGEST},
        "image": {"tag": __version__},
        "hub": {
            "enabled": True,
            "storage": {
                "url": "s3://vision/hub",
                "endpoint": "http://minio.storage:9000",
                "region": "us-east-1",
                "accessKeyIdVariable": "S3_KEY_ID",
                "secretAccessKeyVariable": "S3_KEY",
            },
            "secretName": "vision-hub",
            "secretKeys": ["DATABASE_URL", "S3_KEY", "S3_KEY_ID", "SIGNING_KEY"],
            "keys": [
                {"role": "server", "name": "serving", "secret": {"name": "vision-keys", "key": "server"}},
                {"role": "worker", "name": "workers", "secret": {"name": "vision-keys", "key": "worker"}},
                {"role": "client", "name": "office", "secret": {"name": "vision-keys", "key": "client-office"}},
            ],
        },
        "serving": {
            "key": {"name": "vision-keys", "key": "server"},
            "pools": {
                "cpu": {
                    "image": image,
                    "models": ["colour-cells/1"],
                    "resources": memory,
                    "scaling": {"scaler": "hpa", "max": 3},
                }
            },
        },
        "worker": {
            "key": {"name": "vision-keys", "key": "worker"},
            "templates": {"cpu": {"server": {"image": image, "resources": memory}}},
        },
    }


def test_the_whole_example_brings_everything() -> None:
    values = helm_values(load(EXAMPLES["acme"]), DIGEST)
    pools = values.serving.pools

    assert (values.deployment.name, values.deployment.workspace) == ("acme-vision", "acme")
    assert values.image.repository == "registry.acme.example/tools/acme/visionfleet"
    assert values.image_pull_secrets == ["registry-acme"]
    assert values.hub.exposure.ingress.host == "hub.acme.example"
    assert (values.hub.service_account.name, values.worker.service_account.name) == ("hub", "worker")
    assert [key.role for key in values.hub.keys] == ["server", "worker", "client", "client", "fleet"]
    assert {name: pool.rollout for name, pool in pools.items()} == {
        "screws": "surge",
        "pallets": "surge",
        "office": "surge",
        "rare": "surge",
    }
    assert (pools["rare"].scaling.scaler, pools["rare"].scaling.min) == ("keda", 0)
    registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme-vision"
    assert pools["screws"].image.repository == f"{registry}/roboflow/roboflow-inference-server-gpu"
    assert pools["screws"].exposure.gateway.host == "screws.vision.acme.example"
    assert list(values.worker.templates) == ["cpu", "gpu"]
    assert values.monitoring.prometheus == "http://prometheus.monitoring:9090"
    assert [manifest["kind"] for manifest in values.karpenter] == ["NodePool", "EC2NodeClass"] * 3


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_secret_is_in_the_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(EXAMPLES[name])
    values = helm_values(config, DIGEST)
    assert values.hub.secret_keys
    for variable in (*values.hub.secret_keys, "ACME_FLEET_KEY", "ACME_REGISTRY_PASSWORD"):
        monkeypatch.setenv(variable, f"planted-{variable}")

    assert "planted" not in helm_yaml(helm_values(load(EXAMPLES[name]), DIGEST))


def test_the_secret_of_the_hub_has_every_variable_that_the_hub_refers_to(tmp_path: Path) -> None:
    hub = HUB + "  s3: {access_key_id: env:ID, secret_access_key: env:KEY}\n"
    secrets = "serverless: {secrets: {hub: elsewhere}}\n"

    assert values_of(tmp_path).hub.secret_keys == ["DATABASE_URL", "SIGNING_KEY"]
    values = values_of(tmp_path, secrets, hub)
    assert (values.hub.secret_name, values.hub.secret_keys) == (
        "elsewhere",
        ["DATABASE_URL", "ID", "KEY", "SIGNING_KEY"],
    )


def test_with_a_pod_identity_no_variable_holds_the_stores_key(tmp_path: Path) -> None:
    storage = values_of(tmp_path).hub.storage

    assert (storage.url, storage.access_key_id_variable) == ("s3://bucket/prefix", "")
    assert storage.secret_access_key_variable == ""


@pytest.mark.parametrize(
    ("text", "workers", "executor"),
    [
        ("", [], False),
        ("batch: {executor: kubernetes}\n", ["cpu"], True),
        ("serverless: {workers: {cpu: {standing: 1}}}\n", ["cpu"], False),
        ("batch: {executor: kubernetes, workers: {cpu: {max: 0}, gpu: {max: 1}}}\n", ["gpu"], True),
    ],
)
def test_workers_are_in_the_cluster_where_it_makes_them(
    text: str, workers: list[str], *, executor: bool, tmp_path: Path
) -> None:
    values = values_of(tmp_path, text)

    assert (list(values.worker.templates), values.worker.enabled) == (workers, bool(workers))
    assert values.hub.executor is executor
    # each worker has a server beside it, which asks the hub as well
    assert [key.role for key in values.hub.keys] == (["server", "worker"] if workers else [])


def test_servers_may_use_a_hub_that_is_elsewhere(tmp_path: Path) -> None:
    text = "serverless: {hub: {enabled: false}, serving: [{name: a, hardware: cpu}]}\n"
    values = values_of(tmp_path, text, hub="hub: {url: 'https://hub.acme.example'}\n")

    assert (values.hub.enabled, values.hub.url, values.hub.executor) == (False, "https://hub.acme.example", False)
    assert values.serving.pools["a"].environment["API_BASE_URL"] == "https://hub.acme.example"
    assert values.hub.keys == []


def test_every_reason_against_a_cluster_is_told_at_once(tmp_path: Path) -> None:
    assert reasons(tmp_path, "") == (
        (
            "hub.database is sqlite, a file of one pod: "
            "write env:NAME, and put the URL of a PostgreSQL database into the Secret"
        ),
        "hub.storage is a folder of one pod: write s3://bucket/prefix",
        "hub.signing_key is missing, and each pod would make its own: write env:NAME",
    )


def test_secrets_in_files_are_this_machines(tmp_path: Path) -> None:
    text = HUB.replace("env:DATABASE_URL", "file:./url").replace("env:SIGNING_KEY", "file:/keys/signing")

    assert reasons(tmp_path, text) == (
        f"hub.database is file:{tmp_path}/url, on this machine: write env:NAME, and put it into the Secret",
        "hub.signing_key is file:/keys/signing, on this machine: write env:NAME, and put it into the Secret",
    )


def test_without_a_hub_in_the_cluster_something_else_must_be(tmp_path: Path) -> None:
    text = "serverless: {hub: {enabled: false}}\nbatch: {executor: kubernetes}\n"

    assert [reason.partition(",")[0] for reason in reasons(tmp_path, text)] == [
        "hub.url is missing",
        "batch.executor is kubernetes",
        "serverless.hub.enabled is false",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SERVERLESS)
def test_whatever_file_is_right_the_chart_takes_its_values(tmp_path: Path, serverless: dict[str, Any]) -> None:
    config = right_part(tmp_path, serverless)
    values = helm_values(config, DIGEST)
    rendered = yaml.safe_load(helm_yaml(values))

    VALIDATOR.validate(merged(own_values(), rendered))  # as Helm does
    assert with_defaults(rendered) == values
