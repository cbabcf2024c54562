"""What can go wrong with a storage, and what obstore raises, in these words."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from obstore.exceptions import BaseError

_NO_SPACE = re.compile(r"\(os error (28|122)\)")  # ENOSPC, EDQUOT
_S3_CODE = re.compile(r"<Code>(\w+)</Code>")
_S3_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_STATUS = re.compile(r"status code: (\d{3})")
_NO_CREDENTIALS = re.compile(r"http://169\.254\.169\.254|/latest/(api/token|meta-data)|sts\.|CredentialProvider")

_MAKE_BUCKET = "make the bucket, or mend hub.storage"
_ALLOW = "allow the hub's key or role s3:GetObject, s3:PutObject, s3:DeleteObject and, on the bucket, s3:ListBucket"
_MEND_KEYS = "mend hub.s3.access_key_id and hub.s3.secret_access_key, or the environment that they are left to"
_MEND_REGION = "mend hub.s3.region: it is not the bucket's"
_MEND_ENDPOINT = "see that the server runs, and mend hub.s3.endpoint where it is another"
_GIVE_CREDENTIALS = (
    "there are no credentials: give hub.s3.access_key_id and hub.s3.secret_access_key, or let the hub run with a role "
    "of AWS"
)
_FIXES = {
    "NoSuchBucket": _MAKE_BUCKET,
    "AccessDenied": _ALLOW,
    "InvalidAccessKeyId": _MEND_KEYS,
    "SignatureDoesNotMatch": _MEND_KEYS,
    "ExpiredToken": _MEND_KEYS,
    "AuthorizationHeaderMalformed": _MEND_REGION,
    "PermanentRedirect": _MEND_REGION,
    "RequestTimeTooSkewed": "set this machine's clock",
    "403": _ALLOW,
}


class StorageError(Exception):
    """The storage failed."""

    code = "storage_failed"


class StorageUnavailable(StorageError):
    """The storage does not answer now; the same may go well in a while."""

    code = "storage_unavailable"


class InvalidKey(StorageError):
    """This is not a valid object key."""

    code = "invalid_key"


class ObjectMissing(StorageError):
    """There is no such object."""

    code = "object_missing"


class StorageFull(StorageError):
    """The storage is out of space: nothing was written. Free some, or give it more."""

    code = "storage_full"

    def __init__(self) -> None:
        """Take no reason: the message says all."""
        super().__init__(type(self).__doc__)


class TooLarge(StorageError):
    """The upload is over its size limit: nothing was written."""

    code = "object_too_large"


@contextmanager
def translated(what: str) -> Generator[None]:
    """Turn what obstore raises into this module's errors. Both OSError and BaseError come from it."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise _of(error, what) from error


def _of(error: Exception, what: str) -> StorageError:
    text = str(error)
    if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in text:
        return ObjectMissing(f"there is no object {what!r}")
    if _NO_SPACE.search(text):
        return StorageFull()
    reason = text.partition("\n")[0]
    if "S3" in reason or _STATUS.search(text):
        return _of_bucket(text, what)
    return StorageError(f"the storage failed on {what!r}: {reason}")


def _of_bucket(text: str, what: str) -> StorageError:
    """What a server of S3's API said, or that none did."""
    status = _STATUS.search(text)
    if "redirect" in text.partition("\n")[0]:
        return StorageError(f"the bucket is not where it was looked for ({what!r}): {_MEND_REGION}")
    if status is None:
        fix = _GIVE_CREDENTIALS if _NO_CREDENTIALS.search(text) else _MEND_ENDPOINT
        return StorageUnavailable(f"the bucket did not answer ({what!r}): {fix}")
    code, message = _S3_CODE.search(text), _S3_MESSAGE.search(text)
    name = code.group(1) if code else status.group(1)
    said = f"{name}: {message.group(1)}" if message else f"status {status.group(1)}"
    if status.group(1) in ("429", "500", "502", "503", "504"):
        return StorageUnavailable(f"the bucket cannot answer now ({what!r}): {said}")
    fix = _FIXES.get(name) or _FIXES.get(status.group(1)) or "mend hub.storage and hub.s3"
    return StorageError(f"the bucket refused {what!r}: {said}; {fix}")
