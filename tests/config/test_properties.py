"""The loader under arbitrary input: it returns a configuration or raises ConfigError, and nothing else."""

import copy
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.config.support import make_model, make_package, write_json
from visionfleet.config import ConfigError, DeploymentConfig, load
from visionfleet.config.document import read
from visionfleet.config.fields import fields_of
from visionfleet.config.packages import check_package
from visionfleet.config.section import Location, Section
from visionfleet.config.workflows import check_workflows

# a machine that is busy makes examples slow: no fault of the loader
quick = settings(suppress_health_check=[HealthCheck.too_slow])

EVERYTHING = read((Path(__file__).parent / "fixtures/everything.valid.yaml").read_text(encoding="utf-8")).data


def sections(root: type[Section] = Section) -> list[type[Section]]:
    return [section for each in root.__subclasses__() for section in (each, *sections(each))]


# names and shapes of the file, so that what is drawn goes deep
KEYS = st.sampled_from(sorted({key for section in sections() for key in fields_of(section)}))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["acme", "demo/1", "./x"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=5)
)
SNIPPETS = st.lists(
    st.sampled_from(
        (
            *(
                "name: acme",
                "workspace: acme",
                "\n",
                "\n  ",
                "\t",
                "hub:",
                "models:",
                "- ",
                "[",
                "]",
                "{",
                "}",
                ", ",
                ": ",
            ),
            *(
                "&a ",
                "*a ",
                "!!str ",
                "<<: ",
                "---",
                "'",
                '"',
                "|",
                ">",
                "#",
                "%YAML 1.2",
                "?",
                "1.8",
                "on",
                "é",
                "\x85",
            ),
        )
    ),
    max_size=30,
).map("".join)


def outcome(content: bytes) -> DeploymentConfig | ConfigError:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "visionfleet.yaml")
        file.write_bytes(content)
        try:
            return load(file)
        except ConfigError as error:
            assert error.problems
            for problem in error.problems:
                assert problem.rule
                assert problem.fix
                assert problem.code
                # one line for the problem, one for the way out, whatever the file held
                assert len(str(problem).splitlines()) == 2
                assert re.match(r"[^\n]*visionfleet\.yaml(:\d+:\d+)?: ", str(problem))
            return error


@quick
@given(st.binary(max_size=300))
@example(b"name: \xff")
def test_any_bytes(content: bytes) -> None:
    outcome(content)


@quick
@given(st.one_of(st.text(max_size=300), SNIPPETS))
@example("name: acme\nworkspace: acme\nhub: {host: '\x85'}")
@example("? a\n? b\n")
@example("!<tag:x> a")
@example("a: &a\n  <<: *a")
def test_any_text(text: str) -> None:
    outcome(text.encode("utf-8", "surrogatepass"))


@quick
@given(st.dictionaries(KEYS | st.text(max_size=8), VALUES, max_size=8))
def test_any_data(data: dict[str, Any]) -> None:
    outcome(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))


def locations(data: Any, above: Location = ()) -> Iterator[Location]:
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield (*above, key)
        yield from locations(value, (*above, key))


@quick
@given(
    st.sampled_from(list(locations(EVERYTHING))),
    VALUES | st.sampled_from([[], {}, [[]], [{}], {"kind": "gpu"}, "production", "spot", 0, 10**30, "10.0.0.0/8"]),
)
def test_any_value_anywhere_in_a_right_file(location: Location, value: object) -> None:
    """The rules across fields look at what nothing has checked yet, in full sections too."""
    data = copy.deepcopy(EVERYTHING)
    place: Any = data
    for key in location[:-1]:
        place = place[key]
    place[location[-1]] = value

    outcome(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))


@quick
@given(VALUES)
def test_what_the_usual_emitter_writes_is_read_as_it_was(data: Any) -> None:
    text = yaml.safe_dump({"data": data}, allow_unicode=True)
    document = read(text)

    if not document.faults:
        assert repr(document.data) == repr({"data": _as_yaml_1_2(data)})


def _as_yaml_1_2(data: Any) -> Any:
    """Infinity and not-a-number are text to us; long integers too."""
    match data:
        case bool() | str() | None:
            return data
        case float() | int():
            return read(yaml.safe_dump(data)).data
        case list():
            return [_as_yaml_1_2(entry) for entry in data]
        case _:
            return {key: _as_yaml_1_2(value) for key, value in sorted(data.items())}


JSON_KEYS = st.sampled_from(
    [
        *("version", "inputs", "steps", "outputs", "specification", "type", "name", "selector", "model_id"),
        *("network_input", "post_processing", "training_input_size", "height", "color_mode", "fused"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_KEYS, inner, max_size=4),
)


@quick
@given(st.dictionaries(JSON_KEYS, JSON, max_size=6))
@example(
    {"version": "1.0", "inputs": [{"type": [], "name": {}}], "steps": [{"model_id": []}], "outputs": [{"name": 1}]}
)
def test_any_workflow_and_any_settings(content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_json(folder / "any.json", content)
        package = make_package(folder / "package")
        write_json(package / "inference_config.json", content)

        assert all(problem.rule for problem in check_workflows(folder, ["demo/1"]))
        assert all(problem.rule for problem in check_package(make_model(package)))


LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
PORTS = st.integers(1, 65535)
PATHS = st.from_regex(r"/[a-z]{1,8}(/[a-z0-9 ._-]{1,12}[a-z]){0,3}", fullmatch=True)
POOLS = st.fixed_dictionaries(
    {"max": st.integers(1, 1000), "request_images": st.integers(1, 256), "requests_in_flight": st.integers(1, 64)}
)
DEPLOYMENTS = st.fixed_dictionaries(
    {
        "apiVersion": st.just("visionfleet/v1"),
        "name": LABELS,
        "workspace": st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True).filter(lambda text: text != "local"),
        "domain": st.none() | st.from_regex(r"[a-z]{1,8}\.[a-z]{2,5}", fullmatch=True),
        "inference": st.fixed_dictionaries(
            {
                "version": st.from_regex(r"[1-9]\.[0-9]\.[1-9]?0", fullmatch=True),
                "digest": st.none() | st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
                "port": PORTS,
            }
        ),
        "hub": st.fixed_dictionaries(
            {
                "port": PORTS,
                "state": PATHS,
                "storage": PATHS,
                "signing_key": st.none() | st.from_regex(r"env:[A-Z_]{1,12}", fullmatch=True),
                "retention_days": st.integers(1, 3650),
            }
        ),
        "batch": st.fixed_dictionaries({"workers": st.fixed_dictionaries({"cpu": POOLS, "gpu": st.none() | POOLS})}),
    }
).filter(
    lambda data: (
        data["hub"]["port"] != data["inference"]["port"]
        and not Path(data["hub"]["state"]).is_relative_to(data["hub"]["storage"])
    )
)


@pytest.mark.parametrize("dump", [yaml.safe_dump, lambda data: yaml.safe_dump(data, default_flow_style=True)])
@quick
@given(data=DEPLOYMENTS)
def test_a_right_configuration_comes_back_as_it_was(dump: Callable[[Any], str], data: dict[str, Any]) -> None:
    config = outcome(dump(data).encode())

    assert isinstance(config, DeploymentConfig), str(config)
    back = config.model_dump(mode="json", by_alias=True)
    for key, value in data.items():
        given_keys = value if isinstance(value, dict) else {}
        assert (back[key] == value) or {name: back[key][name] for name in given_keys} == value
