"""Changes of status in etcd, for people: written together a moment later, and not at all where etcd does not answer."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from orion_registry.core.timeline import StatusEdge, Timeline
from orion_registry.etcd.client import Etcd, Op, Put
from orion_registry.etcd.failures import EtcdError
from orion_registry.etcd.mirror import Mirror
from orion_registry.store.etcd_keys import Keys
from orion_registry.store.rows import edge_to_json

log = logging.getLogger("orion_registry")

FLUSH_S = 0.5
"""How long they wait for others to be written with."""


class EtcdEdges:
    """The last ones of each service that is stored.

    Attributes:
        notes: whose are written; a cluster sets it.
    """

    def __init__(self, etcd: Etcd, keys: Keys, mirror: Mirror, batch: int) -> None:
        """Args: etcd; keys; mirror: knows which services are stored; batch: services in one transaction at most."""
        self._etcd = etcd
        self._keys = keys
        self._mirror = mirror
        self._batch = batch
        self.notes: Callable[[str], bool] = lambda _: True
        self._timelines: dict[str, Timeline] = {}
        self._unsaved: dict[str, None] = {}
        self._flusher: asyncio.Task[None] | None = None

    def restore(self, edges: Iterable[StatusEdge]) -> None:
        """Takes in what is stored."""
        for edge in edges:
            self._timelines.setdefault(edge.service_id, Timeline()).add(edge)

    def forget(self, service_id: str) -> None:
        """A service is being removed, and with it what is stored of its status."""
        self._timelines.pop(service_id, None)

    def note(self, edges: Sequence[StatusEdge]) -> None:
        """See `Store.note`."""
        for edge in edges:
            if self.notes(edge.service_id) and self._mirror.revision_of(self._keys.service(edge.service_id)):
                self._timelines.setdefault(edge.service_id, Timeline()).add(edge)
                self._unsaved[edge.service_id] = None
        if self._unsaved and (self._flusher is None or self._flusher.done()):
            self._flusher = asyncio.get_running_loop().create_task(self._flush_soon(), name="etcd-edges")

    async def stop(self) -> None:
        """Writes what waits, and nothing more by itself."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait({self._flusher})
        await self._flush()

    async def _flush_soon(self) -> None:
        await asyncio.sleep(FLUSH_S)
        await self._flush()

    async def _flush(self) -> None:
        while self._unsaved:
            part = list(islice(self._unsaved, self._batch))
            ops: list[Op] = []
            unchanged: dict[str, int] = {}
            for service_id in part:
                del self._unsaved[service_id]
                key = self._keys.service(service_id)
                revision, timeline = self._mirror.revision_of(key), self._timelines.get(service_id)
                if revision and timeline is not None:
                    unchanged[key] = revision
                    value = json.dumps([edge_to_json(edge) for edge in timeline]).encode()
                    ops.append(Put(self._keys.edges(service_id), value))
            try:
                if ops:
                    await self._etcd.commit(unchanged, ops)
            except EtcdError as error:
                log.debug("changes of status were not kept", extra={"error": str(error)})
                return
