"""Bearer tokens: what one carries, and whether it still counts. Of the tokens themselves only hashes are kept."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from orion_registry.core.access.book import as_rights
from orion_registry.core.access.rights import Grant, Rights
from orion_registry.core.credentials import secret_matches
from orion_registry.errors import Reason, Unauthenticated

FORM: Final = re.compile(r"orion_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")
"""A token: its id, which is no secret, and 256 random bits. Scanners for secrets find it by this form."""
TOKEN_ID: Final = re.compile(r"[a-z0-9]{12}")

LIFE_S: Final = 90 * 86_400.0
"""How long a token counts if nobody says otherwise."""
LIFE_MAX_S: Final = 3_650 * 86_400.0
"""There are none that count for ever: whoever leaks is forgotten some day."""

_ADVICE: Final = "make another with `orion-registry token create`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is kept of a token.

    Attributes:
        token_id: the part of it that may be shown.
        identity: whom it names.
        secret_hash: SHA-256 of the whole token, as hex: it is random and long, so no salt or stretching is needed.
        grant: what its bearer may do.
        created_wall, expires_wall: seconds since 1970.
        note: for people.
        rights: of the grant.
    """

    token_id: str
    identity: str
    secret_hash: str
    grant: Grant
    created_wall: float
    expires_wall: float
    note: str = ""
    rights: Rights = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rights", as_rights((self.grant,)))

    def has_ended(self, wall_s: float) -> bool:
        """Whether it counts no more.

        By the wall clock, unlike all else: its end is a date that was set on some machine, days before, and it must
        hold over restarts, which no monotonic clock survives. A clock that jumps ends tokens early or late, as it does
        certificates.
        """
        return wall_s >= self.expires_wall


class TokenBook:
    """All tokens that count, or did."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self.tokens = {token.token_id: token for token in tokens}

    def bearer(self, text: str, wall_s: float) -> Token:
        """The token that a text is. Constant time for all who know its id.

        Raises:
            Unauthenticated: NO_IDENTITY, it is none, was revoked, or has ended. The text is never repeated.
        """
        match = FORM.fullmatch(text)
        if match is None:
            message = "authorization: must be 'Bearer ' and a token as `orion-registry token create` prints it"
            raise Unauthenticated(Reason.NO_IDENTITY, message)
        token = self.tokens.get(match[1])
        if token is None or not secret_matches(text, token.secret_hash):
            message = f"authorization: no such token is known here, or it was revoked: {_ADVICE}"
            raise Unauthenticated(Reason.NO_IDENTITY, message)
        if token.has_ended(wall_s):
            raise Unauthenticated(Reason.NO_IDENTITY, f"authorization: token {token.token_id} has ended: {_ADVICE}")
        return token

    def ended_between(self, before_wall_s: float, wall_s: float) -> bool:
        """Whether a token ended after one instant, and no later than another."""
        return any(before_wall_s < token.expires_wall <= wall_s for token in self.tokens.values())
