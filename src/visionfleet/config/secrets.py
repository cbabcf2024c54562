"""References to secrets: the file says where a secret is, never what it is."""

import os
import re
from pathlib import Path
from typing import cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from visionfleet.config.kinds import resolve_path
from visionfleet.config.section import refusal

MAX_SECRET_BYTES = 64 * 1024
NOT_A_REFERENCE = "not-a-reference"
PATTERN = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"
AWS_PATTERN = r"^aws-secretsmanager:[A-Za-z0-9/_+=.@-]{1,512}$"
_FIX = "write 'env:NAME' for an environment variable or 'file:PATH' for a file; a secret itself never stands here"
_AWS_FIX = "write 'aws-secretsmanager:NAME', the name of a secret in Secrets Manager; a secret itself never stands here"


class SecretUnavailable(Exception):
    """A secret that the file refers to is not there; the message names the reference, never a secret."""


class SecretRef:
    """`env:NAME` or `file:PATH`: where a secret is. It holds no secret, so it may be printed and logged."""

    __slots__ = ("_kind", "_target")

    def __init__(self, kind: str, target: str) -> None:
        self._kind = kind
        self._target = target

    @property
    def variable(self) -> str | None:
        """The environment variable that holds it; None where it is in a file."""
        return self._target if self._kind == "env" else None

    def resolve(self) -> str:
        """The secret, without the newline that ends a file. Raises SecretUnavailable."""
        value = os.environ.get(self._target, "") if self._kind == "env" else self._read()
        if not value:
            raise SecretUnavailable(f"{self} is not set" if self._kind == "env" else f"{self} is empty")
        return value

    def _read(self) -> str:
        try:
            with Path(self._target).open("rb") as file:
                content = file.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise SecretUnavailable(f"{self} cannot be read: {error.strerror}") from None
        if len(content) > MAX_SECRET_BYTES:
            raise SecretUnavailable(f"{self} is over {MAX_SECRET_BYTES} bytes: too large for a secret")
        try:
            return content.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretUnavailable(f"{self} is not UTF-8 text") from None

    def __repr__(self) -> str:
        return f"SecretRef('{self}')"

    def __str__(self) -> str:
        return f"{self._kind}:{self._target}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretRef) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @classmethod
    def parse(cls, value: object, info: ValidationInfo) -> "SecretRef":
        """Read a reference; anything else is refused, and never repeated: it may be the secret."""
        if isinstance(value, SecretRef):
            return value
        if isinstance(value, str) and re.fullmatch(AWS_PATTERN, value):
            rule = "refers to AWS Secrets Manager, and this secret is read where the hub runs, not by AWS"
            raise refusal("secret-elsewhere", rule, "write 'env:NAME' or 'file:PATH', and let the machine provide it")
        if not isinstance(value, str) or not re.fullmatch(PATTERN, value):
            raise refusal(NOT_A_REFERENCE, "is not a reference to a secret", _FIX)
        kind, _, target = value.partition(":")
        if kind == "file":
            target = str(cast("Path", resolve_path(target, info)))
        return cls(kind, target)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": PATTERN}


class AwsSecretRef:
    """`aws-secretsmanager:NAME`: a secret that AWS itself, or a machine in it, reads. visionfleet never does."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"AwsSecretRef('{self}')"

    def __str__(self) -> str:
        return f"aws-secretsmanager:{self.name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AwsSecretRef) and self.name == other.name

    def __hash__(self) -> int:
        return hash(str(self))

    @classmethod
    def parse(cls, value: object) -> "AwsSecretRef":
        """Read a reference; anything else is refused, and never repeated: it may be the secret."""
        if isinstance(value, AwsSecretRef):
            return value
        if isinstance(value, str) and re.fullmatch(PATTERN, value):
            rule = "refers to this machine, and the secret is read in AWS"
            raise refusal("secret-elsewhere", rule, "put it into Secrets Manager, and write 'aws-secretsmanager:NAME'")
        if not isinstance(value, str) or not re.fullmatch(AWS_PATTERN, value):
            raise refusal(NOT_A_REFERENCE, "is not a reference to a secret in AWS", _AWS_FIX)
        return cls(value.partition(":")[2])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": AWS_PATTERN}
