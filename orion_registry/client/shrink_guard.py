"""The shrink guard: what would empty a view by over half is not believed before a fresh snapshot says so too. Pure.

A registry that lost its memory, or was started on another store, answers well and knows nobody. Whoever selects from a
view must not forget a fleet for that: its agents are about to register again.
"""

from collections.abc import Collection
from typing import Final

SHARE: Final = 0.5
"""An update that removes more than this of what is shown must be confirmed."""
CONFIRM_S: Final = 3.0
"""How long after a snapshot that left services out: agents are back within 2 s (the cap of their back-off) and a
handshake, or are not coming."""


class ShrinkGuard:
    """Decides which removals wait, and until when.

    Attributes:
        withheld: ids of services that are still shown and that the registry has not mentioned since it dropped them.
        confirm_in_s: seconds after which a fresh snapshot is to be asked for; None = nothing is in doubt.
    """

    def __init__(self) -> None:
        self.withheld: dict[str, None] = {}
        self.confirm_in_s: float | None = None
        self._doubted = ""  # history_id of the update in doubt
        self._asked = False

    def lets_go(self, shown: int, leaving: Collection[str], history_id: str, *, snapshot: bool) -> bool:
        """Whether these services may be removed now, of so many that are shown; if not, they are withheld.

        history_id: the life of the registry that says so: only that life can confirm it. snapshot: they were left out
        of one, rather than removed one by one: they may be about to come back, so it is asked again later, not at once.
        """
        if self._asked and snapshot and history_id == self._doubted:
            self.settled()
            return True
        if len(leaving) <= SHARE * shown:
            if snapshot:
                self.settled()
            return True
        self.withheld |= dict.fromkeys(leaving)
        self.confirm_in_s = CONFIRM_S if snapshot else 0.0
        self._doubted, self._asked = history_id, False
        return False

    def seen(self, service_id: str) -> None:
        """The registry mentions a service: it is not in doubt."""
        if self.withheld.pop(service_id, "") is None and not self.withheld:
            self.settled()

    def asked(self) -> None:
        """A fresh snapshot is on its way."""
        self.confirm_in_s, self._asked = None, True

    def settled(self) -> None:
        """Nothing is in doubt any more."""
        self.withheld, self.confirm_in_s, self._doubted, self._asked = {}, None, "", False
