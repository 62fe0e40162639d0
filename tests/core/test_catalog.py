"""core/catalog: an answer looks at the shortest posting list only, and lists hold nothing that is gone."""

from typing import Any

import pytest

from orion_registry.core.catalog import Catalog, Index, terms_of_selector, terms_of_spec
from orion_registry.core.entry import Entry
from orion_registry.core.selector import Selector
from tests.building import make_entry, make_record, make_snapshot, make_spec


def catalog_of(*specs: dict[str, Any]) -> tuple[Catalog, list[Entry]]:
    catalog = Catalog()
    entries = []
    for number, fields in enumerate(specs):
        spec = make_spec(**{"service_id": f"s{number}", "agent_id": f"a{number}", **fields})
        entries.append(make_entry(catalog.next_ordinal(), spec))
        catalog.insert(entries[-1])
    return catalog, entries


def ids(catalog: Catalog, **terms: Any) -> list[str]:
    return [entry.service_id for entry in catalog.matching(Selector(**terms))]


FLEET: list[dict[str, Any]] = [
    {"capabilities": ("add",), "tags": ("gpu",)},
    {"capabilities": ("add", "sub"), "service_type": "tool"},
    {"namespace": "other", "capabilities": ("add",)},
    {"service_name": "text", "zone": "eu"},
]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({}, ["s0", "s1", "s3"]),
        ({"namespace": "other"}, ["s2"]),
        ({"namespace": "nowhere"}, []),
        ({"capabilities": ("add",)}, ["s0", "s1"]),
        ({"capabilities": ("add", "sub")}, ["s1"]),
        ({"capabilities": ("mul",)}, []),
        ({"tags": ("gpu",)}, ["s0"]),
        ({"tags": ("gpu",), "capabilities": ("sub",)}, []),
        ({"service_type": "tool"}, ["s1"]),
        ({"service_name": "text"}, ["s3"]),
        ({"agent_id": "a0"}, ["s0"]),
        ({"zone": "eu"}, ["s3"]),
    ],
    ids=str,
)
def test_matching(terms: dict[str, Any], expected: list[str]) -> None:
    assert ids(catalog_of(*FLEET)[0], **terms) == expected


def test_the_shortest_list_is_the_one_looked_at() -> None:
    """10 of 10,000: the number of services looked at is 10, whichever term comes first."""
    catalog, _ = catalog_of(*({"tags": ("all", "few") if n < 10 else ("all",)} for n in range(1_000)))
    looked: list[str] = []

    class Spy(Selector):
        def matches_spec(self, spec: Any) -> bool:
            looked.append(spec.service_id)
            return super().matches_spec(spec)

    assert len(list(catalog.matching(Spy(tags=("all", "few"))))) == 10
    assert len(looked) == 10


def test_a_changed_spec_moves_between_lists_and_a_deleted_entry_leaves_all() -> None:
    catalog, (entry,) = catalog_of({"tags": ("old", "kept")})
    changed = make_record(make_spec(service_id="s0", agent_id="a0", tags=("kept", "new")))
    catalog.replace(entry, make_snapshot(changed))
    assert ids(catalog, tags=("old",)) == []
    assert ids(catalog, tags=("new", "kept")) == ["s0"]
    catalog.delete(entry)
    assert ids(catalog) == []
    assert catalog.get("s0") is None
    assert len(catalog) == 0
    assert catalog._postings == {}, "empty lists go, or hostile labels would pile up"


def test_a_new_status_alone_touches_no_list() -> None:
    catalog, (entry,) = catalog_of({})
    before = dict(catalog._postings)
    catalog.replace(entry, make_snapshot(entry.snapshot.record, ready=False))
    assert catalog._postings == before
    assert not entry.snapshot.ready


def test_get_iterate_and_order() -> None:
    catalog, entries = catalog_of({}, {})
    assert catalog.get("s1") is entries[1]
    assert list(catalog) == entries
    assert [entry.ordinal for entry in entries] == [1, 2]


def test_the_anchor_of_a_selector_is_its_most_telling_term() -> None:
    terms = terms_of_selector(Selector(capabilities=("c",), tags=("t",), agent_id="a", service_type="y"))
    assert [term[0] for term in terms] == [Index.CAPABILITY, Index.TAG, Index.AGENT, Index.TYPE, Index.NAMESPACE]
    assert set(terms) <= set(terms_of_spec(make_spec(agent_id="a", service_type="y", capabilities=("c",), tags=("t",))))
