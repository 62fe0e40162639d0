"""Views: the answers to recent selectors, kept up to date edge by edge, so that asking again costs nothing."""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict

from orion_registry.core.catalog import Catalog, Term, terms_of_selector, terms_of_spec
from orion_registry.core.entry import Entry
from orion_registry.core.model import Snapshot
from orion_registry.core.selector import Selector, check_selector


class View:
    """The services that satisfy one selector. Owned by `Views`; read-only for everybody else.

    Attributes:
        members: all that match whatever their status, by ordinal.
        shown: ordinals of those to be seen in their present status, in order.
        not_ready: how many members may not be selected now.
    """

    __slots__ = ("anchor", "members", "not_ready", "selector", "shown")

    def __init__(self, selector: Selector, anchor: Term) -> None:
        self.selector = selector
        self.anchor = anchor
        self.members: dict[int, Entry] = {}
        self.shown: list[int] = []
        self.not_ready = 0

    def page(self, after: int, size: int) -> list[Entry]:
        """At most `size` shown services with an ordinal above `after`."""
        start = bisect_right(self.shown, after)
        return [self.members[ordinal] for ordinal in self.shown[start : start + size]]

    def more_after(self, ordinal: int) -> bool:
        """Whether anything is shown behind this ordinal."""
        return bool(self.shown) and self.shown[-1] > ordinal

    def fill(self, entries: list[Entry]) -> None:
        """Takes in all members of a new view at once."""
        for entry in entries:
            self.members[entry.ordinal] = entry
            self.not_ready += not entry.snapshot.ready
        self.shown = sorted(entry.ordinal for entry in entries if self.selector.shows(entry.snapshot))

    def update(self, entry: Entry, before: Snapshot | None, after: Snapshot | None) -> None:
        """Follows one edge of an entry that stands, or stood, in this view's anchor list."""
        if before is not None and entry.ordinal in self.members:
            del self.members[entry.ordinal]
            self.not_ready -= not before.ready
            if self.selector.shows(before):
                del self.shown[bisect_left(self.shown, entry.ordinal)]
        if after is not None and self.selector.matches_spec(after.record.spec):
            self.members[entry.ordinal] = entry
            self.not_ready += not after.ready
            if self.selector.shows(after):
                insort(self.shown, entry.ordinal)


class Views:
    """The `capacity` views asked for last. A view is anchored at one posting list: only edges there concern it."""

    __slots__ = ("_anchored", "_capacity", "_catalog", "_views")

    def __init__(self, catalog: Catalog, capacity: int) -> None:
        self._catalog = catalog
        self._capacity = capacity
        self._views: OrderedDict[Selector, View] = OrderedDict()
        self._anchored: dict[Term, list[View]] = {}

    def __len__(self) -> int:
        return len(self._views)

    def get(self, selector: Selector) -> View:
        """The view of a selector, made if need be; the one unused for longest makes room.

        Raises:
            InvalidArgument: BAD_FIELD. Checked when a view is made: what equals a selector that passed, passes.
        """
        view = self._views.get(selector)
        if view is not None:
            self._views.move_to_end(selector)
            return view
        view = self._views[selector] = View(check_selector(selector), terms_of_selector(selector)[0])
        view.fill(list(self._catalog.matching(selector)))
        self._anchored.setdefault(view.anchor, []).append(view)
        if len(self._views) > self._capacity:
            self._drop(self._views.popitem(last=False)[1])
        return view

    def update(self, entry: Entry, before: Snapshot | None, after: Snapshot | None) -> None:
        """Brings all views up to date with one edge, already in the catalog."""
        if not self._anchored:
            return
        terms = set(terms_of_spec(entry.spec if before is None else before.record.spec))
        if before is not None and after is not None and before.record is not after.record:
            terms.update(terms_of_spec(after.record.spec))
        for term in terms:
            for view in self._anchored.get(term, ()):
                view.update(entry, before, after)

    def _drop(self, view: View) -> None:
        neighbours = self._anchored[view.anchor]
        neighbours.remove(view)
        if not neighbours:
            del self._anchored[view.anchor]
