"""The life of one resource: made, changed, read and deleted as the table says, by real AWS calls."""

from __future__ import annotations

import contextlib
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import StructureShape

from tests.engines.aws.kinds import Call, Cloud, Kind, Scope, input_shape, is_gone
from tests.engines.aws.shapes import convert
from tests.engines.aws.store import Store
from tests.engines.aws.table import TAGGING, UNSUPPORTED_BY_MOTO

Properties = dict[str, Any]


class Resources:
    """What the provider does for each resource type, against one region."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self._cloud = cloud
        self._store = store

    def create(self, kind: Kind, inputs: Properties) -> tuple[str, Properties]:
        """Makes it; returns its id and outputs. What fails half-way is taken back."""
        scope = Scope(self._cloud, kind, inputs)
        if kind.token in UNSUPPORTED_BY_MOTO:
            scope.id = scope.value(kind.id)
            return scope.id, self._keep(scope)
        steps = scope.run(kind.create)
        if kind.id[0] in "=$":
            scope.id = scope.value(kind.id)
            next(steps, None)
        else:
            scope.id = scope.answer(kind.id, next(steps))
        try:
            for _ in steps:
                pass
            for _ in scope.run(kind.settings):
                pass
            return scope.id, self._tagged_outputs(scope)
        except BaseException:
            with contextlib.suppress(ClientError):
                self.delete(kind, scope.id, scope.inputs, scope.state)
            raise

    def update(self, kind: Kind, identifier: str, inputs: Properties, old: Properties, state: Properties) -> Properties:
        """Changes what differs between the inputs; returns the outputs."""
        scope = Scope(self._cloud, kind, inputs, old=old, state=state, id=identifier)
        if kind.token in UNSUPPORTED_BY_MOTO:
            return self._keep(scope)
        for _ in scope.run((*kind.settings, *kind.update)):
            pass
        return self._tagged_outputs(scope)

    def read(
        self, kind: Kind, identifier: str, inputs: Properties, state: Properties
    ) -> tuple[Properties, Properties] | None:
        """Its inputs and outputs as they are now; None where it is gone."""
        scope = Scope(self._cloud, kind, inputs, state=state, id=identifier)
        if kind.token in UNSUPPORTED_BY_MOTO:
            kept = self._store.read(kind.token, identifier)
            return None if kept is None else (inputs, kept)
        found = scope.find()
        if found is None:
            return None
        scope.inputs = scope.observed(found)
        return scope.inputs, {**state, **scope.outputs(found)}

    def delete(self, kind: Kind, identifier: str, inputs: Properties, state: Properties) -> None:
        """Removes it; that it is gone already is no error."""
        if kind.token in UNSUPPORTED_BY_MOTO:
            self._store.remove(kind.token, identifier)
            return
        scope = Scope(self._cloud, kind, inputs, state=state, id=identifier)
        try:
            for _ in scope.run(kind.delete):
                pass
        except ClientError as error:
            if not is_gone(error) or scope.find() is not None:
                raise

    def _keep(self, scope: Scope) -> Properties:
        outputs = scope.outputs({})
        self._store.write(scope.kind.token, scope.id, outputs)
        return outputs

    def _tagged_outputs(self, scope: Scope) -> Properties:
        found = scope.find()
        if found is None:
            raise LookupError(
                f"{scope.kind.token} {scope.id} was made and cannot be found: the table's `read` is wrong"
            )
        outputs = scope.outputs(found)
        if scope.kind.tags:
            self._tag(scope)
        return outputs

    def _tag(self, scope: Scope) -> None:
        calls = TAGGING.get(scope.kind.token, TAGGING.get(scope.kind.service))
        if calls is None:
            return
        tag, untag = calls
        new, old = scope.inputs.get("tags") or {}, (scope.old or {}).get("tags") or {}
        gone = {name: value for name, value in old.items() if name not in new}
        if gone and untag is not None:
            self._send_tags(scope, untag, gone)
        if new != old:
            self._send_tags(scope, tag, new)

    def _send_tags(self, scope: Scope, call: Call, tags: dict[str, str]) -> None:
        """Tags in the form that the operation's model asks for: a map, a list of pairs, a document, or keys alone."""
        shape = input_shape(self._cloud, scope.kind, call)
        name = next(member for member in ("Tags", "tags", "Tagging", "TagKeys", "tagKeys") if member in shape.members)
        member = shape.members[name]
        given: Any = {"TagSet": tags} if isinstance(member, StructureShape) else tags
        if name.endswith("Keys"):
            given = list(tags)
        if given:
            scope.call(call.operation, **scope.value(call.fixed), **{name: convert(given, member, name)})
