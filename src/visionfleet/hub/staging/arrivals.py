"""Archives that go past the hub, straight into a bucket: nobody tells when one is there, so the hub looks.

One listing tells of all shards of a batch, however many are on their way. Where none has come, the next look at the
batch waits longer, so that what was announced and never uploaded costs little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import select

from visionfleet.hub.context import Hub
from visionfleet.hub.staging.batches import REGISTERED, shard_uploaded
from visionfleet.hub.store.tables import Shard, Task, TaskKind, TaskState

FIRST_WAIT_SECONDS = 1
MAX_WAIT_SECONDS = 30


class Arrivals:
    """Looks for archives, and remembers when each batch is due for the next look."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._awaited: Mapping[str, set[str]] = {}
        self._due: dict[str, tuple[float, float]] = {}  # folder -> next look, wait after it

    def look(self) -> int:
        """Start the ingest of what has come; gives how many archives that were."""
        now = self._hub.store.clock()
        before, self._awaited = self._awaited, _awaited(self._hub)
        self._due = {folder: due for folder, due in self._due.items() if folder in self._awaited}
        found = 0
        for folder, keys in self._awaited.items():
            due, wait = self._due.get(folder, (now, FIRST_WAIT_SECONDS))
            if keys - before.get(folder, set()):  # announced since: its upload has begun
                due, wait = now, FIRST_WAIT_SECONDS
            if due > now:
                continue
            come = keys & self._hub.storage.files(folder)
            for key in come:
                shard_uploaded(self._hub, key)
            found += len(come)
            wait = FIRST_WAIT_SECONDS if come else min(2 * wait, MAX_WAIT_SECONDS)
            self._due[folder] = now + wait, wait
        return found


def _awaited(hub: Hub) -> Mapping[str, set[str]]:
    """The keys of the archives that were announced and have not come, by their folder."""
    # from the tasks, whose index finds the few that wait among all that have been
    waiting = (Task.state == TaskState.QUEUED, Task.kind == TaskKind.INGEST, Shard.status_name == REGISTERED)
    folders: defaultdict[str, set[str]] = defaultdict(set)
    with hub.store.read() as session:
        for key in session.scalars(select(Shard.object_key).join(Task, Task.id == Shard.id).where(*waiting)):
            folders[key.rpartition("/")[0]].add(key)
    return folders
