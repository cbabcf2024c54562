"""Signatures that let a client without a key read or write one object for a while.

A signature covers method, key and expiry (HMAC-SHA256), so a URL that was changed in any of them is refused, and
nothing about a signed URL needs to be stored.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote, urlencode

MIN_KEY_BYTES = 32

SignedMethod = Literal["GET", "PUT"]


class InvalidSignature(Exception):
    """This URL is not valid: it was changed, has expired, or was made for another method. Ask for a new one."""

    code = "invalid_signature"

    def __init__(self) -> None:
        """Take no reason: whoever tries URLs must not learn what was wrong with one."""
        super().__init__(type(self).__doc__)


class Signer:
    """Signs and verifies with one secret key. Safe to share between threads."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        """Take the secret `key` (at least MIN_KEY_BYTES, else ValueError) and a `clock` of seconds since the epoch."""
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a signing key needs at least {MIN_KEY_BYTES} bytes, this one has {len(key)}")
        self._key = key
        self._clock = clock

    def sign(self, method: SignedMethod, key: str, expires_in: int) -> dict[str, str]:
        """Return the query string values that allow `method` on `key` for `expires_in` seconds."""
        expires = str(int(self._clock()) + expires_in)
        return {"method": method, "expires": expires, "signature": self._signature(method, key, expires)}

    def link(self, method: SignedMethod, key: str, expires_in: int, base_url: str) -> str:
        """Return a URL of the hub at `base_url` that allows `method` on `key` for `expires_in` seconds."""
        query = urlencode(self.sign(method, key, expires_in))
        return f"{base_url.rstrip('/')}/storage/v1/objects/{quote(key)}?{query}"

    def verify(self, method: str, key: str, expires: str, signature: str) -> None:
        """Check the values of a request as they came in; raise InvalidSignature.

        A GET signature also allows HEAD: the inference server asks HEAD of each download URL before it reads it.
        """
        signed_method = "GET" if method == "HEAD" else method
        expected = self._signature(signed_method, key, expires)
        same = hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))
        if not (same and _is_number(expires) and self._clock() < int(expires)):
            raise InvalidSignature

    def _signature(self, method: str, key: str, expires: str) -> str:
        message = "\n".join((method, expires, key)).encode(errors="surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
