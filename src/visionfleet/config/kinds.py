"""The kinds of values that fields hold: text of a certain form, numbers, paths."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from visionfleet.config.section import refusal

_MAX_PATH_BYTES, _MAX_NAME_BYTES = 4095, 255


@dataclass(frozen=True, slots=True)
class TextRule:
    """A pattern with the words for it: the pattern alone tells nobody what is wrong."""

    pattern: str
    rule: str
    fix: str


LABEL = TextRule(
    r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$",
    "is not a name of at most 40 lower-case letters, digits and '-'",
    "start with a letter and end with a letter or a digit, as in 'acme-vision'",
)
SLUG = TextRule(
    r"^[a-z0-9][a-z0-9_-]{0,62}$",
    "is not a slug of at most 63 lower-case letters, digits, '-' and '_'",
    "write it as Roboflow's URLs do, as in 'acme'",
)
MODEL_ID = TextRule(
    r"^[a-z0-9][a-z0-9_-]{0,62}(/(0|[1-9][0-9]{0,8}|[a-z][a-z0-9_-]{0,62}))?$",
    "is not a model id",
    "write 'project/version' in lower-case letters, digits, '-' and '_', as in 'screws/3'; no leading zeros",
)
VERSION = TextRule(
    r"^(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){2}$",
    "is not a version",
    'write three numbers in quotes, as in "1.8.3"',
)
DOMAIN = TextRule(
    r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
    "is not a domain name",
    "write it in lower case without a scheme, as in 'vision.acme.example'",
)
HOST = TextRule(
    r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$",
    "is not a host",
    "write an address or a name to listen on, as in '127.0.0.1', without a scheme or port",
)
REPOSITORY = TextRule(
    r"^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
    "is not an image repository",
    "leave registry and tag out, as in 'roboflow/roboflow-inference-server-cpu'; 'registry' and 'version' hold them",
)
REGISTRY = TextRule(
    # a host without a dot or a port would be read as a repository on the default registry
    r"^([a-z0-9]+(-+[a-z0-9]+)*(\.[a-z0-9]+(-+[a-z0-9]+)*)+|[a-z0-9]+(-+[a-z0-9]+)*:[0-9]{1,5})(:[0-9]{1,5})?"
    r"(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
    "is not a registry",
    "write host[:port][/prefix] without a scheme, as in 'registry.acme.example/mirror' or 'registry:5000'",
)
LABEL_VALUE = TextRule(
    r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
    "is not a label's value of at most 40 lower-case letters, digits and '-'",
    "start and end with a letter or a digit, as in 'canary'",
)
WORKFLOW_ID = TextRule(
    r"^[a-z0-9][a-z0-9_-]{0,63}$",
    "is not a workflow id of at most 64 lower-case letters, digits, '-' and '_'",
    "write the name of the workflow's file without '.json', as in 'count-screws'",
)
ADDRESS = TextRule(
    r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?){0,31}"
    r"|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$",
    "is not an address",
    "write an IP address or a host name without scheme, user or port, as in '10.20.0.11'",
)
USER = TextRule(
    r"^[a-z_][a-z0-9_-]{0,31}$",
    "is not the name of a user",
    "write it in lower case as Linux has it, as in 'ubuntu'",
)
ACCOUNT = TextRule(
    r"^[!-9;-~]{1,128}$",
    "is not the name of an account",
    "write it without blanks and ':', as in 'robot'",
)
DEBIAN_PACKAGE = TextRule(
    r"^[a-z0-9][a-z0-9+.-]{1,63}$",
    "is not the name of a Debian package",
    "write it as apt knows it, as in 'docker.io'",
)
DEBIAN_VERSION = TextRule(
    r"^[0-9][A-Za-z0-9.+~:-]{0,63}$",
    "is not the version of a Debian package",
    "write it in quotes as `apt-cache policy` has it, as in '20.10.24+dfsg1-1+deb12u1'",
)
DIGEST = TextRule(r"^sha256:[0-9a-f]{64}$", "is not an image digest", "write 'sha256:' and 64 hexadecimal digits")
URL = TextRule(
    r"^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?$",
    "is not the URL of a server",
    "write scheme, host and perhaps a port, as in 'https://hub.acme.example', without a path or a user",
)
TEXT_RULES = {
    rule.pattern: rule
    for rule in (
        *(LABEL, SLUG, MODEL_ID, VERSION, DOMAIN, HOST, REPOSITORY, REGISTRY, DIGEST, URL, LABEL_VALUE, WORKFLOW_ID),
        *(ADDRESS, USER, ACCOUNT, DEBIAN_PACKAGE, DEBIAN_VERSION),
    )
}

Label = Annotated[str, Field(pattern=LABEL.pattern)]
Slug = Annotated[str, Field(pattern=SLUG.pattern)]
ModelId = Annotated[str, Field(pattern=MODEL_ID.pattern)]
Version = Annotated[str, Field(pattern=VERSION.pattern)]
Domain = Annotated[str, Field(pattern=DOMAIN.pattern)]
Host = Annotated[str, Field(pattern=HOST.pattern)]
Repository = Annotated[str, Field(pattern=REPOSITORY.pattern)]
Registry = Annotated[str, Field(pattern=REGISTRY.pattern)]
Digest = Annotated[str, Field(pattern=DIGEST.pattern)]
Url = Annotated[str, Field(pattern=URL.pattern)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE.pattern)]
WorkflowId = Annotated[str, Field(pattern=WORKFLOW_ID.pattern)]
Address = Annotated[str, Field(pattern=ADDRESS.pattern)]
User = Annotated[str, Field(pattern=USER.pattern)]
Account = Annotated[str, Field(pattern=ACCOUNT.pattern)]
DebianPackage = Annotated[str, Field(pattern=DEBIAN_PACKAGE.pattern)]
DebianVersion = Annotated[str, Field(pattern=DEBIAN_VERSION.pattern)]
# strict: neither "9500" nor 9500.0 nor true is a number that somebody meant
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Count = Annotated[int, Field(strict=True, ge=0, le=1000)]
PositiveCount = Annotated[int, Field(strict=True, ge=1, le=1000)]


def absolute_path(text: str, folder: Path) -> Path:
    """`text` from the file in `folder`, made absolute: relative to the file, not to where the command runs.

    Links in it stay as they are, so that messages show what the user wrote.
    """
    # os.path, as Path is ten times slower: it matters with ten thousand entries
    return Path(os.path.normpath(os.path.join(folder, os.path.expanduser(text))))  # noqa: PTH111, PTH118


def is_path(text: str) -> bool:
    """Whether `text` can be a path at all, on Linux."""
    if not text.strip() or "\0" in text:
        return False
    content = text.encode()
    return len(content) <= _MAX_PATH_BYTES and all(len(name) <= _MAX_NAME_BYTES for name in content.split(b"/"))


def resolve_path(value: object, info: ValidationInfo) -> object:
    """A path of the file, made absolute with the folder in the validation's context."""
    if not isinstance(value, str | Path):
        return value
    text = os.fspath(value)
    if not is_path(text):
        raise refusal("bad-path", "is not a path", "write a path relative to the folder of the file, as in './models'")
    context = cast("dict[str, Path] | None", info.context)
    return absolute_path(text, context["folder"] if context else Path.cwd())


FolderPath = Annotated[Path, BeforeValidator(resolve_path), WithJsonSchema({"type": "string", "format": "path"})]
