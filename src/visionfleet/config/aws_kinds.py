"""The kinds of values that AWS takes: identifiers, ranges of addresses, times."""

from ipaddress import IPv4Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

from visionfleet.config.kinds import TextRule
from visionfleet.config.section import refusal

REGION = TextRule(
    r"^(af|ap|ca|eu|il|me|mx|sa|us)-(central|north|south|east|west|northeast|northwest|southeast|southwest)-[1-9]$",
    "is not a region of AWS",
    "write it as AWS does, as in 'eu-central-1'; the regions of China and of governments are not supported",
)
BUCKET_REGION = TextRule(
    r"^[a-z0-9][a-z0-9-]{0,39}$",
    "is not the region of a bucket",
    "write it as the S3 server has it, as in 'eu-central-1'",
)
TAG_VALUE = TextRule(
    r"^[A-Za-z0-9+=._:/@-]([A-Za-z0-9 +=._:/@-]{0,98}[A-Za-z0-9+=._:/@-])?$",
    "cannot be the value of a tag",
    "write at most 100 letters, digits, spaces and + - = . _ : / @, as in 'vision-team'",
)
EMAIL = TextRule(
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}$",
    "is not an e-mail address",
    "write one, as in 'vision-team@acme.example'",
)
VPC_ID = TextRule(
    r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$",
    "is not the id of a VPC",
    "write 'vpc-' and 8 or 17 hexadecimal digits, as AWS shows it",
)
SUBNET_ID = TextRule(
    r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$",
    "is not the id of a subnet",
    "write 'subnet-' and 8 or 17 hexadecimal digits, as AWS shows it",
)
AMI_ID = TextRule(
    r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$",
    "is not the id of a machine image",
    "write 'ami-' and 8 or 17 hexadecimal digits, as AWS shows it",
)
INSTANCE_TYPE = TextRule(
    r"^[a-z][a-z0-9-]{0,19}\.(nano|micro|small|medium|large|xlarge|[1-9][0-9]{0,2}xlarge|metal(-[0-9]{1,3}xl)?)$",
    "is not an instance type of EC2",
    "write family and size, as in 'g6.xlarge'",
)
DATABASE_CLASS = TextRule(
    r"^db\.[a-z][a-z0-9-]{0,19}\.(micro|small|medium|large|xlarge|[1-9][0-9]{0,2}xlarge)$",
    "is not an instance class of RDS",
    "write 'db.', family and size, as in 'db.t4g.small'",
)
PRINCIPAL = TextRule(
    r"^arn:aws:iam::[0-9]{12}:(role|user)/([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}$",
    "is not the ARN of a role or user of IAM",
    "write 'arn:aws:iam::ACCOUNT:role/NAME'; of a session (arn:aws:sts::…:assumed-role/…), its role's ARN",
)
KUBERNETES_VERSION = TextRule(
    r"^1\.[1-9][0-9]$", "is not a version of Kubernetes", 'write two numbers in quotes, as in "1.34"'
)
ADDON_VERSION = TextRule(
    r"^v[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}-eksbuild\.[1-9][0-9]{0,3}$",
    "is not a version of an EKS add-on",
    "write it as `aws eks describe-addon-versions` does, as in 'v1.34.0-eksbuild.2'",
)
CLOCK = TextRule(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "is not a time of day", 'write hours and minutes, as in "07:00"')
GPU_PRODUCT = TextRule(
    r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$",
    "cannot be the value of the label nvidia.com/gpu.product",
    "write it as GPU feature discovery does, as in 'NVIDIA-L4'",
)
AWS_TEXT_RULES = {
    rule.pattern: rule
    for rule in (
        *(REGION, BUCKET_REGION, TAG_VALUE, EMAIL, VPC_ID, SUBNET_ID, AMI_ID, INSTANCE_TYPE, DATABASE_CLASS, PRINCIPAL),
        *(KUBERNETES_VERSION, ADDON_VERSION, CLOCK, GPU_PRODUCT),
    )
}

Region = Annotated[str, Field(pattern=REGION.pattern)]
BucketRegion = Annotated[str, Field(pattern=BUCKET_REGION.pattern)]
TagValue = Annotated[str, Field(pattern=TAG_VALUE.pattern)]
Email = Annotated[str, Field(pattern=EMAIL.pattern)]
VpcId = Annotated[str, Field(pattern=VPC_ID.pattern)]
SubnetId = Annotated[str, Field(pattern=SUBNET_ID.pattern)]
AmiId = Annotated[str, Field(pattern=AMI_ID.pattern)]
DatabaseClass = Annotated[str, Field(pattern=DATABASE_CLASS.pattern)]
Principal = Annotated[str, Field(pattern=PRINCIPAL.pattern)]
KubernetesVersion = Annotated[str, Field(pattern=KUBERNETES_VERSION.pattern)]
AddonVersion = Annotated[str, Field(pattern=ADDON_VERSION.pattern)]
Clock = Annotated[str, Field(pattern=CLOCK.pattern)]
GpuProduct = Annotated[str, Field(pattern=GPU_PRODUCT.pattern)]


def range_of(value: object) -> IPv4Network | None:
    """The IPv4 range that `value` is, in data that nothing has checked yet."""
    try:
        network = ip_network(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        return None
    return network if isinstance(network, IPv4Network) else None


def _check_range(text: str) -> str:
    if range_of(text) is not None:
        return text
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise refusal("bad-range", "is not a range of addresses", "write one, as in '10.40.0.0/16'") from None
    if not isinstance(network, IPv4Network):
        fix = "write an IPv4 range, as in '203.0.113.0/24'"
        raise refusal("bad-range", "is a range of IPv6, and the network here has no IPv6 addresses", fix)
    rule = "has no '/' and the length of its prefix" if "/" not in text else "does not start where its range does"
    raise refusal("bad-range", rule, f"write '{network}'")


Cidr = Annotated[str, AfterValidator(_check_range)]
