"""core/access/tokens and book: what a token and an identity may do."""

import pytest

from orion_registry.core.access.book import AccessBook, Granted, as_rights
from orion_registry.core.access.rights import EVERYTHING, Grant, Rights, Role
from orion_registry.core.access.tokens import Token, TokenBook
from orion_registry.core.credentials import hash_secret
from orion_registry.errors import Reason, Unauthenticated

TEXT = "orion_abcdefghijkl_" + "s" * 43
AGENT = Grant(roles=frozenset({Role.AGENT}), namespaces=("payments",))
VIEWER = Grant(roles=frozenset({Role.VIEWER}), namespaces=("*",))
ALL = Grant(roles=frozenset(Role), namespaces=("*",))


def token(text: str = TEXT, grant: Grant = AGENT, expires_wall: float = 1_000.0) -> Token:
    return Token(
        token_id=text[6:18],
        identity="calc",
        secret_hash=hash_secret(text),
        grant=grant,
        created_wall=0.0,
        expires_wall=expires_wall,
    )


def test_a_token_is_known_by_its_whole_text() -> None:
    book = TokenBook([token()])
    assert book.bearer(TEXT, 999.9).identity == "calc"
    assert book.bearer(TEXT, 999.9).rights == Rights(grants=(AGENT,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:-1],
        TEXT + "s",
        TEXT + "\n",
        TEXT[:-1] + "t",
        TEXT.replace("abcdefghijkl", "bbcdefghijkl"),
        TEXT.upper(),
        TEXT[:-1] + "é",
        TEXT[:-1] + "\0",
        "s" * 100_000,
    ],
)
def test_what_is_no_token_is_nobody_and_never_repeated(text: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        TokenBook([token()]).bearer(text, 0.0)
    assert refused.value.reason is Reason.NO_IDENTITY
    assert "orion-registry token create" in refused.value.message
    assert "ssss" not in refused.value.message


def test_it_counts_until_its_end_on_the_wall_clock() -> None:
    book = TokenBook([token(expires_wall=1_000.0)])
    with pytest.raises(Unauthenticated, match="authorization: token abcdefghijkl has ended: make another with"):
        book.bearer(TEXT, 1_000.0)
    assert book.bearer(TEXT, 999.0).token_id == "abcdefghijkl"  # the clock was set back: its date is ahead again


def test_its_end_is_noticed_once() -> None:
    book = TokenBook([token(expires_wall=1_000.0)])
    assert not book.ended_between(998.0, 999.0)
    assert book.ended_between(999.0, 1_000.0)
    assert not book.ended_between(1_000.0, 1_001.0)
    assert book.ended_between(0.0, 5_000.0)


def test_an_identity_has_what_all_its_rows_grant() -> None:
    book = AccessBook([Granted(identity="spiffe://x/agents/*", grant=AGENT), Granted(identity="*", grant=VIEWER)])
    assert book.rights_of("spiffe://x/agents/calc").grants == (AGENT, VIEWER)
    assert book.rights_of("spiffe://x/agents").grants == (VIEWER,)
    assert AccessBook().rights_of("anybody") == Rights()


def test_rights_to_everything_are_known_as_such() -> None:
    """So that no call of theirs has to be judged."""
    assert as_rights([VIEWER, ALL]) is EVERYTHING
    assert token(grant=ALL).rights is EVERYTHING
    bounded = Grant(roles=frozenset(Role), namespaces=("*",), capabilities=("payments.*",))
    assert as_rights([bounded]) is not EVERYTHING
