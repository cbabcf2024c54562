"""The program under Pulumi's mocks: what a build registers is recorded, and nothing leaves the process.

    recording = record(lambda: Network("acme", plan, options()))
    recording.one("aws:ec2/vpc:Vpc").inputs["cidrBlock"]
    recording.outputs["vpc_id"]

Inputs have the names that the engine sees (camelCase). Outputs that AWS makes up come from `OUTPUTS`, look-ups from
`CALLS`, which fail for what is not in there; a test passes its own along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs

from infra.components.common import stack_options

ACCOUNT = "123456789012"
REGION = "eu-central-1"
TAGS = {"visionfleet": "acme-vision", "owner": "vision-team", "cost-centre": "4711"}
ZONES = tuple(f"{REGION}{letter}" for letter in "abc")

Outputs = Callable[["Resource"], Mapping[str, Any]]
Call = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Resource:
    """One registered resource. `parent` is the parent's URN, `provider` a reference that ends in `::<id>`."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    parent: str
    provider: str
    protected: bool = False
    ignores: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.name}-id"

    @property
    def parent_type(self) -> str:
        """The type of the parent; empty for the stack itself."""
        return self.parent.split("::")[2].rsplit("$", 1)[-1] if self.parent else ""

    def __str__(self) -> str:
        return f"{self.type} '{self.name}'"


@dataclass
class Recording:
    """Everything that a build registered, in order, its look-ups, and the outputs of the component that it returned."""

    resources: list[Resource] = field(default_factory=list)
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def all(self, type_: str) -> list[Resource]:
        """The resources of a type."""
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str, name: str | None = None) -> Resource:
        """The one resource of a type, or of a type and a name; anything else is a failed test."""
        found = [resource for resource in self.all(type_) if name in (None, resource.name)]
        assert len(found) == 1, f"{len(found)} of {type_} {name or ''}; recorded: {[str(r) for r in self.resources]}"
        return found[0]

    def of_aws(self) -> Iterator[Resource]:
        """The resources of the AWS provider."""
        return (resource for resource in self.resources if resource.type.startswith("aws:"))


def options() -> pulumi.ResourceOptions:
    """What the program gives to each component. Call it inside the build: it makes the provider."""
    return stack_options(REGION, TAGS)


def record(
    build: Callable[[], object],
    *,
    outputs: Mapping[str, Outputs] | None = None,
    calls: Mapping[str, Call] | None = None,
) -> Recording:
    """Run `build` until every output is known. `outputs` and `calls` add to, or replace, `OUTPUTS` and `CALLS`."""
    recording = Recording()
    mocks = _Mocks(recording, {**OUTPUTS, **(outputs or {})}, {**CALLS, **(calls or {})})
    with _event_loop():
        pulumi.runtime.set_mocks(mocks, project="visionfleet", stack="test", preview=False, monitor=_Monitor(mocks))
        pulumi.runtime.test(lambda: _named_outputs(build()).apply(recording.outputs.update))()
    return recording


def once(build: Callable[..., Recording]) -> Callable[..., Recording]:
    """A build that many tests look at, done once for plans of the same text: they have dictionaries."""
    made: dict[str, Recording] = {}

    @wraps(build)
    def remembered(*plans: object) -> Recording:
        key = repr(plans)
        if key not in made:
            made[key] = build(*plans)
        return made[key]

    return remembered


def _named_outputs(built: object) -> pulumi.Output[dict[str, Any]]:
    """A mapping's outputs, or a component's by attribute. One that fails must fail the test, used or not."""
    if isinstance(built, pulumi.ComponentResource):
        public = {name: item for name, item in vars(built).items() if not name.startswith("_")}
        built = {name: item for name, item in public.items() if _holds_output(item)}
    return pulumi.Output.all(**(built if isinstance(built, Mapping) else {}))


def _holds_output(item: object) -> bool:
    return isinstance(item, pulumi.Output) or (isinstance(item, list | tuple) and any(map(_holds_output, item)))


@contextmanager
def _event_loop() -> Iterator[None]:
    """A loop of its own, closed after use: the SDK leaves those that it makes to the garbage collector's complaints."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        _end(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """A build that failed leaves the outputs of what it did not get to: the failure is told, they are not."""
    loop.set_exception_handler(lambda *_: None)
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_default_executor())


class _Mocks(pulumi.runtime.Mocks):
    def __init__(self, recording: Recording, outputs: Mapping[str, Outputs], calls: Mapping[str, Call]) -> None:
        self._recording, self._outputs, self._calls = recording, outputs, calls
        self.requests: dict[tuple[str, str], Any] = {}

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        request = self.requests[args.typ, args.name]
        resource = Resource(
            type=args.typ,
            name=args.name,
            inputs=args.inputs,
            parent=request.parent,
            provider=args.provider or "",
            protected=request.protect,
            ignores=tuple(request.ignoreChanges),
            dependencies=tuple(request.dependencies),
        )
        self._recording.resources.append(resource)
        if not args.custom:
            return None, {}
        return resource.id, _state(resource, self._outputs)

    def call(self, args: MockCallArgs) -> Any:
        assert args.token in self._calls, f"{args.token} is looked up, and the mocks know no answer"
        self._recording.calls.append((args.token, args.args))
        return dict(self._calls[args.token](args.args))


class _Monitor(MockMonitor):
    """Keeps what mocks are not told of a registration, such as the parent."""

    mocks: _Mocks

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        self.mocks.requests[request.type, request.name] = request
        with _event_loop():
            return super().RegisterResource(request)

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        with _event_loop():
            return super().Invoke(request)


def _state(resource: Resource, outputs: Mapping[str, Outputs]) -> dict[str, Any]:
    """The inputs, an ARN and a name as AWS would give, and what is particular to the type."""
    _, module, type_name = resource.type.split(":")
    service, kind = module.split("/")[0], type_name.lower()
    made_up = {"arn": f"arn:aws:{service}:{REGION}:{ACCOUNT}:{kind}/{resource.name}", "name": resource.name}
    particular = outputs[resource.type](resource) if resource.type in outputs else {}
    return {**made_up, **resource.inputs, **particular}


def _subnet(subnet_id: str) -> dict[str, Any]:
    """A subnet of vpc-1 by its number: `subnet-4` is 10.0.4.0/24, in one of the zones."""
    number = int(subnet_id.rsplit("-", 1)[1])
    zone = ZONES[number % len(ZONES)]
    return {"id": subnet_id, "vpcId": "vpc-1", "cidrBlock": f"10.0.{number}.0/24", "availabilityZone": zone}


def _secret_arn(name: str) -> str:
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf"


OUTPUTS: dict[str, Outputs] = {
    "aws:s3/bucket:Bucket": lambda resource: {"bucket": resource.name, "arn": f"arn:aws:s3:::{resource.name}"},
    "aws:ec2/vpc:Vpc": lambda _: {"ownerId": ACCOUNT},
    "aws:ec2/launchTemplate:LaunchTemplate": lambda _: {"latestVersion": 1},
    "aws:eks/cluster:Cluster": lambda resource: {
        "endpoint": f"https://{resource.name}.gr7.{REGION}.eks.amazonaws.com",
        "vpcConfig": {**resource.inputs["vpcConfig"], "clusterSecurityGroupId": "sg-cluster"},
    },
    "aws:eks/nodeGroup:NodeGroup": lambda resource: {
        "resources": [{"autoscalingGroups": [{"name": f"eks-{resource.name}"}]}]
    },
    "aws:acm/certificate:Certificate": lambda resource: {
        "domainValidationOptions": [
            {
                "resourceRecordName": f"_1.{resource.inputs['domainName']}",
                "resourceRecordType": "CNAME",
                "resourceRecordValue": "_2.acm-validations.aws",
            }
        ]
    },
    "aws:lb/loadBalancer:LoadBalancer": lambda resource: {
        "arnSuffix": f"app/{resource.name}/1",
        "dnsName": f"{resource.name}.{REGION}.elb.amazonaws.com",
        "zoneId": "Z-elb",
    },
    "aws:lb/targetGroup:TargetGroup": lambda resource: {"arnSuffix": f"targetgroup/{resource.name}/2"},
    "aws:secretsmanager/secret:Secret": lambda resource: {"arn": _secret_arn(resource.name)},
    "aws:kms/key:Key": lambda resource: {"keyId": resource.id},
    "aws:iam/role:Role": lambda resource: {"arn": f"arn:aws:iam::{ACCOUNT}:role/{resource.name}"},
    "aws:ecr/repository:Repository": lambda resource: {
        "registryId": ACCOUNT,
        "repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{resource.inputs['name']}",
    },
    "aws:rds/instance:Instance": lambda resource: {
        "address": f"{resource.name}.rds.amazonaws.com",
        "port": 5432,
        "masterUserSecrets": [{"secretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!{resource.name}"}],
    },
}

CALLS: dict[str, Call] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": lambda _: {"names": list(ZONES), "id": REGION},
    "aws:index/getCallerIdentity:getCallerIdentity": lambda _: {"accountId": ACCOUNT, "id": ACCOUNT},
    "aws:index/getPartition:getPartition": lambda _: {"partition": "aws", "dnsSuffix": "amazonaws.com", "id": "aws"},
    "aws:index/getRegion:getRegion": lambda _: {"name": REGION, "region": REGION, "id": REGION},
    "aws:ec2/getVpc:getVpc": lambda args: {"id": args["id"], "cidrBlock": "10.0.0.0/16"},
    "aws:ec2/getSubnet:getSubnet": lambda args: _subnet(args["id"]),
    "aws:route53/getZone:getZone": lambda args: {"zoneId": f"Z-{args['name']}", "name": args["name"], "id": "Z"},
    "aws:secretsmanager/getSecret:getSecret": lambda args: {"arn": _secret_arn(args["name"]), **args, "id": "x"},
    "aws:ssm/getParameter:getParameter": lambda args: {"insecureValue": "ami-1", "value": "ami-1", **args, "id": "x"},
}
