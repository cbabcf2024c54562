"""The models as a tree: which section and which field a location in the file belongs to."""

from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from visionfleet.config.section import Location, Section


def value_type(annotation: Any) -> Any:
    """The type of a value, or of a list's entries: `tuple[Model, ...]` and `Model | None` are both `Model`."""
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        return value_type(next(part for part in get_args(annotation) if part is not NoneType))
    if origin is tuple:
        return value_type(get_args(annotation)[0])
    return annotation


def fields_of(section: type[Section]) -> dict[str, FieldInfo]:
    """A section's fields by the names that the file uses."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def field_at(root: type[Section], location: Location) -> FieldInfo | None:
    """The field at `location`; of an entry of a list, the list's field. None where the models know nothing."""
    field: FieldInfo | None = None
    section: Any = root
    for key in location:
        if isinstance(key, int):
            continue
        if not (isinstance(section, type) and issubclass(section, Section)):
            return None
        field = fields_of(section).get(key)
        if field is None:
            return None
        section = value_type(field.annotation)
    return field


def sections_with(root: type[Section], key: str, path: str = "") -> list[str]:
    """The paths of the sections below `root` that have the key `key`."""
    found: list[str] = []
    for name, field in fields_of(root).items():
        section = value_type(field.annotation)
        if isinstance(section, type) and issubclass(section, Section):
            below = f"{path}{name}[]" if get_origin(field.annotation) is tuple else f"{path}{name}"
            found += [below] if key in section.model_fields else []
            found += sections_with(section, key, f"{below}.")
    return found


def section_at(root: type[Section], location: Location) -> type[Section]:
    """The section at `location`, which must lead to one."""
    field = field_at(root, location)
    return value_type(field.annotation) if field is not None else root
