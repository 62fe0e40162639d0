"""A cluster on etcd: its members' keys are watched, what others write is told, what is ours is written."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar

from orion_registry.cluster.base import Joined, Listener, News
from orion_registry.cluster.presence import Presence
from orion_registry.cluster.rows import member_from_json, standing_from_json, standing_to_json
from orion_registry.core.facts import Put as PutFact
from orion_registry.core.membership import Member
from orion_registry.core.standing import Standing
from orion_registry.etcd.client import Etcd, KeyValue, Op, Put
from orion_registry.etcd.failures import EtcdError
from orion_registry.etcd.watch import Change
from orion_registry.store.base import Store, StoreFailed
from orion_registry.store.etcd import BATCH, EtcdStore
from orion_registry.store.etcd_keys import Keys
from orion_registry.store.etcd_writes import StoreConflict, plain
from orion_registry.store.rows import overlay_from_json, record_from_json

log = logging.getLogger("orion_registry")

T = TypeVar("T")

RETRY_S = 0.2
ATTEMPTS = 5
"""How often a service is asked for that others change at the same time."""
QUIET = 3
"""Renewals of the lease without an answer until what is known counts as stale: they come three to a ttl."""


class EtcdCluster:
    """A `Cluster`.

    Attributes:
        store: where facts go.
    """

    def __init__(self, etcd: Etcd, keys: Keys, member: Member, ttl_s: int, audit: Store | None = None) -> None:
        """Args: etcd; keys; member: this one; ttl_s: of its lease; audit: where its audit chain is kept."""
        self._etcd = etcd
        self._keys = keys
        self._member = member
        self._ttl_s = ttl_s
        self._presence = Presence(etcd, keys.member(member.name), member, ttl_s)
        self.store = EtcdStore(etcd, keys, name=member.life, fence=self._presence, audit=audit, told=self._told)
        self.store.owned = self._owned
        self.store.edges.notes = lambda service_id: self._listener.standing(service_id) is not None
        self._listener: Listener
        self._touched: dict[str, None] = {}
        self._written: dict[str, Standing] = {}
        self._claims: dict[str, asyncio.Future[None]] = {}
        self._writer: asyncio.Task[None] | None = None
        self._claimer: asyncio.Task[None] | None = None

    # Life.

    async def join(self, listener: Listener) -> Joined:
        """See `Cluster`."""
        self._listener = listener
        await self.store.load_audit()
        try:
            await self._presence.start()
            kvs = await self.store.mirror.start()
        except EtcdError as error:
            raise StoreFailed(f"etcd cannot be reached: {error}") from error
        standings, members = {}, []
        for kv in kvs:
            kind, name = self._keys.parts(kv.key)
            if kind == "standings":
                standings[name] = _parsed(standing_from_json, kv)
            elif kind == "members":
                members.append(_parsed(member_from_json, kv))
        return Joined(
            stored=self.store.read(kvs),
            standings={name: standing for name, standing in standings.items() if standing is not None},
            members=[member for member in members if member is not None],
        )

    async def leave(self) -> None:
        """See `Cluster`. What changed last is written first, so that others need not guess it."""
        for task in (self._writer, self._claimer):
            if task is not None and not task.done():
                await asyncio.wait({task}, timeout=0.5)
                task.cancel()
        await self._presence.stop()

    @property
    def stale_s(self) -> float:
        """See `Cluster`."""
        heard = self._etcd.endpoints.heard_at
        if heard is None:
            return 0.0
        quiet_s = asyncio.get_running_loop().time() - heard
        return quiet_s if quiet_s > self._ttl_s * QUIET / 3 else 0.0

    @property
    def trouble(self) -> str:
        """See `Cluster`."""
        return self._etcd.endpoints.trouble

    # What others write.

    def _told(self, changes: Sequence[Change]) -> None:
        news = News()
        for change in changes:
            kind, name = self._keys.parts(change.key)
            try:
                self._sort(news, kind, name, change)
            except ValueError as error:  # of a newer version, perhaps
                log.error("a key in etcd cannot be read", extra={"key": change.key, "error": str(error)})
        self._listener.news(news)

    def _sort(self, news: News, kind: str, name: str, change: Change) -> None:
        value = None if change.value is None else plain(change.value)
        match kind:
            case "members" if name == self._member.name:
                self._presence.seen(value, change.revision)
                if self._presence.replaced:
                    self._listener.replaced()
            case "members":
                if value is None:
                    news.members.pop(name, None)
                    news.missing[name] = None
                else:
                    news.missing.pop(name, None)
                    news.members[name] = member_from_json(value)
            case "services":
                self._written.pop(name, None)
                if value is None:
                    news.records.pop(name, None)
                    news.standings.pop(name, None)
                    news.removed.append(name)
                else:
                    news.records[name] = record_from_json(value.decode())
            case "standings":
                self._written.pop(name, None)
                if value is not None:
                    news.standings[name] = standing_from_json(value)
            case "overlays":
                if value is None:
                    news.overlays.pop(name, None)
                    news.cleared[name] = None
                else:
                    news.cleared.pop(name, None)
                    news.overlays[name] = overlay_from_json(value.decode())
            case "epochs" if value is not None:
                news.epochs_below = int(value)

    # What is ours.

    def _owned(self, fact: PutFact) -> Op | None:
        """What goes with a record: that it is ours, if it is new, or claimed anew; see `core.membership`."""
        standing = self._listener.standing_with(fact.record)
        if standing is None:
            return None
        return Put(self._keys.standing(fact.record.service_id), standing_to_json(standing))

    def touched(self, service_id: str) -> None:
        """See `Cluster`."""
        self._touched[service_id] = None
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="etcd-standings")

    async def _write_all(self) -> None:
        """Until nothing is left. What is touched while a transaction is under way goes with the next one."""
        await asyncio.sleep(0)  # the frame that touched one may touch more
        while self._touched:
            part = list(islice(self._touched, BATCH))
            for service_id in part:
                del self._touched[service_id]
            try:
                await self._write_standings(part)
            except StoreConflict:
                for service_id in part:
                    await self._write_alone(service_id)
            except StoreFailed as error:
                log.debug("standings were not written", extra={"error": str(error)})
                self._touched = dict.fromkeys(part) | self._touched
                await asyncio.sleep(RETRY_S)

    async def _write_alone(self, service_id: str) -> None:
        try:
            await self._write_standings([service_id])
        except StoreConflict:  # it is another's by now, or gone; else it is written with its next change
            if self._listener.standing(service_id) is not None:
                self._touched[service_id] = None
                await asyncio.sleep(RETRY_S)
        except StoreFailed:
            self._touched[service_id] = None

    async def _write_standings(self, service_ids: Iterable[str]) -> None:
        wanted = {}
        for service_id in service_ids:
            standing = self._listener.standing(service_id)
            if standing is not None and self._written.get(service_id) != standing:
                wanted[service_id] = standing
        await self._put(wanted)
        self._written.update(wanted)

    async def _put(self, standings: dict[str, Standing]) -> None:
        """Only while their records stay as they are known: a standing must not outlive its service."""
        rows: dict[str, list[Op]] = {}
        for service_id, standing in standings.items():
            key = self._keys.standing(service_id)
            rows[key] = [Put(key, standing_to_json(standing))]
            rows[self._keys.service(service_id)] = []
        await self.store.write(rows)

    # Taking.

    async def take(self, service_ids: Sequence[str]) -> None:
        """See `Cluster`. All who ask at the same time share transactions."""
        waits = []
        for service_id in service_ids:
            claim = self._claims.get(service_id)
            if claim is None:
                claim = self._claims[service_id] = asyncio.get_running_loop().create_future()
                claim.add_done_callback(_heard)
            waits.append(claim)
        if self._claimer is None or self._claimer.done():
            self._claimer = asyncio.get_running_loop().create_task(self._claim_all(), name="etcd-claims")
        for claim in waits:
            await asyncio.shield(claim)

    async def _claim_all(self) -> None:
        await asyncio.sleep(0)
        while self._claims:
            part = dict(islice(self._claims.items(), BATCH))
            try:
                await self._claim(part)
            except StoreConflict:
                for service_id, claim in part.items():
                    await self._claim_alone(service_id, claim)
            except StoreFailed as error:
                _settle(part.values(), error)
            for service_id in part:
                del self._claims[service_id]

    async def _claim_alone(self, service_id: str, claim: asyncio.Future[None]) -> None:
        for _ in range(ATTEMPTS):
            try:
                await self._claim({service_id: claim})
            except StoreConflict:
                continue
            except StoreFailed as error:
                _settle([claim], error)
            return
        _settle([claim], StoreFailed("other members claim it at the same time"))

    async def _claim(self, claims: dict[str, asyncio.Future[None]]) -> None:
        wanted = {}
        for service_id in claims:
            standing = self._listener.standing_to_take(service_id)
            if standing is not None:
                wanted[service_id] = standing
        await self._put(wanted)
        for service_id in wanted:
            self._written.pop(service_id, None)
            self._listener.taken(service_id)
        _settle(claims.values(), None)

    async def refresh(self, service_id: str) -> bool:
        """See `Cluster`."""
        mirror = self.store.mirror
        keys = [self._keys.service(service_id), self._keys.standing(service_id)]
        before = [mirror.revision_of(key) for key in keys]
        try:
            await mirror.refresh(keys)
        except EtcdError as error:
            raise StoreFailed(f"etcd cannot be read: {error}") from error
        return before != [mirror.revision_of(key) for key in keys]

    async def reserve_epochs(self, block: int, above: int) -> tuple[int, int]:
        """See `Cluster`."""
        before, after = await self.store.reserve(lambda below: max(below, above + 1) + block)
        return max(before, above + 1), after


def _parsed(parse: Callable[[bytes], T], kv: KeyValue) -> T | None:
    try:
        return parse(plain(kv.value))
    except ValueError as error:
        log.error("a key in etcd cannot be read", extra={"key": kv.key, "error": str(error)})
        return None


def _settle(claims: Iterable[asyncio.Future[None]], error: StoreFailed | None) -> None:
    for claim in claims:
        if claim.done():
            continue
        if error is None:
            claim.set_result(None)
        else:
            claim.set_exception(error)


def _heard(claim: asyncio.Future[None]) -> None:
    """Whoever asked may have gone: an error that nobody takes is none."""
    if not claim.cancelled():
        claim.exception()
