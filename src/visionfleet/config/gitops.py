"""Section `serverless.gitops`: where Argo CD or Flux find the chart, and the tree that is rendered for them."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from visionfleet.config.kinds import TextRule, Version
from visionfleet.config.kubernetes_kinds import Namespace, ObjectName
from visionfleet.config.section import Section

_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"  # neither hidden nor '..'

GIT_URL = TextRule(
    rf"^(https://|ssh://([A-Za-z0-9_-]{{1,32}}@)?){_HOST}(/{_NAME}){{1,10}}$",
    "is not the URL of a Git repository",
    "write 'https://…' or 'ssh://git@…' without a password, as in 'https://git.acme.example/vision/gitops.git'",
)
CHART_URL = TextRule(
    rf"^oci://{_HOST}(/[a-z0-9]+([._-]+[a-z0-9]+)*){{2,10}}$",
    "is not the address of a chart in a registry",
    "write it with the chart's name at its end, as in 'oci://registry.acme.example/charts/visionfleet'",
)
GIT_REVISION = TextRule(
    r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,5}$",
    "is not the name of a branch or tag, or a commit",
    "write it as Git does, as in 'main'; numbers stand in quotes",
)
GIT_PATH = TextRule(
    rf"^{_NAME}(/{_NAME}){{0,9}}$",
    "is not a folder of a repository",
    "write its path from the top of the repository, as in 'clusters/production', without '.' or '..'",
)
GITOPS_TEXT_RULES = {rule.pattern: rule for rule in (GIT_URL, CHART_URL, GIT_REVISION, GIT_PATH)}

GitUrl = Annotated[str, Field(pattern=GIT_URL.pattern)]
GitRevision = Annotated[str, Field(pattern=GIT_REVISION.pattern)]
GitPath = Annotated[str, Field(pattern=GIT_PATH.pattern)]


class ChartKind(StrEnum):
    """Where a chart comes from."""

    OCI = "oci"
    GIT = "git"


class OciChart(Section):
    """The chart in a registry."""

    kind: Literal[ChartKind.OCI] = Field(description="`oci`: a registry has the chart.")
    repository: Annotated[str, Field(pattern=CHART_URL.pattern)] = Field(
        description="Address of the chart, as in `oci://registry.acme.example/charts/visionfleet`."
    )
    version: Version | None = Field(
        default=None, description="Version of the chart, in quotes; that of this visionfleet unless given."
    )
    secret: ObjectName | None = Field(
        default=None, description="Secret that Flux logs in with; Argo CD has its own list of registries."
    )


class GitChart(Section):
    """The chart in a Git repository."""

    kind: Literal[ChartKind.GIT] = Field(description="`git`: a Git repository has the chart.")
    repository: GitUrl = Field(description="URL of the repository.")
    revision: GitRevision = Field(description="Tag, or a whole commit; a branch would change without a commit here.")
    path: GitPath = Field(default="charts/visionfleet", description="Folder of the chart.")
    secret: ObjectName | None = Field(
        default=None, description="Secret that Flux reads it with; Argo CD has its own list of repositories."
    )


class GitOps(Section):
    """What `visionfleet render gitops` needs to know: the chart, and where the tree that it renders is committed."""

    chart: OciChart | GitChart = Field(discriminator="kind", description="The chart.")
    repository: GitUrl = Field(description="URL of the Git repository that the rendered tree is committed to.")
    branch: GitRevision = Field(default="main", description="Branch that is followed.")
    path: GitPath = Field(description="Folder of the rendered tree, as in `clusters/production/vision`.")
    secret: ObjectName | None = Field(
        default=None, description="Secret that Flux reads the repository with; Argo CD has its own list."
    )
    project: ObjectName = Field(default="default", description="Project of Argo CD.")
    argocd_namespace: Namespace = Field(default="argocd", description="Namespace of Argo CD.")
    flux_namespace: Namespace = Field(default="flux-system", description="Namespace of Flux.")
