"""Views: the answers to recent selectors, kept so that asking again costs only what has changed since."""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict

from orion_registry.core.catalog import Catalog, Term, terms_of_selector, terms_of_spec
from orion_registry.core.entry import Entry
from orion_registry.core.model import Snapshot
from orion_registry.core.selector import Selector, check_selector

MEMBERS = 200_000
"""Members of all views together at most, but for the latest view: what hostile selectors can make the registry hold."""

CHANGED = 1_024
"""Changes that a view notes at most. One that nobody has asked for meanwhile is dropped: made anew it costs no more."""

REBUILD_SHARE = 4
"""Changed services, as one part in so many of a view, from which making it anew is cheaper than following each."""


class View:
    """The services that satisfy one selector. Owned by `Views`; read-only for everybody else.

    Attributes:
        members: all that match whatever their status, by ordinal.
        shown: ordinals of those to be seen in their present status, in order.
        changed: services that had an edge since the view was last brought up to date, by ordinal; None for one that
            cannot match any more: a view that nobody asks for holds on to no service that has gone.
    """

    __slots__ = ("_unready", "anchor", "changed", "members", "selector", "shown")

    def __init__(self, selector: Selector, anchor: Term) -> None:
        self.selector = selector
        self.anchor = anchor
        self.changed: dict[int, Entry | None] = {}
        self.members: dict[int, Entry] = {}
        self.shown: list[int] = []
        self._unready: set[int] = set()

    @property
    def not_ready(self) -> int:
        """How many members may not be selected now."""
        return len(self._unready)

    def page(self, after: int, size: int) -> list[Entry]:
        """At most `size` shown services with an ordinal above `after`."""
        start = bisect_right(self.shown, after)
        return [self.members[ordinal] for ordinal in self.shown[start : start + size]]

    def more_after(self, ordinal: int) -> bool:
        """Whether anything is shown behind this ordinal."""
        return bool(self.shown) and self.shown[-1] > ordinal

    def fill(self, catalog: Catalog) -> None:
        """Takes in all members at once."""
        self.changed.clear()
        self.members = {entry.ordinal: entry for entry in catalog.matching(self.selector)}
        self._unready = {ordinal for ordinal, entry in self.members.items() if not entry.snapshot.ready}
        self.shown = sorted(o for o, entry in self.members.items() if self.selector.shows(entry.snapshot))

    def note(self, entry: Entry, anchored: bool) -> None:
        """One of those at the anchor had an edge. anchored: it is there still, neither removed nor changed away."""
        self.changed[entry.ordinal] = entry if anchored else None
        if not anchored:
            self.members.pop(entry.ordinal, None)

    def catch_up(self, catalog: Catalog) -> None:
        """Follows what has changed since the last time."""
        if len(self.changed) * REBUILD_SHARE > len(self.members):
            self.fill(catalog)
            return
        for ordinal, entry in self.changed.items():
            self._leave(ordinal)
            if entry is not None and self.selector.matches_spec(entry.spec):
                self._enter(entry)
        self.changed.clear()

    def _leave(self, ordinal: int) -> None:
        self.members.pop(ordinal, None)
        self._unready.discard(ordinal)
        place = bisect_left(self.shown, ordinal)
        if self.shown[place : place + 1] == [ordinal]:
            del self.shown[place]

    def _enter(self, entry: Entry) -> None:
        self.members[entry.ordinal] = entry
        if not entry.snapshot.ready:
            self._unready.add(entry.ordinal)
        if self.selector.shows(entry.snapshot):
            insort(self.shown, entry.ordinal)


class Views:
    """The `capacity` views asked for last. A view is anchored at one posting list: only edges there concern it.

    An edge only notes which service changed: however many views somebody asks for, edges stay cheap.
    """

    __slots__ = ("_anchored", "_capacity", "_catalog", "_views")

    def __init__(self, catalog: Catalog, capacity: int) -> None:
        self._catalog = catalog
        self._capacity = capacity
        self._views: OrderedDict[Selector, View] = OrderedDict()
        self._anchored: dict[Term, list[View]] = {}

    def __len__(self) -> int:
        return len(self._views)

    def get(self, selector: Selector) -> View:
        """The view of a selector, up to date, made if need be; those unused for longest make room.

        Raises:
            InvalidArgument: BAD_FIELD. Checked when a view is made: what equals a selector that passed, passes.
        """
        view = self._views.get(selector)
        if view is not None:
            self._views.move_to_end(selector)
            if view.changed:
                view.catch_up(self._catalog)
            return view
        view = self._views[selector] = View(check_selector(selector), terms_of_selector(selector)[0])
        view.fill(self._catalog)
        self._anchored.setdefault(view.anchor, []).append(view)
        self._make_room()
        return view

    def update(self, entry: Entry, before: Snapshot | None, after: Snapshot | None) -> None:
        """Notes one edge, already in the catalog, in all views that it may concern."""
        if not self._anchored:
            return
        left = terms = set(terms_of_spec(entry.spec if before is None else before.record.spec))
        if after is None:
            left = set()
        elif before is not None and before.record is not after.record:
            left = set(terms_of_spec(after.record.spec))
        concerned = [view for term in terms | left for view in self._anchored.get(term, ())]
        for view in concerned:
            view.note(entry, view.anchor in left)
            if len(view.changed) > CHANGED:
                self._drop(view)

    def _make_room(self) -> None:
        held = sum(len(view.members) for view in self._views.values())
        while len(self._views) > self._capacity or (held > MEMBERS and len(self._views) > 1):
            view = next(iter(self._views.values()))
            held -= len(view.members)
            self._drop(view)

    def _drop(self, view: View) -> None:
        del self._views[view.selector]
        neighbours = self._anchored[view.anchor]
        neighbours.remove(view)
        if not neighbours:
            del self._anchored[view.anchor]
