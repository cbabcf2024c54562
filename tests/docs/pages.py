"""The pages of the documentation that people write."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
CLOUD_GUIDE = DOCS / "guides/cloud.md"
EDGE_GUIDE = DOCS / "guides/edge.md"
GITOPS_GUIDE = DOCS / "guides/gitops.md"
KUBERNETES_GUIDE = DOCS / "guides/kubernetes.md"
README = ROOT / "README.md"
RUNBOOK = DOCS / "runbook"
ADR = DOCS / "adr"
_ELSEWHERE = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "charts/visionfleet/README.md")]
PAGES = sorted({README, *_ELSEWHERE, *DOCS.rglob("*.md")} - {DOCS / "reference/config.md"})
