"""What every section of the file shares: the base model, and rules across fields.

Rules across fields run on the raw data (`peek`), beside pydantic's field checks and whatever these find: pydantic's own
"after" validators are skipped as soon as one field is wrong, and the user would meet the problems one by one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, LiteralString, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
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


def entries(value: object) -> list[object]:
    """The entries of a list, in data that nothing has checked yet; none where it is no list."""
    return cast("list[object]", value) if isinstance(value, list) else []


def mapping(value: object) -> dict[str, object]:
    """The keys and values of a mapping, in data that nothing has checked yet; none where it is no mapping."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _as_details(breach: Breach) -> InitErrorDetails:
    error = refusal(breach.code, breach.rule, breach.fix)
    return InitErrorDetails(type=error, loc=breach.location, input=breach.value)


def _details_of(error: ValidationError) -> Iterator[InitErrorDetails]:
    """The lines of `error`, fit to be raised again: type and context are all that the translation reads."""
    for line in error.errors(include_url=False):
        kind = PydanticCustomError(cast("LiteralString", line["type"]), "", line.get("ctx"))
        yield InitErrorDetails(type=kind, loc=line["loc"], input=line["input"])
