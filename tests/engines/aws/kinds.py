"""What the table of the stand-in is made of: a `Kind` a resource type, a `Call` an AWS operation.

A template is how a call names its parameters: `"$vpcId"` is an input, an output or `id` (a path of JMESPath),
`"={id}-x"` a format of them, a function is asked with the `Scope`, everything else stands for itself; what comes out as
None is left out. With `auto`, all inputs that the operation's model knows are added by the rule of shapes.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jmespath
from botocore.exceptions import ClientError
from botocore.model import StructureShape

from tests.engines.aws.shapes import UnknownInput, as_text, convert, find_member, plain

SCALARS = (str, int, float, bool)
ALWAYS_BY_HAND = ("region", "__defaults")
GONE = re.compile(r"NotFound|NoSuch|NonExist|DoesNotExist|^404$")
WAIT_SECONDS = 300
POLL_SECONDS = 0.1


class Cloud(Protocol):
    """Where the calls go."""

    region: str
    account: str

    def client(self, service: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS operation and how its parameters come about."""

    operation: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    auto: bool = False
    whole: bool = False  # on an update, send all the inputs, not only the changed ones
    only: str = ""  # these inputs alone, and only where one of them is there (on an update: has changed)
    into: str = ""  # the member that the mapped inputs belong in
    spread: str = ""  # an input whose own fields are mapped beside the others
    when: Callable[[Scope], Any] | None = None
    until: str = ""  # asked again until this path of the answer is true

    @property
    def inputs(self) -> frozenset[str]:
        """The inputs that it names itself."""
        return frozenset([*self.only.split(), *_named(self.fixed), *filter(None, [self.spread])])


Step = Call | Callable[["Scope"], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource type. `id` is a template, or a path of the first call's answer; names are separated by spaces."""

    name: str  # "ec2.Vpc"
    service: str
    id: str
    create: tuple[Step, ...] = ()
    settings: tuple[Step, ...] = ()  # after create, and on every update that changes their inputs
    update: tuple[Step, ...] = ()
    delete: tuple[Step, ...] = ()
    read: Call | None = None
    found: str | Callable[[Any, Scope], Any] = ""  # where the answer tells of it; nothing there: it is gone
    outputs: Mapping[str, Any] = field(default_factory=dict)  # paths of what was found, templates or functions
    replace: str = ""  # inputs whose change replaces it; * is every one but tags
    volatile: str = ""  # outputs that an update may change: unknown in a preview
    rename: Mapping[str, str] = field(default_factory=dict)  # input (a.b for a nested one) -> member
    by_hand: str = ""  # inputs that only a function here, or the real provider, looks at
    tags: bool = False
    named: str = ""  # the input that Pulumi makes up a name for
    name_limit: int = 255
    name_prefix: str = ""

    @property
    def token(self) -> str:
        """Its name in Pulumi: aws:ec2/vpc:Vpc."""
        module, name = self.name.split(".")
        return f"aws:{module}/{name[0].lower()}{name[1:]}:{name}"

    @property
    def calls(self) -> tuple[Call, ...]:
        """All that sends inputs."""
        return tuple(step for step in (*self.create, *self.settings, *self.update) if isinstance(step, Call))

    def member(self, shape: StructureShape, path: str) -> str | None:
        """The member of a call that an input means; a role's `name` is the `RoleName`."""
        above, _, name = path.rpartition(".")
        return find_member(shape, self.rename.get(path, name), above or self.name.partition(".")[2])

    def replaces(self, changed: Iterable[str]) -> list[str]:
        """Which of the changed inputs force a new resource."""
        names = self.replace.split()
        return [name for name in changed if name in names or ("*" in names and name not in ("tags", "tagsAll"))]


@dataclass(slots=True)
class Scope:
    """One resource while it is worked on."""

    cloud: Cloud
    kind: Kind
    inputs: dict[str, Any]
    old: dict[str, Any] | None = None  # the inputs before an update
    state: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    response: Any = None

    @property
    def names(self) -> dict[str, Any]:
        """What templates may name."""
        more = {"id": self.id, "response": self.response, "region": self.cloud.region, "account": self.cloud.account}
        return {**self.state, **self.inputs, **more}

    @property
    def changed(self) -> set[str]:
        """The inputs that are other than before."""
        if self.old is None:
            return set(self.inputs)
        return {name for name in {*self.inputs, *self.old} if self.inputs.get(name) != self.old.get(name)}

    def value(self, template: Any) -> Any:
        """What a template stands for here."""
        if callable(template):
            return template(self)
        if isinstance(template, str) and template.startswith("$"):
            return jmespath.search(template[1:], self.names)
        if isinstance(template, str) and template.startswith("="):
            return template[1:].format_map(self.names)
        if isinstance(template, Mapping):
            return {key: item for key, part in template.items() if (item := self.value(part)) is not None}
        if isinstance(template, list):
            return [item for part in template if (item := self.value(part)) is not None]
        return template

    def call(self, operation: str, **parameters: Any) -> Any:
        """An AWS call as it stands."""
        return getattr(self.cloud.client(self.kind.service), operation)(**parameters)

    def answer(self, path: str, response: Any) -> Any:
        """What a path finds in an answer. Raises LookupError where it finds nothing."""
        found = jmespath.search(path, response)
        if found is None:
            raise LookupError(f"{self.kind.token}: no {path} in {response}")
        return found

    def run(self, steps: Iterable[Step]) -> Iterator[Any]:
        """The answers of the steps that have something to do."""
        for step in steps:
            if not isinstance(step, Call):
                step(self)
            elif self._is_due(step):
                self.response = self._ask(step)
                yield self.response

    def find(self) -> Any:
        """What AWS says of it now, or None."""
        if self.kind.read is None:
            return {}
        try:
            response = self._ask(self.kind.read)
        except ClientError as error:
            if is_gone(error):
                return None
            raise
        if callable(self.kind.found):
            return self.kind.found(response, self)
        return jmespath.search(self.kind.found.format_map(self.names), response) or None

    def observed(self, found: Any) -> dict[str, Any]:
        """The inputs as AWS has them now: simple values whose name the rule finds in what AWS says."""
        if not isinstance(found, Mapping):
            return self.inputs
        actual = {plain(name): value for name, value in found.items()}
        seen = dict(self.inputs)
        for name in self.inputs.keys() - set(self.kind.by_hand.split()):
            value, there = self.inputs[name], actual.get(plain(self.kind.rename.get(name, name)))
            if isinstance(value, SCALARS) and isinstance(there, SCALARS) and as_text(value) != as_text(there):
                seen[name] = there
        return seen

    def outputs(self, found: Any) -> dict[str, Any]:
        """The inputs and what is computed beside them."""
        known = dict(self.inputs)
        self.state = {**self.state, **known}
        for name, template in self.kind.outputs.items():
            if callable(template):
                known[name] = template(found, self)
            elif template[0] in "=$":
                known[name] = self.value(template)
            else:
                known[name] = jmespath.search(template, found)
            self.state[name] = known[name]
        if self.kind.tags:
            known["tagsAll"] = self.inputs.get("tags", {})
        return {**known, "region": self.cloud.region}

    def _is_due(self, call: Call) -> bool:
        if call.when is not None and not call.when(self):
            return False
        if call.only:
            return not self.changed.isdisjoint(call.only.split())
        if self.old is not None and call.auto:
            return any(covers(self.cloud, self.kind, call, name) for name in self.changed)
        return True

    def _ask(self, call: Call) -> Any:
        shape = input_shape(self.cloud, self.kind, call)
        parameters = self._mapped(call, shape) if call.auto else {}
        for name, item in self.value(call.fixed).items():
            parameters[name] = convert(item, shape.members[name], name)
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            response = self.call(call.operation, **parameters)
            if not call.until or jmespath.search(call.until, response):
                return response
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.kind.token}: not within {WAIT_SECONDS} s: {call.until}")
            time.sleep(POLL_SECONDS)

    def _mapped(self, call: Call, shape: StructureShape) -> dict[str, Any]:
        inner, mapped = _inner(shape, call), {}
        for path, value in self._sent(call):
            member = self.kind.member(inner, path)
            if member is not None:
                mapped[member] = convert(value, inner.members[member], path, self.kind.rename)
        for part in reversed(call.into.split(".") if call.into else []):
            mapped = {part: mapped}
        return mapped

    def _sent(self, call: Call) -> Iterator[tuple[str, Any]]:
        """The inputs that a call may send, by their path."""
        partial = self.old is not None and not (call.whole or call.only)
        for name in call.only.split() or self.inputs:
            value = self.inputs.get(name)
            if value is None or name in _aside(self.kind) or (partial and name not in self.changed):
                continue
            if name == call.spread:
                yield from ((f"{name}.{key}", item) for key, item in one(value).items() if item is not None)
            else:
                yield name, value


def one(block: Any) -> dict[str, Any]:
    """A block that occurs once: itself, or a list of one."""
    return (block[0] if block else {}) if isinstance(block, list) else (block or {})


def is_gone(error: ClientError) -> bool:
    """Whether AWS says that there is no such thing."""
    return bool(GONE.search(error.response["Error"]["Code"]))


def input_shape(cloud: Cloud, kind: Kind, call: Call) -> StructureShape:
    """The model of an operation's parameters."""
    client = cloud.client(kind.service)
    return client.meta.service_model.operation_model(client.meta.method_to_api_mapping[call.operation]).input_shape


def covers(cloud: Cloud, kind: Kind, call: Call, name: str) -> bool:
    """Whether a call takes an input."""
    if name in call.inputs:
        return True
    if call.only or not call.auto or name in _aside(kind):
        return False
    return kind.member(_inner(input_shape(cloud, kind, call), call), name) is not None


def check_inputs(cloud: Cloud, kind: Kind, names: Iterable[str]) -> None:
    """Raises UnknownInput for an input that nothing in the table takes: it would be lost in silence."""
    known = {*kind.by_hand.split(), *_aside(kind), f"{kind.named}Prefix"}
    lost = [
        name for name in names if name not in known and not any(covers(cloud, kind, call, name) for call in kind.calls)
    ]
    if lost and kind.calls:
        raise UnknownInput(f"the AWS stand-in does not know these inputs of {kind.token}: {', '.join(sorted(lost))}")


def _inner(shape: StructureShape, call: Call) -> StructureShape:
    """The structure that a call's mapped inputs go into."""
    inner: Any = shape
    for part in call.into.split(".") if call.into else []:
        inner = inner.members[part]
    return inner


def _aside(kind: Kind) -> tuple[str, ...]:
    return (*ALWAYS_BY_HAND, "tags", "tagsAll") if kind.tags else ALWAYS_BY_HAND


def _named(template: Any) -> Iterator[str]:
    """The inputs that a template names."""
    if isinstance(template, Mapping):
        template = list(template.values())
    if isinstance(template, list):
        for part in template:
            yield from _named(part)
    elif isinstance(template, str) and template.startswith("$"):
        yield re.split(r"\W", template[1:])[0]
    elif isinstance(template, str) and template.startswith("="):
        yield from re.findall(r"\{(\w+)\}", template)
