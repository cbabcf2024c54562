"""Deployments for the tests of the program on the real engine, and the account that each is for."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

from tests.engines.moto import Aws
from tests.engines.pulumi import ROOT

AMI = "ami-12c6146b"  # moto's; it has no parameter of AWS's that names the newest one
ZONE = "acme.example"
GIVEN_SECRETS = ("ecr-pullthroughcache/docker-hub", "acme/line-3", "acme/archive")
GIVEN_KEY = "a-key-that-was-there-before"
SMALL = f"""\
apiVersion: visionfleet/v1
name: small
workspace: acme
domain: vision.{ZONE}
inference: {{version: "1.8.3"}}
workflows: .
hub:
  url: https://hub.{ZONE}
  aws: {{tier: development, instance_class: db.t4g.micro, storage_gb: 20, backup_days: 1}}
cloud:
  provider: aws
  region: eu-central-1
  owner: vision-team
  cost_centre: "4711"
  log_retention_days: 30
  dns_zone: {ZONE}
  network: {{kind: managed, cidr: 10.40.0.0/16, zones: 2, nat: single}}
  mirror: {{upstream: registry-1.docker.io, credentials: "aws-secretsmanager:ecr-pullthroughcache/docker-hub"}}
  budget: {{monthly_usd: 300, email: vision-team@{ZONE}}}
dedicated:
  - name: lab
    tier: development
    instance_type: g4dn.xlarge
    ami: {AMI}
    replicas: {{min: 1, max: 1}}
    scaling: {{kind: manual}}
"""
ACME = ROOT / "examples" / "acme"


def furnish(aws: Aws) -> None:
    """What is in a company's account before there is a deployment."""
    aws.client("route53").create_hosted_zone(Name=ZONE, CallerReference="test")
    for name in GIVEN_SECRETS:
        aws.client("secretsmanager").create_secret(Name=name, SecretString=GIVEN_KEY)
    # an account has AWS's key for volumes, in moto from the first encrypted volume on
    ec2 = aws.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=1, Encrypted=True)
    ec2.delete_volume(VolumeId=volume["VolumeId"])


def copied_acme(folder: Path) -> Path:
    """The file of a copy of examples/acme, its models made."""
    shutil.copytree(ACME, folder, ignore=shutil.ignore_patterns("models", "__pycache__"))
    runpy.run_path(str(ACME / "make_models.py"))["write_packages"](folder / "models")
    return folder / "visionfleet.yaml"


def acme(folder: Path) -> Path:
    """The same, with its machines' image pinned."""
    file = copied_acme(folder)
    pinned = re.sub(r"^    instance_type: .*$", rf"\g<0>\n    ami: {AMI}", file.read_text(), flags=re.MULTILINE)
    file.write_text(pinned)
    return file
