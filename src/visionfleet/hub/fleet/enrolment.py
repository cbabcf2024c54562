"""How a device gets its key."""

from __future__ import annotations

from visionfleet.hub.context import Hub
from visionfleet.hub.keys import Role, active_digests, replace_device_key
from visionfleet.protocol import ClientKeysAnswer, EnrolAnswer


def enrol(hub: Hub, workspace: str, name: str) -> EnrolAnswer:
    """Give a device of the file a key; its earlier ones are refused from now on. Raises HubError 404."""
    key_id, key = replace_device_key(hub.store, workspace, hub.roster.check_known(name))
    return EnrolAnswer(key_id=key_id, key=key)


def client_keys(hub: Hub, workspace: str) -> ClientKeysAnswer:
    """What a device needs to tell clients from strangers while the hub is away."""
    return ClientKeysAnswer(client_keys=tuple(active_digests(hub.store, workspace, Role.CLIENT)))
