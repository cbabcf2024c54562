"""A STAND-IN for Pulumi's AWS provider plugin, for tests: the plugin's binary cannot be built from its public modules.

It answers the engine's provider protocol, and turns each resource into AWS calls by boto3, to the endpoint that
AWS_ENDPOINT_URL names (moto's server). The engine, the SDK, the state and the AWS calls are real; which inputs force a
replacement and which outputs there are stands in the table beside it, for the types that this project uses and no
other: an unknown type, function or input fails by its name. Where the real plugin is installed,
VISIONFLEET_AWS_PLUGIN=real runs the same tests with it.

    python -m tests.engines.aws.plugin [ENGINE]     prints its port and serves until its parent ends
"""

# ruff: noqa: ARG002, N802 - names and signatures are the protocol's

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any

import boto3
import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.engines.aws.checks import DEFAULTS, Differences, compare, complete
from tests.engines.aws.invokes import INVOKES
from tests.engines.aws.kinds import Kind, check_inputs
from tests.engines.aws.resources import Properties, Resources
from tests.engines.aws.shapes import simplify
from tests.engines.aws.store import Store
from tests.engines.aws.table import KINDS

THREADS = 32
ACCOUNT = "123456789012"  # moto's
STATE = "VISIONFLEET_STANDIN_STATE"  # the file that holds what moto cannot
DELAY = "VISIONFLEET_STANDIN_DELAY"  # seconds that each creation takes longer, so that a test can interrupt


class Session:
    """The region, and one client for each service."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.account = ACCOUNT
        self._clients: dict[str, Any] = {}
        self._lock = Lock()
        self._session = boto3.Session(region_name=region)

    def client(self, service: str) -> Any:
        """A client; making one is not safe in threads, using it is."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(service)
            return self._clients[service]


class UnknownType(Exception):
    """A resource type or function that the table does not have."""


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol. Errors reach the engine as text, and so the user of a failed test."""

    def __init__(self) -> None:
        self._default_tags: dict[str, str] = {}
        self._session = Session(os.environ.get("AWS_REGION", "us-east-1"))
        self._store = Store(Path(os.environ[STATE]))
        self._resources = Resources(self._session, self._store)

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="7.51.1")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return _difference(compare(None, unpack(request.old_inputs), unpack(request.news)))

    def Configure(self, request: Any, context: Any) -> Any:
        given = {name.removeprefix("aws:config:"): value for name, value in request.variables.items()}
        tags = json.loads(given.get("defaultTags") or "{}").get("tags") or {}
        self._default_tags = json.loads(tags) if isinstance(tags, str) else tags
        if given.get("region"):
            self._session = Session(given["region"])
            self._resources = Resources(self._session, self._store)
        return provider_pb2.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    def Check(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn)
        news = unpack(request.news)
        check_inputs(self._session, kind, news)
        proposed = request.autonaming.proposed_name if request.HasField("autonaming") else ""
        inputs = complete(kind, request.urn, news, unpack(request.olds), self._default_tags, proposed)
        return provider_pb2.CheckResponse(inputs=pack(inputs))

    def Diff(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn)
        return _difference(compare(kind, unpack(request.old_inputs), unpack(request.news)))

    def Create(self, request: Any, context: Any) -> Any:
        kind, inputs = self._kind(request.urn), _real(unpack(request.properties))
        if request.preview:
            return provider_pb2.CreateResponse(properties=pack(inputs))
        time.sleep(float(os.environ.get(DELAY, "0")))
        identifier, outputs = self._resources.create(kind, inputs)
        return provider_pb2.CreateResponse(id=identifier, properties=pack(outputs))

    def Read(self, request: Any, context: Any) -> Any:
        kind, inputs = self._kind(request.urn), unpack(request.inputs)
        found = self._resources.read(kind, request.id, _real(inputs), unpack(request.properties))
        if found is None:
            return provider_pb2.ReadResponse()
        kept = {name: value for name, value in inputs.items() if name == DEFAULTS}
        return provider_pb2.ReadResponse(id=request.id, inputs=pack({**found[0], **kept}), properties=pack(found[1]))

    def Update(self, request: Any, context: Any) -> Any:
        kind, state = self._kind(request.urn), unpack(request.olds)
        inputs, old = _real(unpack(request.news)), _real(unpack(request.old_inputs))
        if request.preview:
            stable = {name: value for name, value in state.items() if name not in kind.volatile.split()}
            return provider_pb2.UpdateResponse(properties=pack({**stable, **inputs}))
        outputs = self._resources.update(kind, request.id, inputs, old, state)
        return provider_pb2.UpdateResponse(properties=pack(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn)
        inputs = _real(unpack(request.old_inputs))
        self._resources.delete(kind, request.id, inputs, unpack(request.properties))
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        function = INVOKES.get(request.tok)
        if function is None:
            raise UnknownType(
                f"the AWS stand-in does not know the function {request.tok}; its table has {_list(INVOKES)}"
            )
        answer = function(self._session, unpack(request.args))
        return provider_pb2.InvokeResponse(**{"return": pack({**answer, "region": self._session.region})})

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def _kind(self, urn: str) -> Kind:
        token = urn.split("::")[2].rpartition("$")[2]
        if token not in KINDS:
            raise UnknownType(f"the AWS stand-in does not know the type {token}; its table has {_list(KINDS)}")
        return KINDS[token]


class Failures(grpc.ServerInterceptor):
    """Every exception reaches the engine with its text, and no traceback reaches the log."""

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler

        def answer(request: Any, context: Any) -> Any:
            try:
                return handler.unary_unary(request, context)
            except Exception as error:  # noqa: BLE001 - whatever it is, the engine is to show it
                context.abort(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


def unpack(message: Any) -> Properties:
    """Properties as plain values, whole numbers as such."""
    return simplify(json_format.MessageToDict(message))


def pack(properties: Properties) -> Any:
    """Plain values as the protocol's structure; dates become text."""
    message = struct_pb2.Struct()
    json_format.ParseDict(json.loads(json.dumps(properties, default=str)), message)
    return message


def _real(inputs: Properties) -> Properties:
    """The inputs without the note which of them are the provider's own."""
    return {name: value for name, value in inputs.items() if name != DEFAULTS}


def _difference(found: Differences) -> Any:
    kinds = provider_pb2.PropertyDiff
    details = {
        name: kinds(kind=kinds.UPDATE_REPLACE if name in found.replacing else kinds.UPDATE, inputDiff=True)
        for name in found.changed
    }
    answer = provider_pb2.DiffResponse
    return answer(
        changes=answer.DIFF_SOME if found.changed else answer.DIFF_NONE,
        diffs=found.changed,
        replaces=found.replacing,
        deleteBeforeReplace=found.delete_first,
        detailedDiff=details,
        hasDetailedDiff=True,
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def main() -> None:
    """Serves on a free port of the loopback until the engine ends it."""
    stopped = Event()
    # the engine ends its plugins by SIGINT, and waits five seconds before it takes stronger means; a Ctrl-C in the
    # terminal does not reach them, since each has a process group of its own
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=[Failures()], options=limits)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    stopped.wait()
    server.stop(grace=None)


if __name__ == "__main__":
    main()
