"""The registry that machines and nodes pull from: ECR, which fetches an image from the public one the first time.

The repositories are made here, one for each image of the file, and ECR fills them. So a node pulls what the file names
and nothing else, needs no right to make repositories, and each repository is scanned, encrypted and kept small.
"""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws

from visionfleet.projections.plans import MirrorPlan

MAX_PREFIX_CHARACTERS = 30  # ECR's limit
KEPT_TAGGED = 10  # versions: enough to go back
UNTAGGED_DAYS = 1


class ImageMirror(pulumi.ComponentResource):
    """A pull-through cache: `<registry>/<image>:<tag>` is what `<upstream>/<image>:<tag>` was when first pulled."""

    registry: pulumi.Output[str]

    def __init__(self, name: str, plan: MirrorPlan, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("visionfleet:aws:ImageMirror", name, None, opts)
        self._name = name
        prefix = name[:MAX_PREFIX_CHARACTERS].rstrip("-")
        rule = self._rule(prefix, plan)
        repositories = [self._repository(prefix, repository) for repository in plan.repositories]
        # known only once the rule is there: a pull before that would find an empty repository
        self.registry = pulumi.Output.all(repositories[0].repository_url, rule.id).apply(
            lambda made: made[0].removesuffix(f"/{plan.repositories[0]}")
        )
        self.register_outputs({"registry": self.registry})

    def _rule(self, prefix: str, plan: MirrorPlan) -> aws.ecr.PullThroughCacheRule:
        return aws.ecr.PullThroughCacheRule(
            self._name,
            ecr_repository_prefix=prefix,
            upstream_registry_url=plan.upstream,
            credential_arn=self._credentials_arn(plan.credentials_secret) if plan.credentials_secret else None,
            opts=self._child(),
        )

    def _credentials_arn(self, secret: str) -> pulumi.Output[str]:
        """Docker Hub serves no image without an account. ECR reads the secret itself: only its address passes here."""
        return aws.secretsmanager.get_secret_output(name=secret, opts=pulumi.InvokeOutputOptions(parent=self)).arn

    def _repository(self, prefix: str, repository: str) -> aws.ecr.Repository:
        name = f"{self._name}-{repository.replace('/', '-')}"
        made = aws.ecr.Repository(
            name,
            name=f"{prefix}/{repository}",
            image_tag_mutability="IMMUTABLE",  # what a tag was when it was tested is what it stays
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "AES256"}],
            force_delete=True,  # the upstream has all that is in it
            opts=self._child(),
        )
        aws.ecr.LifecyclePolicy(
            name, repository=made.name, policy=lifecycle_policy(), opts=pulumi.ResourceOptions(parent=made)
        )
        return made

    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self)


def lifecycle_policy() -> str:
    """The last versions stay, and what no tag names any longer goes."""
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days"}
    rules = [
        {
            "rulePriority": 1,
            "description": f"Untagged for {UNTAGGED_DAYS} day",
            "selection": {**untagged, "countNumber": UNTAGGED_DAYS},
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 2,
            "description": f"All but the last {KEPT_TAGGED}",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEPT_TAGGED},
            "action": {"type": "expire"},
        },
    ]
    return json.dumps({"rules": rules})
