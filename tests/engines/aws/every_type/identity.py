"""Roles, keys and secrets."""

import pulumi_aws as aws
from common import CHANGED, SECRET, allow, document, opts, trust

role = aws.iam.Role("machine", assume_role_policy=trust("ec2.amazonaws.com"), description="a machine", opts=opts)
aws.iam.RolePolicy("machine", role=role.name, policy=allow("ec2:DescribeTags" if CHANGED else "ec2:*", "*"), opts=opts)
policy = aws.iam.Policy("machine", policy=document, opts=opts)
aws.iam.RolePolicyAttachment("own", role=role.name, policy_arn=policy.arn, opts=opts)
aws.iam.RolePolicyAttachment(
    "ssm", role=role.name, policy_arn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore", opts=opts
)
profile = aws.iam.InstanceProfile("machine", role=role.name, opts=opts)
key = aws.kms.Key("data", description="data", enable_key_rotation=True, deletion_window_in_days=7, opts=opts)
aws.kms.Alias("data", name_prefix="alias/data-", target_key_id=key.key_id, opts=opts)
secret = aws.secretsmanager.Secret(
    "database", name_prefix="database-", kms_key_id=key.arn, recovery_window_in_days=0, opts=opts
)
aws.secretsmanager.SecretVersion("database", secret_id=secret.id, secret_string=SECRET, opts=opts)
