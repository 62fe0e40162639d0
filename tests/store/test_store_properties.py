"""Whatever is committed, however it is batched, and whenever the daemon dies: what comes back is what went in."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from orion_registry.core.facts import (
    Audit,
    Delete,
    DeleteOverlay,
    Fact,
    Put,
    PutOverlay,
    ReserveEpochs,
    Stored,
    TrimAudit,
)
from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import LivenessMode, Record
from orion_registry.core.timeline import StatusEdge
from orion_registry.store.memory import MemoryStore
from orion_registry.store.rows import record_from_json, record_to_json
from tests.building import make_audit_entry, make_record, make_spec
from tests.store.images import copy, edge, overlay, read, record, store_in

CLOSE, KILL = "close", "kill"
numbers = st.integers(0, 9)
facts = st.one_of(
    st.builds(lambda number, generation: Put(record=record(number, generation)), numbers, st.integers(1, 9)),
    st.builds(lambda number: Delete(service_id=f"s{number:04}"), numbers),
    st.builds(lambda number, weight: PutOverlay(overlay=overlay(number, weight)), numbers, st.floats(0.1, 9)),
    st.builds(lambda number: DeleteOverlay(key=overlay(number).key), numbers),
    st.builds(lambda below: ReserveEpochs(below=below), st.integers(1, 10_000)),
    st.builds(lambda number: Audit(entry=make_audit_entry(f"{number}"), after=record(number)), numbers),
    st.builds(lambda through: TrimAudit(through=through), st.integers(1, 20)),
)
steps = st.lists(
    st.one_of(
        st.lists(facts, max_size=6),
        st.lists(st.builds(edge, numbers, st.floats(0, 1e10)), min_size=1, max_size=6).map(tuple),
        st.sampled_from([CLOSE, KILL]),
    ),
    max_size=12,
)
Step = list[Fact] | tuple[StatusEdge, ...] | str


def plain(stored: Stored) -> Stored:
    """In one order: which services come first means nothing."""
    edges = tuple(sorted(stored.edges, key=lambda one: one.service_id))
    records = tuple(sorted(stored.records, key=lambda one: one.service_id))
    overlays = tuple(sorted(stored.overlays, key=lambda one: one.key))
    return replace(stored, records=records, edges=edges, overlays=overlays)


@settings(max_examples=30)
@given(steps)
def test_sqlite_is_the_memory_store_that_outlives_its_process(plan: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(lives(Path(folder), plan))


async def lives(folder: Path, plan: Sequence[Step]) -> None:
    model, life = MemoryStore(), 0
    store = store_in(folder / "0")
    await store.load()
    for step in plan:
        if isinstance(step, list):
            await store.commit(step)
            await model.commit(step)
        elif isinstance(step, tuple):
            store.note(step)
            model.note(step)
            await store.commit([ReserveEpochs(below=1)])  # notes go with the next commit: so it is this one
        else:
            before, life = store, life + 1
            if step == CLOSE:
                await before.close()
            copy(folder / str(life - 1), folder / str(life))
            store = store_in(folder / str(life))
            assert plain(await store.load()) == plain(await model.load())
            assert (store.audit_anchor, store.audit_head) == (model.audit_anchor, model.audit_head)
            assert await store.audit_records(0, 100) == await model.audit_records(0, 100)
            await before.close()
    await store.close()
    assert plain(await read(folder / str(life))) == plain(await model.load())


text = st.text(st.characters(codec=None), max_size=20)
scalars = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | text
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
metadata = st.dictionaries(text, trees, max_size=4)


@given(metadata, st.lists(text, max_size=4), st.sampled_from(LivenessMode), st.none() | st.floats(0, 1e6), text)
def test_a_record_survives_its_line(
    values: dict[str, object], tags: list[str], liveness: LivenessMode, retention_s: float | None, identity: str
) -> None:
    metadata_json, metadata_scalars = canonical_metadata(values)
    spec = make_spec(
        tags=tuple(tags),
        liveness=liveness,
        retention_s=retention_s,
        metadata_json=metadata_json,
        metadata_scalars=metadata_scalars,
    )
    given_record: Record = make_record(spec, identity=identity)
    line = record_to_json(given_record)
    assert "\n" not in line
    line.encode()
    plain = json.loads(line)
    assert list(plain) == sorted(plain)
    assert list(plain["spec"]) == sorted(plain["spec"])
    assert record_from_json(line) == given_record


def test_a_batch_is_all_or_nothing(tmp_path: Path) -> None:
    """A fact that SQLite cannot take undoes the whole batch, and only that batch."""

    async def run() -> None:
        store = store_in(tmp_path)
        await store.load()
        too_much = ReserveEpochs(below=2**63)  # beyond SQLite's integers
        outcome = await asyncio.gather(
            store.commit([Put(record=record(1))]),
            store.commit([Put(record=record(2)), too_much]),
            store.commit([Put(record=record(3))]),
            return_exceptions=True,
        )
        assert [error is None for error in outcome] == [True, False, True]
        await store.close()
        assert [one.service_id for one in (await read(tmp_path)).records] == ["s0001", "s0003"]

    asyncio.run(run())
