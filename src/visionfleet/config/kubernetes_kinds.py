"""The kinds of values that Kubernetes takes: names, labels, annotations, folders of a node."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from visionfleet.config.kinds import TextRule

_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PREFIX = rf"({_NAME}(\.{_NAME}){{0,8}}/)?"

OBJECT_NAME = TextRule(
    rf"^{_NAME}(\.{_NAME}){{0,3}}$",
    "is not the name of an object of Kubernetes",
    "write lower-case letters, digits, '-' and '.', as in 'acme-vision-keys'",
)
NAMESPACE = TextRule(
    rf"^{_NAME}$",
    "is not the name of a namespace",
    "write at most 63 lower-case letters, digits and '-', as in 'visionfleet'",
)
LABEL_KEY = TextRule(
    rf"^{_PREFIX}[A-Za-z0-9]([A-Za-z0-9._-]{{0,61}}[A-Za-z0-9])?$",
    "is not the key of a label or annotation",
    "write it as Kubernetes does, as in 'cert-manager.io/cluster-issuer'",
)
NODE_LABEL = TextRule(
    # a value of a label may be empty, but then nobody meant anything by it
    r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,60}[A-Za-z0-9])?$",
    "is not a label's value of at most 62 letters, digits, '-', '_' and '.'",
    "start and end with a letter or a digit, as in 'eu-central-1a'; numbers and true stand in quotes",
)
ANNOTATION = TextRule(
    r"^[^\x00-\x1f\x7f]{1,1000}$",
    "is not an annotation's value of one line and at most 1000 characters",
    "write it on one line; numbers and true stand in quotes",
)
NODE_FOLDER = TextRule(
    r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}){2,8}$",
    "is not a folder of a node that can be shared with pods",
    "write a whole path of two folders or more, as in '/var/lib/visionfleet'",
)
KUBERNETES_TEXT_RULES = {
    rule.pattern: rule for rule in (OBJECT_NAME, NAMESPACE, LABEL_KEY, NODE_LABEL, ANNOTATION, NODE_FOLDER)
}

ObjectName = Annotated[str, Field(pattern=OBJECT_NAME.pattern)]
Namespace = Annotated[str, Field(pattern=NAMESPACE.pattern)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY.pattern)]
NodeFolder = Annotated[str, Field(pattern=NODE_FOLDER.pattern)]
NodeLabel = Annotated[str, Field(pattern=NODE_LABEL.pattern)]
NodeLabels = Mapping[LabelKey, NodeLabel]
Annotations = Mapping[LabelKey, Annotated[str, Field(pattern=ANNOTATION.pattern)]]
