"""Data directories as they are left behind: closed, or as `kill -9` leaves them."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from orion_registry.core.facts import Delete, Fact, Put, PutOverlay, ReserveEpochs, Stored
from orion_registry.core.model import Record, ServiceStatus, StatusReasonCode
from orion_registry.core.overlay import Overlay, OverlayMode
from orion_registry.core.timeline import StatusEdge
from orion_registry.store.sqlite import SqliteStore
from tests.building import make_record, make_spec

RESERVE = 64 * 1024
"""Bytes set aside in tests: less to copy."""


def record(number: int, generation: int = 1) -> Record:
    tags = tuple(f"tag-{number}-{label}" for label in range(number % 7))
    spec = make_spec(f"agent-{number}", service_id=f"s{number:04}", tags=tags, metadata_json='{"ü":[1.0,null]}')
    return make_record(spec, generation=generation, used_epoch=number, secret_hash=f"{number:064}")


def put(number: int, generation: int = 1) -> Put:
    return Put(record=record(number, generation))


def overlay(number: int, weight: float | None = None) -> Overlay:
    return Overlay(
        namespace="default",
        agent_id=f"agent-{number}",
        service_name="calc",
        service_id=f"s{number:04}",
        mode=OverlayMode.MAINTENANCE,
        weight=weight,
        note="ü",
    )


def edge(number: int, wall: float, status: ServiceStatus = ServiceStatus.HEALTHY) -> StatusEdge:
    codes = (StatusReasonCode.STREAM_OPEN, StatusReasonCode.SELF_REPORTED)
    return StatusEdge(service_id=f"s{number:04}", wall=wall, status=status, codes=codes)


def store_in(path: Path) -> SqliteStore:
    return SqliteStore(path, reserve_bytes=RESERVE)


async def read(path: Path) -> Stored:
    """What a new daemon finds there."""
    store = store_in(path)
    try:
        return await store.load()
    finally:
        await store.close()


def copy(path: Path, to: Path) -> Path:
    """The directory as it is: of an open store, what `kill -9` would leave behind."""
    return Path(shutil.copytree(path, to))


async def history(path: Path) -> dict[str, Path]:
    """One store's life in three images: `early`, then `killed` with a log, then `closed` without one."""
    work = path / "work"
    store = store_in(work)
    await store.load()
    await store.commit([*(put(number) for number in range(200)), PutOverlay(overlay=overlay(1))])
    await commit_each(store, [ReserveEpochs(below=100)])
    await store.close()
    early = copy(work, path / "early")
    store = store_in(work)
    await store.load()
    await commit_each(store, [put(number, 2) for number in range(5, 60, 5)])
    await commit_each(store, [Delete(service_id="s0003"), ReserveEpochs(below=200)])
    killed = copy(work, path / "killed")
    await store.close()
    return {"early": early, "killed": killed, "closed": copy(work, path / "closed")}


async def commit_each(store: SqliteStore, facts: Iterable[Fact]) -> None:
    for fact in facts:
        await store.commit([fact])
