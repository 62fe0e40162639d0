"""Pages of an answer. A token says where the last page ended, for one selector in one life of the registry."""

import base64
import hashlib

from orion_registry.core import limits
from orion_registry.core.entry import Entry
from orion_registry.core.selector import Selector
from orion_registry.core.validation import check_number
from orion_registry.core.views import View
from orion_registry.errors import InvalidArgument, Reason, shown


def page_size(asked: int, most: int = limits.PAGE_MAX) -> int:
    """How many an answer holds at most: as asked, 100 for 0, and never more than `most`.

    Raises:
        InvalidArgument: BAD_FIELD for a negative number.
    """
    check_number("page_size", asked, 0, 2**31 - 1)
    return min(asked or limits.PAGE_DEFAULT, most)


class Page:
    """Up to page_size services of a view, in the order of their registration."""

    __slots__ = ("_history_id", "_view", "entries")

    def __init__(self, view: View, entries: list[Entry], history_id: str) -> None:
        self._view = view
        self._history_id = history_id
        self.entries = entries

    @property
    def not_ready_count(self) -> int:
        """How many services match but for being not ready, on this page or not."""
        return self._view.not_ready

    def token_after(self, index: int) -> str:
        """Token of the page that follows entries[index]; empty if nothing does. -1: of the page that starts anew."""
        ordinal = self.entries[index].ordinal if index >= 0 else 0
        if not self._view.more_after(ordinal):
            return ""
        seal = _seal(self._view.selector, self._history_id)
        return base64.urlsafe_b64encode(ordinal.to_bytes(8, "big") + seal).decode()


def page_of(view: View, size: int, token: str, history_id: str) -> Page:
    """One page of a view.

    Args:
        view: what to page through.
        size: services at most; 0 = 100; above 1,000 counts as 1,000.
        token: where to begin; empty = at the start.
        history_id: this life of the registry.

    Raises:
        InvalidArgument: BAD_FIELD for a negative size, BAD_PAGE_TOKEN for a token that is not of this selector.
    """
    most = page_size(size)
    after = _open(token, view.selector, history_id) if token else 0
    return Page(view, view.page(after, most), history_id)


def _seal(selector: Selector, history_id: str) -> bytes:
    """What binds a token to its selector: not a signature, a guard against mistakes."""
    parts = [
        sorted(selector.statuses) if name == "statuses" else getattr(selector, name) for name in selector.__slots__
    ]
    return hashlib.blake2b(repr((history_id, parts)).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _open(token: str, selector: Selector, history_id: str) -> int:
    try:
        raw = base64.urlsafe_b64decode(token.encode())
    except ValueError:
        raw = b""
    if len(raw) != 16 or raw[8:] != _seal(selector, history_id):
        rule = "page_token: must come from the page before with the same selector, from the same life of the registry"
        raise InvalidArgument(Reason.BAD_PAGE_TOKEN, f"{rule}, got {shown(token)}; begin again without one")
    return int.from_bytes(raw[:8], "big")
