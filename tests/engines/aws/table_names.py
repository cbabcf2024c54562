"""Names and certificates: Route 53 and ACM."""

from __future__ import annotations

from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope

VALIDATION = (
    "DomainValidationOptions[].{domainName: DomainName, resourceRecordName: ResourceRecord.Name, "
    "resourceRecordType: ResourceRecord.Type, resourceRecordValue: ResourceRecord.Value}"
)


def _expand(scope: Scope) -> str:
    """A record's full name: the zone's is appended where it is missing."""
    zone = scope.call("get_hosted_zone", Id=scope.inputs["zoneId"])["HostedZone"]["Name"].rstrip(".")
    name = scope.inputs["name"].rstrip(".")
    return name if name == zone or name.endswith(f".{zone}") else ".".join(filter(None, [name, zone]))


def _record_set(scope: Scope, inputs: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": _expand(scope), "Type": inputs["type"]}
    for alias in inputs.get("aliases") or []:
        record["AliasTarget"] = {
            "HostedZoneId": alias["zoneId"],
            "DNSName": alias["name"],
            "EvaluateTargetHealth": bool(alias["evaluateTargetHealth"]),
        }
    if inputs.get("records"):
        record |= {"TTL": int(inputs["ttl"]), "ResourceRecords": [{"Value": value} for value in inputs["records"]]}
    return record


def _change(action: str) -> Any:
    def change(scope: Scope) -> dict[str, Any]:
        return {"Changes": [{"Action": action, "ResourceRecordSet": _record_set(scope, scope.inputs)}]}

    return change


def _find_record(response: Any, scope: Scope) -> Any:
    name = _expand(scope)
    return next(
        (
            record
            for record in response["ResourceRecordSets"]
            if record["Name"].rstrip(".") == name and record["Type"] == scope.inputs["type"]
        ),
        None,
    )


def _change_record(action: str) -> Call:
    return Call("change_resource_record_sets", {"HostedZoneId": "$zoneId", "ChangeBatch": _change(action)})


KINDS = (
    Kind(
        "route53.Record",
        "route53",
        id="={zoneId}_{name}_{type}",
        create=(_change_record("UPSERT"),),
        update=(_change_record("UPSERT"),),
        read=Call("list_resource_record_sets", {"HostedZoneId": "$zoneId"}),
        found=_find_record,
        delete=(_change_record("DELETE"),),
        replace="zoneId name type",
        by_hand="zoneId name type ttl records aliases allowOverwrite",
        outputs={"fqdn": lambda _found, scope: _expand(scope)},
    ),
    Kind(
        "acm.Certificate",
        "acm",
        id="CertificateArn",
        create=(Call("request_certificate", auto=True),),
        read=Call("describe_certificate", {"CertificateArn": "$id"}),
        found="Certificate",
        delete=(Call("delete_certificate", {"CertificateArn": "$id"}),),
        replace="*",
        outputs={"arn": "={id}", "status": "Status", "domainValidationOptions": VALIDATION},
        tags=True,
    ),
    Kind(
        "acm.CertificateValidation",
        "acm",
        id="=validated-{certificateArn}",
        create=(
            Call("describe_certificate", {"CertificateArn": "$certificateArn"}, until="Certificate.Status=='ISSUED'"),
        ),
        read=Call("describe_certificate", {"CertificateArn": "$certificateArn"}),
        found="Certificate",
        replace="*",
        by_hand="validationRecordFqdns",
    ),
)
