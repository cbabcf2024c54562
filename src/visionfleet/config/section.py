"""What every section of the file shares: the base model, rules across fields, and the kinds of text and paths.

Rules across fields run on the raw data (`peek`), beside pydantic's field checks and whatever these find: pydantic's own
"after" validators are skipped as soon as one field is wrong, and the user would meet the problems one by one.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, LiteralString, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that the data breaks, `location` being relative to the section that states the rule."""

    location: Location
    value: object
    code: str
    rule: str
    fix: str


CrossRule = Callable[[object], Iterator[Breach]]


class Section(BaseModel):
    """A part of the file: unknown keys are refused and nothing changes once it is loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


S = TypeVar("S", bound=Section)


def defaults(section: type[S]) -> Callable[[], S]:  # noqa: ARG001 - it carries the type
    """The default of a section that is left out: validated like `{}`, so that its paths get the file's folder."""
    return lambda: cast("S", {})


class RuledSection(Section):
    """A section with rules across its fields; each is reported beside the problems of single fields."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _check_cross_rules(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        breaches = [_as_details(breach) for rule in cls.cross_rules for breach in rule(data)]
        try:
            section = handler(data)
        except ValidationError as error:
            raise ValidationError.from_exception_data(cls.__name__, [*_details_of(error), *breaches]) from None
        if breaches:
            raise ValidationError.from_exception_data(cls.__name__, breaches)
        return section


def refusal(code: str, rule: str, fix: str) -> PydanticCustomError:
    """The error that a field's validator raises; `rule` and `fix` reach the user as they are."""
    return PydanticCustomError(cast("LiteralString", code), "{rule}", {"rule": rule, "fix": fix})


def peek(data: object, *keys: str, default: object = None) -> object:
    """The value at `keys` in data that nothing has checked yet, else `default`."""
    for key in keys:
        if not isinstance(data, dict) or key not in data:
            return default
        data = cast("dict[str, object]", data)[key]
    return data


def _as_details(breach: Breach) -> InitErrorDetails:
    error = refusal(breach.code, breach.rule, breach.fix)
    return InitErrorDetails(type=error, loc=breach.location, input=breach.value)


def _details_of(error: ValidationError) -> Iterator[InitErrorDetails]:
    """The lines of `error`, fit to be raised again: type and context are all that the translation reads."""
    for line in error.errors(include_url=False):
        kind = PydanticCustomError(cast("LiteralString", line["type"]), "", line.get("ctx"))
        yield InitErrorDetails(type=kind, loc=line["loc"], input=line["input"])


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
    r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
    "is not a registry",
    "write host[:port][/prefix] without a scheme, as in 'registry.acme.example/mirror'",
)
DIGEST = TextRule(r"^sha256:[0-9a-f]{64}$", "is not an image digest", "write 'sha256:' and 64 hexadecimal digits")
URL = TextRule(
    r"^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?$",
    "is not the URL of a server",
    "write scheme, host and perhaps a port, as in 'https://hub.acme.example', without a path or a user",
)
TEXT_RULES = {
    rule.pattern: rule for rule in (LABEL, SLUG, MODEL_ID, VERSION, DOMAIN, HOST, REPOSITORY, REGISTRY, DIGEST, URL)
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
# strict: neither "9500" nor 9500.0 nor true is a number that somebody meant
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Count = Annotated[int, Field(strict=True, ge=0, le=10_000)]
PositiveCount = Annotated[int, Field(strict=True, ge=1, le=10_000)]


def resolve_path(value: object, info: ValidationInfo) -> object:
    """Make a path of the file absolute: it is relative to the file's folder, not to where the command runs."""
    if not isinstance(value, str | Path):
        return value
    text = os.fspath(value)
    if not text.strip() or "\0" in text:
        raise refusal("bad-path", "is not a path", "write a path relative to the folder of the file, as in './models'")
    context = cast("dict[str, Path] | None", info.context)
    folder = context["folder"] if context else Path.cwd()
    # normpath and not resolve: a link in the path is the user's business, and stays visible in messages
    return Path(os.path.normpath(os.path.join(folder, os.path.expanduser(text))))  # noqa: PTH111, PTH118 - ten times faster than Path


FolderPath = Annotated[Path, BeforeValidator(resolve_path, json_schema_input_type=str)]
