"""The models as a tree: which section and which field a location in the file belongs to.

Where a `kind` tells sections apart, pydantic puts the kind into its locations: `("network", "managed", "cidr")`. The
functions here take locations with it and without it.
"""

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from visionfleet.config.section import Location, Section

KIND = "kind"  # the key that tells sections apart
OF_KEY = "[key]"  # what pydantic appends to the place of a mapping's key where the key itself is wrong


def value_types(annotation: Any) -> tuple[Any, ...]:
    """The types of a value, or of a list's entries, without None: those of `tuple[Model, ...] | None` are `Model`."""
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        return tuple(kind for part in get_args(annotation) if part is not NoneType for kind in value_types(part))
    if origin in {tuple, Annotated}:
        return value_types(get_args(annotation)[0])
    return (annotation,)


def value_type(annotation: Any) -> Any:
    """The type of a value, or of a list's entries; the first, where there are several."""
    return value_types(annotation)[0]


def constraints(field: FieldInfo) -> Iterator[Any]:
    """What a field's values must keep to; in `Annotated[int, Field(ge=1)] | None` it stands with the type."""
    yield from field.metadata
    for part in get_args(field.annotation):
        if get_origin(part) is Annotated:
            yield from (rule for given in get_args(part) if isinstance(given, FieldInfo) for rule in given.metadata)


def is_mapping(annotation: Any) -> bool:
    """Whether a value is a mapping of the user's own keys, as labels are."""
    return any(get_origin(kind) is Mapping for kind in value_types(annotation))


def sections_of(annotation: Any) -> tuple[type[Section], ...]:
    """The sections that a value, or a list's entries, can be: one a kind."""
    return tuple(kind for kind in value_types(annotation) if isinstance(kind, type) and issubclass(kind, Section))


def kind_of(section: type[Section]) -> str:
    """The value of `kind` that a section goes by, where there are several."""
    return str(get_args(section.model_fields[KIND].annotation)[0])


def fields_of(section: type[Section]) -> dict[str, FieldInfo]:
    """A section's fields by the names that the file uses."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def field_at(root: type[Section], location: Location) -> FieldInfo | None:
    """The field at `location`; of an entry of a list or a mapping, its field. None where the models know nothing."""
    field: FieldInfo | None = None
    sections = (root,)
    for key in location:
        if isinstance(key, int) or (field is not None and is_mapping(field.annotation)):
            continue
        chosen = _chosen(sections, key)
        if chosen:
            sections = chosen
            continue
        field = next((fields_of(section)[key] for section in sections if key in fields_of(section)), None)
        if field is None:
            return None
        sections = sections_of(field.annotation)
    return field


def without_kinds(root: type[Section], location: Location) -> Location:
    """`location` as the file has it: without the kinds that pydantic puts in."""
    kept: list[str | int] = []
    location = location[:-1] if location[-1:] == (OF_KEY,) else location
    for index, key in enumerate(location):
        if isinstance(key, int) or not _chosen(sections_at(root, location[:index]), key):
            kept.append(key)
    return tuple(kept)


def sections_with(root: type[Section], key: str, path: str = "") -> list[str]:
    """The paths of the sections below `root` that have the key `key`."""
    found: list[str] = []
    for name, field in fields_of(root).items():
        below = f"{path}{name}[]" if get_origin(field.annotation) is tuple else f"{path}{name}"
        sections = sections_of(field.annotation)
        found += [below] if any(key in fields_of(section) for section in sections) else []
        found += [inner for section in sections for inner in sections_with(section, key, f"{below}.")]
    return list(dict.fromkeys(found))


def sections_at(root: type[Section], location: Location) -> tuple[type[Section], ...]:
    """The sections that can stand at `location`, or as entries of a list there; none where something else does."""
    sections = (root,)
    for key in location:
        if isinstance(key, str):
            sections = _chosen(sections, key) or _below(sections, key)
    return sections


def section_at(root: type[Section], location: Location) -> type[Section]:
    """The section at `location`, which must lead to one."""
    return sections_at(root, location)[0]


def _chosen(sections: tuple[type[Section], ...], key: str) -> tuple[type[Section], ...]:
    return tuple(section for section in sections if kind_of(section) == key) if len(sections) > 1 else ()


def _below(sections: tuple[type[Section], ...], key: str) -> tuple[type[Section], ...]:
    fields = (fields_of(section).get(key) for section in sections)
    return tuple(below for field in fields if field is not None for below in sections_of(field.annotation))
