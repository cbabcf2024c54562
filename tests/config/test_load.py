"""Each fixture `NAME.error.yaml` is wrong in the way that its name tells; `NAME.error.txt` is what the user reads."""

from pathlib import Path

import pytest

from tests.config.support import make_package, problems_of, write_file, write_json
from visionfleet.config import ConfigError, load
from visionfleet.config.load import MAX_FILE_BYTES, MAX_PROBLEMS

FIXTURES = Path(__file__).parent / "fixtures"
WRONG = sorted(path.name for path in FIXTURES.glob("*.error.yaml"))
RIGHT = sorted(path.name for path in FIXTURES.glob("*.valid.yaml"))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_reported_word_for_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES)

    with pytest.raises(ConfigError) as caught:
        load(name)

    assert f"{caught.value}\n" == (FIXTURES / name).with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_file_is_read(name: str) -> None:
    assert load(FIXTURES / name).name == "acme-vision"


def test_secrets_are_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES)
    reported = (FIXTURES / "secrets-pasted.error.txt").read_text(encoding="utf-8")

    for secret in ("rf_Ab12", "eyJ", "ghp_", "correct horse", "hunter2", "0f1e2d3c", "AKIA"):
        assert secret in (FIXTURES / "secrets-pasted.error.yaml").read_text(encoding="utf-8")
        assert secret not in reported


def test_everything_but_two_keys_has_a_default(tmp_path: Path) -> None:
    config = load(write_file(tmp_path))

    assert config.api_version == "visionfleet/v1"
    assert (config.name, config.workspace, config.domain, config.models) == ("acme-vision", "acme", None, ())
    assert (config.inference.version, config.inference.host, config.inference.port) == ("1.8.3", "127.0.0.1", 9001)
    assert (config.hub.host, config.hub.port, config.hub.public_url) == ("127.0.0.1", 9500, "http://127.0.0.1:9500")
    assert config.batch.workers.cpu.max == 1
    assert config.batch.workers.gpu is None


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deployment").mkdir()
    make_package(tmp_path / "models/demo")
    text = "models: [{id: demo/1, architecture: yolov8, package: ../models/demo}]\n"
    write_file(tmp_path / "deployment", text)
    monkeypatch.chdir(tmp_path)

    config = load("deployment/visionfleet.yaml")

    assert config.models[0].package == tmp_path / "models/demo"
    assert config.workflows == tmp_path / "deployment/workflows"
    assert config.hub.state == tmp_path / "deployment/state"
    assert config.hub.storage == tmp_path / "deployment/state/storage"
    assert config.hub.database_path == tmp_path / "deployment/state/hub.sqlite3"


def test_the_storage_follows_the_state(tmp_path: Path) -> None:
    config = load(write_file(tmp_path, "hub: {state: /srv/hub}\n"))

    assert config.hub.storage == Path("/srv/hub/storage")


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    assert load(write_file(tmp_path, "hub: {state: ~/hub}\n")).hub.state == Path("/home/ada/hub")


def test_the_configuration_is_frozen(tmp_path: Path) -> None:
    config = load(write_file(tmp_path))

    with pytest.raises(ValueError, match="frozen"):
        config.hub.port = 1  # pyright: ignore[reportAttributeAccessIssue] - that is the point


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        (b"name: caf\xe9\n", "file-encoding", 1, 10),
        ("name: acme\nworkspace: é\n".encode("utf-16"), "file-encoding", 1, 1),
        (b"name: acme\nworkspace: a\0b\n", "yaml-character", 2, 13),
        (b"name: acme\n# \x1b[31m\n", "yaml-character", 2, 3),
        ("name: acme\u2028workspace: acme\n".encode(), "yaml-character", 1, 11),
        (b"#" * (MAX_FILE_BYTES + 1), "file-too-large", None, None),
    ],
)
def test_bytes_that_are_no_such_file(
    content: bytes, code: str, line: int | None, column: int | None, tmp_path: Path
) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_bytes(content)

    (problem,) = problems_of(file)

    assert (problem.code, problem.line, problem.column) == (code, line, column)
    assert problem.fix


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "- ["])
def test_nesting_without_end_is_stopped(opening: str, tmp_path: Path) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_text(opening * 200_000, encoding="utf-8")

    codes = {problem.code for problem in problems_of(file)}

    # which of the two stops it is the C library's choice: newer ones have a limit of their own
    assert codes & {"yaml-depth", "yaml-syntax"}


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: acme-vision\r\nworkspace: acme\r\n")

    assert load(file).workspace == "acme"


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")

    assert str(problems_of(Path("none.yaml"))[0]).startswith("none.yaml: does not exist\n")
    assert str(problems_of(tmp_path)[0]).startswith(".: is a folder\n")
    assert str(problems_of(Path("loop"))[0]).startswith("loop: cannot be read: Too many levels of symbolic links\n")
    assert str(problems_of(Path("a\0b"))[0]).startswith("a\\x00b: cannot be read: no file has such a name\n")


def test_problems_without_end_are_cut_off(tmp_path: Path) -> None:
    unknown_keys = problems_of(write_file(tmp_path, "".join(f"key{n}: 1\n" for n in range(MAX_PROBLEMS + 10))))
    aliases = problems_of(write_file(tmp_path, "a: [" + "*a, " * (MAX_PROBLEMS + 10) + "]\n"))

    for problems in (unknown_keys, aliases):
        assert len(problems) == MAX_PROBLEMS + 1
        assert [problem.code for problem in problems].count("too-many-problems") == 1


def test_every_package_is_checked_beside_other_problems(tmp_path: Path) -> None:
    make_package(tmp_path / "good")
    make_package(tmp_path / "bad", names="bolt\nbolt\n")
    text = (
        "hub: {prot: 1}\nmodels:\n"
        "  - {id: demo/1, architecture: yolov8, package: ./good}\n"
        "  - {id: demo/2, architecture: yolov8, package: ./bad}\n"
        "  - {id: demo/3, architecture: yolo, package: ./bad}\n"
    )

    problems = problems_of(write_file(tmp_path, text))

    assert [(problem.line, problem.path, problem.code) for problem in problems] == [
        (3, "hub.prot", "unknown-key"),
        (6, "models[1].package", "class-names"),
        (7, "models[2].architecture", "unknown-value"),
    ]
    assert problems[1].rule == "is no package to serve: class_names.txt:2 repeats the class name 'bolt'"


def test_workflows_are_checked_against_every_model_that_is_written(tmp_path: Path) -> None:
    make_package(tmp_path / "good")
    step = {"type": "roboflow_core/roboflow_object_detection_model@v2", "name": "detector", "model_id": "demo/2"}
    inputs = [{"type": "WorkflowImage", "name": "image"}]
    write_json(tmp_path / "workflows/one.json", {"version": "1.0", "inputs": inputs, "steps": [step], "outputs": []})
    good = "models:\n  - {id: demo/1, architecture: yolov8, package: ./good}\n"
    broken = good + "  - {id: demo/2, architecture: yolo, package: ./good}\n"

    (unknown,) = problems_of(write_file(tmp_path, good))
    (other,) = problems_of(write_file(tmp_path, broken))

    assert unknown.file.endswith("workflows/one.json")
    assert (unknown.path, unknown.value, unknown.code) == ("steps[0].model_id", "demo/2", "unknown-model")
    assert unknown.fix == "did you mean 'demo/1'? Known: demo/1"
    assert other.code == "unknown-value"
