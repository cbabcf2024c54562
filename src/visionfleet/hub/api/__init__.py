"""The hub's HTTP routes: they parse, call a service, answer. The rules are in the services."""

from visionfleet.hub.api.app import create_app

__all__ = ["create_app"]
