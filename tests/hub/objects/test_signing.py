import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionfleet.hub.objects.signing import InvalidSignature, Signer

KEY = b"k" * 32
NOW = 1_000_000.0


def signer(now: float = NOW) -> Signer:
    return Signer(KEY, clock=lambda: now)


def test_a_signature_allows_its_method_on_its_key_until_it_expires() -> None:
    values = signer().sign("GET", "a/b.jpg", 60)
    assert values == {"method": "GET", "expires": "1000060", "signature": values["signature"]}
    signer(NOW + 59.9).verify("GET", "a/b.jpg", values["expires"], values["signature"])


def test_a_get_signature_allows_head_and_a_put_signature_does_not() -> None:
    get, put = signer().sign("GET", "a", 60), signer().sign("PUT", "a", 60)
    signer().verify("HEAD", "a", get["expires"], get["signature"])
    with pytest.raises(InvalidSignature):
        signer().verify("HEAD", "a", put["expires"], put["signature"])


@pytest.mark.parametrize(
    ("method", "key", "expires", "now", "other_key"),
    [
        ("PUT", "a/b", "1000060", NOW, KEY),
        ("DELETE", "a/b", "1000060", NOW, KEY),
        ("get", "a/b", "1000060", NOW, KEY),
        ("GET", "a/c", "1000060", NOW, KEY),
        ("GET", "a/b", "1000061", NOW, KEY),
        ("GET", "a/b", "01000060", NOW, KEY),
        ("GET", "a/b", "", NOW, KEY),
        ("GET", "a/b", "1000060", NOW + 60, KEY),
        ("GET", "a/b", "1000060", NOW, b"x" * 32),
    ],
)
def test_anything_else_is_refused_with_the_same_words(
    method: str, key: str, expires: str, now: float, other_key: bytes
) -> None:
    signature = signer().sign("GET", "a/b", 60)["signature"]
    with pytest.raises(InvalidSignature, match="made for another method") as refusal:
        Signer(other_key, clock=lambda: now).verify(method, key, expires, signature)
    assert refusal.value.code == "invalid_signature"


@given(st.text(), st.text(), st.text(), st.text())
def test_hostile_values_are_refused_and_nothing_else(method: str, key: str, expires: str, signature: str) -> None:
    with pytest.raises(InvalidSignature):
        signer().verify(method, key, expires, signature)


@pytest.mark.parametrize("expires", ["1\n000060", "²", "٣", "-5", "1e9"])
def test_an_expiry_that_is_no_number_is_refused_even_where_it_was_signed(expires: str) -> None:
    signature = signer()._signature("GET", "a", expires)
    with pytest.raises(InvalidSignature):
        signer().verify("GET", "a", expires, signature)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Signer(b"short")
