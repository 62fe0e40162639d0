"""Masking: what looks like a secret by its name or its shape is not shown; nothing else is touched."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.checks.spec import CheckSpec, HttpProbe, TcpProbe
from orion_registry.core.masking import MASK, is_secret_name, mask_text, mask_value, masked_spec, unmasked_spec
from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import ServiceSpec
from tests.building import make_spec

SECRET_NAMES = [
    "secret",
    "client_secret",
    "password",
    "Passwd",
    "db-password",
    "passphrase",
    "token",
    "auth_token",
    "accessToken",
    "api_key",
    "apikey",
    "X-Api-Key",
    "APIKey",
    "private_key",
    "secretAccessKey",
    "access.key",
    "credential",
    "credentials",
    "Authorization",
    "cookie",
    "Set-Cookie",
]
PLAIN_NAMES = [
    "max_tokens",
    "tokens",
    "tokenizer",
    "key",
    "keyboard",
    "model",
    "region",
    "author",
    "path",
    "note",
    "monkey",
    "capabilities",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret_name(name)
    assert mask_value(name, "x") == MASK
    assert mask_value(name, {"inner": "x"}) == MASK
    assert mask_value("outer", {"inner": [{name: "x"}]}) == {"inner": [{name: MASK}]}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_other_names_are_left_alone(name: str) -> None:
    assert mask_value(name, "gpt-4, eu-west") == "gpt-4, eu-west"


SHAPES = {
    "orion_k7Qd2Fh9_" + "a" * 43: MASK,
    "sk-" + "a1" * 16: MASK,
    "ghp_" + "a1" * 18: MASK,
    "github_pat_" + "a1" * 18: MASK,
    "xoxb-123456789012-abcdef": MASK,
    "AKIAIOSFODNN7EXAMPLE": MASK,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl": MASK,
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nAA==\n-----END RSA PRIVATE KEY-----": MASK,
    "-----BEGIN PRIVATE KEY-----\nMIIE": MASK,
    "Bearer abcdefgh12345678": f"Bearer {MASK}",
    "postgres://me:hunter2@db/x": f"postgres://{MASK}@db/x",
    "https://only-a-token@host/": f"https://{MASK}@host/",
    "http://h/p?access_token=abc&q=1": f"http://h/p?access_token={MASK}&q=1",
    "api_key=abc": f"api_key={MASK}",
}


@pytest.mark.parametrize("text", SHAPES)
def test_a_secret_is_known_by_its_shape(text: str) -> None:
    assert mask_text(text) == SHAPES[text]
    assert mask_text(f"it failed: {text} was refused") == f"it failed: {SHAPES[text]} was refused" or "KEY" in text
    assert mask_text(mask_text(text)) == mask_text(text)
    assert mask_value("note", text, whole=True) == MASK


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-learn",
        "http://host:80/a@b",
        "me@example.org",
        "spiffe://example.org/agents/calc",
        "eyJ",
        "basic auth is off",
        "secret: at least 32 bytes",
        "orion_registry.core.masking",
        "token expired",
        "12:30@noon",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert mask_text(text) == text


HOSTILE = (
    "a-",
    "eyJ-",
    "eyJ",
    "orion_a",
    "orion_",
    "://",
    "://a",
    "-----BEGIN ",
    "sk-",
    "Bearer ",
    "secret",
    "key=",
    " ",
)


@pytest.mark.parametrize("part", HOSTILE)
def test_a_text_that_is_made_for_it_costs_no_more_than_its_length(part: str) -> None:
    """200 kB in well under a second; a pattern that goes back and forth would take minutes."""
    began = time.process_time()
    mask_text(part * (200_000 // len(part)))
    assert time.process_time() - began < 5.0


def spec(metadata: dict[str, Any], **fields: Any) -> ServiceSpec:
    metadata_json, scalars = canonical_metadata(metadata)
    return make_spec(service_id="s", metadata_json=metadata_json, metadata_scalars=scalars, **fields)


def test_what_is_no_text_is_shown_unless_its_name_says_that_it_is_a_secret() -> None:
    values = {"token_limit": 4_096, "pin": None, "cookie": True, "password": 1_234, "odd": b"bytes"}
    assert mask_value("all", values) == {**values, "password": MASK}


def test_a_masked_service_comes_back_without_what_was_masked_and_with_all_else() -> None:
    probe = HttpProbe(path="/health?token=abc", headers=(("accept", "x"), ("authorization", "Bearer abcdefgh1")))
    check = CheckSpec(name="c", probes=(probe, TcpProbe(port=1)))
    whole = spec(
        {"model": "m", "api_key": "k", "deep": {"password": "p", "list": ["a", "sk-" + "a" * 20]}, "stars": "* *** *"},
        health_check_url="http://me:pw@h/x?a=1",
        checks=(check,),
    )
    masked = masked_spec(whole)
    assert json.loads(masked.metadata_json) == {
        "api_key": MASK,
        "deep": {"list": ["a", MASK], "password": MASK},
        "model": "m",
        "stars": "* *** *",
    }
    assert masked.metadata_scalars == {"api_key": MASK, "model": "m", "stars": "* *** *"}
    shown, as_it_was = masked.checks[0].probes
    assert as_it_was == TcpProbe(port=1)
    assert shown == HttpProbe(path=f"/health?token={MASK}", headers=(("accept", "x"), ("authorization", MASK)))
    bare, count = unmasked_spec(masked)
    assert count == 6
    assert json.loads(bare.metadata_json) == {"deep": {"list": ["a"]}, "model": "m", "stars": "* *** *"}
    assert bare.metadata_scalars == {"model": "m", "stars": "* *** *"}
    assert bare.checks[0].probes == (HttpProbe(path="/health", headers=(("accept", "x"),)), TcpProbe(port=1))
    assert bare.health_check_url == ""
    assert unmasked_spec(bare) == (bare, 0)
    assert unmasked_spec(whole) == (whole, 0)


texts = st.text(st.characters(codec="utf-8"), max_size=10)
trees = st.recursive(
    texts | st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(texts, trees, max_size=3))
def test_what_has_nothing_to_mask_is_as_it_was(metadata: dict[str, Any]) -> None:
    given_spec = spec(metadata)
    masked = masked_spec(given_spec)
    if MASK not in masked.metadata_json:
        assert masked == given_spec
    bare, count = unmasked_spec(masked)
    assert unmasked_spec(bare) == (bare, 0)
    assert (bare == masked) == (count == 0)
