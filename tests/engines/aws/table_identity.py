"""Identities, keys and secrets: IAM, KMS, Secrets Manager."""

from __future__ import annotations

from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope

ROLE_POLICY = {"RoleName": "$role", "PolicyName": "$name"}
ATTACHMENT = {"RoleName": "$role", "PolicyArn": "$policyArn"}


def _drop_old_versions(scope: Scope) -> None:
    """A policy holds five versions at most: only the default one is kept."""
    for version in scope.call("list_policy_versions", PolicyArn=scope.id)["Versions"]:
        if not version["IsDefaultVersion"]:
            scope.call("delete_policy_version", PolicyArn=scope.id, VersionId=version["VersionId"])


def _exchange_role(scope: Scope) -> None:
    """An instance profile holds one role: the old one leaves before the new one comes."""
    old, new = (scope.old or {}).get("role"), scope.inputs.get("role")
    if old and old != new:
        scope.call("remove_role_from_instance_profile", InstanceProfileName=scope.id, RoleName=old)
    if new and old != new:
        scope.call("add_role_to_instance_profile", InstanceProfileName=scope.id, RoleName=new)


def _delete_secret(scope: Scope) -> None:
    """At once where the program says that nothing is to be kept, else after the recovery window."""
    days = scope.inputs.get("recoveryWindowInDays", 30)
    how: dict[str, Any] = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
    scope.call("delete_secret", SecretId=scope.id, **how)


KINDS = (
    Kind(
        "iam.Role",
        "iam",
        id="={name}",
        create=(Call("create_role", auto=True),),
        update=(
            Call(
                "update_assume_role_policy",
                {"RoleName": "$id", "PolicyDocument": "$assumeRolePolicy"},
                only="assumeRolePolicy",
            ),
            Call("update_role", {"RoleName": "$id"}, auto=True, only="description maxSessionDuration"),
        ),
        read=Call("get_role", {"RoleName": "$id"}),
        found="Role",
        delete=(Call("delete_role", {"RoleName": "$id"}),),
        replace="name namePrefix path",
        rename={"assumeRolePolicy": "AssumeRolePolicyDocument"},
        by_hand="forceDetachPolicies",
        outputs={"arn": "Arn", "uniqueId": "RoleId"},
        tags=True,
        named="name",
        name_limit=64,
    ),
    Kind(
        "iam.RolePolicy",
        "iam",
        id="={role}:{name}",
        create=(Call("put_role_policy", ROLE_POLICY | {"PolicyDocument": "$policy"}),),
        update=(Call("put_role_policy", ROLE_POLICY | {"PolicyDocument": "$policy"}),),
        read=Call("get_role_policy", ROLE_POLICY),
        found="PolicyDocument",
        delete=(Call("delete_role_policy", ROLE_POLICY),),
        replace="name namePrefix role",
        named="name",
        name_limit=128,
    ),
    Kind(
        "iam.RolePolicyAttachment",
        "iam",
        id="={role}/{policyArn}",
        create=(Call("attach_role_policy", ATTACHMENT),),
        read=Call("list_attached_role_policies", {"RoleName": "$role"}),
        found="AttachedPolicies[?PolicyArn=='{policyArn}'] | [0]",
        delete=(Call("detach_role_policy", ATTACHMENT),),
        replace="*",
    ),
    Kind(
        "iam.Policy",
        "iam",
        id="Policy.Arn",
        create=(Call("create_policy", {"PolicyDocument": "$policy"}, auto=True),),
        update=(
            Call(
                "create_policy_version",
                {"PolicyArn": "$id", "PolicyDocument": "$policy", "SetAsDefault": True},
                only="policy",
            ),
            _drop_old_versions,
        ),
        read=Call("get_policy", {"PolicyArn": "$id"}),
        found="Policy",
        delete=(_drop_old_versions, Call("delete_policy", {"PolicyArn": "$id"})),
        replace="name namePrefix path description",
        outputs={"arn": "={id}", "policyId": "PolicyId"},
        tags=True,
        named="name",
        name_limit=128,
    ),
    Kind(
        "iam.InstanceProfile",
        "iam",
        id="={name}",
        create=(Call("create_instance_profile", {"InstanceProfileName": "$name"}, auto=True),),
        settings=(_exchange_role,),
        read=Call("get_instance_profile", {"InstanceProfileName": "$id"}),
        found="InstanceProfile",
        delete=(
            Call("remove_role_from_instance_profile", {"InstanceProfileName": "$id", "RoleName": "$role"}, only="role"),
            Call("delete_instance_profile", {"InstanceProfileName": "$id"}),
        ),
        replace="name namePrefix path",
        by_hand="role",
        outputs={"arn": "Arn", "uniqueId": "InstanceProfileId"},
        tags=True,
        named="name",
        name_limit=128,
    ),
    Kind(
        "kms.Key",
        "kms",
        id="KeyMetadata.KeyId",
        create=(Call("create_key", {"KeySpec": "$customerMasterKeySpec"}, auto=True),),
        settings=(
            Call(
                "enable_key_rotation",
                {"KeyId": "$id", "RotationPeriodInDays": "$rotationPeriodInDays"},
                only="enableKeyRotation rotationPeriodInDays",
                when=lambda scope: scope.inputs.get("enableKeyRotation"),
            ),
            Call(
                "disable_key_rotation",
                {"KeyId": "$id"},
                only="enableKeyRotation",
                when=lambda scope: scope.old is not None and not scope.inputs.get("enableKeyRotation"),
            ),
        ),
        update=(
            Call("put_key_policy", {"KeyId": "$id", "PolicyName": "default", "Policy": "$policy"}, only="policy"),
            Call("update_key_description", {"KeyId": "$id", "Description": "$description"}, only="description"),
        ),
        read=Call("describe_key", {"KeyId": "$id"}),
        found="KeyMetadata.KeyState!='PendingDeletion' && KeyMetadata",
        delete=(Call("schedule_key_deletion", {"KeyId": "$id", "PendingWindowInDays": "$deletionWindowInDays"}),),
        replace="customerMasterKeySpec keyUsage multiRegion",
        by_hand="deletionWindowInDays",
        outputs={"arn": "Arn", "keyId": "KeyId"},
        tags=True,
    ),
    Kind(
        "kms.Alias",
        "kms",
        id="={name}",
        create=(Call("create_alias", {"AliasName": "$name", "TargetKeyId": "$targetKeyId"}),),
        update=(Call("update_alias", {"AliasName": "$name", "TargetKeyId": "$targetKeyId"}),),
        read=Call("list_aliases"),
        found="Aliases[?AliasName=='{id}'] | [0]",
        delete=(Call("delete_alias", {"AliasName": "$id"}),),
        replace="name namePrefix",
        outputs={"arn": "AliasArn"},
        named="name",
        name_prefix="alias/",
    ),
    Kind(
        "secretsmanager.Secret",
        "secretsmanager",
        id="ARN",
        create=(Call("create_secret", auto=True),),
        update=(Call("update_secret", {"SecretId": "$id"}, auto=True, only="description kmsKeyId"),),
        settings=(Call("put_resource_policy", {"SecretId": "$id", "ResourcePolicy": "$policy"}, only="policy"),),
        read=Call("describe_secret", {"SecretId": "$id"}),
        found="!DeletedDate && @",
        delete=(_delete_secret,),
        replace="name namePrefix",
        by_hand="recoveryWindowInDays forceOverwriteReplicaSecret",
        outputs={"arn": "={id}"},
        tags=True,
        named="name",
    ),
    Kind(
        "secretsmanager.SecretVersion",
        "secretsmanager",
        id="join('|', [ARN, VersionId])",
        create=(Call("put_secret_value", auto=True),),
        read=Call(
            "get_secret_value", {"SecretId": "$secretId", "VersionId": lambda scope: scope.id.rpartition("|")[2]}
        ),
        found="@",
        replace="*",
        outputs={"arn": "ARN", "versionId": "VersionId", "versionStages": "VersionStages"},
    ),
)
