"""All services, with indexes that answer a selector without looking at every service."""

from collections.abc import Iterable, Iterator
from enum import IntEnum

from orion_registry.core.entry import Entry
from orion_registry.core.model import ServiceSpec, Snapshot
from orion_registry.core.selector import Selector


class Index(IntEnum):
    """What services are indexed by, each within its namespace."""

    NAMESPACE = 0
    TYPE = 1
    NAME = 2
    AGENT = 3
    CAPABILITY = 4
    TAG = 5


_NAMESPACE, _TYPE, _NAME, _AGENT, _CAPABILITY, _TAG = Index

Term = tuple[Index, str, str]
"""(index, namespace, value): the key of one posting list."""


def terms_of_spec(spec: ServiceSpec) -> list[Term]:
    """The posting lists that a service stands in."""
    namespace = spec.namespace
    return [
        (_NAMESPACE, namespace, ""),
        (_TYPE, namespace, spec.service_type),
        (_NAME, namespace, spec.service_name),
        (_AGENT, namespace, spec.agent_id),
        *[(_CAPABILITY, namespace, capability) for capability in spec.capabilities],
        *[(_TAG, namespace, tag) for tag in spec.tags],
    ]


def terms_of_selector(selector: Selector) -> list[Term]:
    """Posting lists that each hold every service that can match; the most telling kinds first."""
    namespace = selector.namespace
    named = ((Index.AGENT, selector.agent_id), (Index.NAME, selector.service_name), (Index.TYPE, selector.service_type))
    return [
        *((Index.CAPABILITY, namespace, capability) for capability in selector.capabilities),
        *((Index.TAG, namespace, tag) for tag in selector.tags),
        *((index, namespace, value) for index, value in named if value),
        (Index.NAMESPACE, namespace, ""),
    ]


class Catalog:
    """Entries by service_id, and posting lists by term. It decides nothing."""

    __slots__ = ("_entries", "_next_ordinal", "_postings")

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._postings: dict[Term, dict[int, Entry]] = {}
        self._next_ordinal = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, service_id: str) -> Entry | None:
        """The entry of a service, if it is registered."""
        return self._entries.get(service_id)

    def count(self, namespace: str) -> int:
        """Services registered in a namespace."""
        return len(self._postings.get((_NAMESPACE, namespace, ""), ()))

    # Changes.

    def next_ordinal(self) -> int:
        """A place after all others in the order of registration."""
        self._next_ordinal += 1
        return self._next_ordinal

    def insert(self, entry: Entry) -> None:
        """Adds an entry whose snapshot is set."""
        self._entries[entry.service_id] = entry
        self._index(entry, terms_of_spec(entry.spec))

    def replace(self, entry: Entry, snapshot: Snapshot) -> None:
        """Publishes a new snapshot of an entry, and moves it between posting lists if its spec changed."""
        before, after = entry.spec, snapshot.record.spec
        entry.snapshot = snapshot
        if before is not after:
            old, new = set(terms_of_spec(before)), set(terms_of_spec(after))
            self._unindex(entry, old - new)
            self._index(entry, new - old)

    def delete(self, entry: Entry) -> None:
        """Takes an entry out."""
        del self._entries[entry.service_id]
        self._unindex(entry, terms_of_spec(entry.spec))

    # Queries.

    def matching(self, selector: Selector) -> Iterator[Entry]:
        """Entries that satisfy the selector whatever their status; looks only at its shortest posting list."""
        shortest: dict[int, Entry] | None = None
        for term in terms_of_selector(selector):
            posting = self._postings.get(term)
            if posting is None:
                return iter(())
            if shortest is None or len(posting) < len(shortest):
                shortest = posting
        assert shortest is not None  # every selector has its namespace's list
        return (entry for entry in shortest.values() if selector.matches_spec(entry.spec))

    def _index(self, entry: Entry, terms: Iterable[Term]) -> None:
        for term in terms:
            self._postings.setdefault(term, {})[entry.ordinal] = entry

    def _unindex(self, entry: Entry, terms: Iterable[Term]) -> None:
        for term in terms:
            posting = self._postings[term]
            del posting[entry.ordinal]
            if not posting:
                del self._postings[term]
