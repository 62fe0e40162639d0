"""What goes into the audit chain beside the changes of the store: denials, and changes that store nothing.

Nobody waits for it. It is gathered for a second, what is the same is counted, and there is a bound to what differs: so
a flood of denials costs bounded memory and disk, and a bad disk delays neither health nor selection. What it loses is
counted, and an alarm.
"""

import asyncio
import logging
from dataclasses import dataclass

from orion_registry.core.audit import OK, AuditEntry
from orion_registry.core.facts import Audit, Fact, TrimAudit
from orion_registry.core.model import Actor
from orion_registry.errors import PermissionDenied, Reason, RegistryError, Unauthenticated
from orion_registry.runtime.clock import Clock
from orion_registry.store.base import Store, StoreFailed

log = logging.getLogger("orion_registry")

AUDIT = "AUDIT"
"""Alarm: the audit chain, or the file that it is written to, does not take what happened."""

GATHER_S = 1.0
"""How long records gather."""
DENIALS = 32
"""Different denials of one known identity in one gathering; more are counted together in its name, by reason alone, so
that who makes many hides no other."""
ROOM = 256
"""Records of denials by known identities that one gathering keeps apart, else many who make many would soon push what
was before them out of the store. All share it evenly; what is beyond a share is counted together in the name of each.
"""
IDENTITIES = 128
"""Known identities whose denials are told apart in one gathering; those of more are counted together, by reason."""
STRANGERS = 8
"""Different denials of those who proved no identity in one gathering; more are counted together, by reason alone, and
hide nobody known. So few because nothing is needed to make them, and each pushes an older record out of the store.
"""
DEEDS = 1_024
"""Different changes by one method in one gathering; more are counted together: of this method, so that who makes many
cheap ones hides no other."""
OTHERS = "*"
"""What stands in a record that counts what is beyond these: as target for changes, as method for denials, and as
identity for those of too many known ones."""

TRIM = 5_000
"""Records that one commit trims at most: about 10 ms."""
SLACK = 1_000
"""Records beyond those to keep that may gather before they are trimmed."""

_REASONS = frozenset({Reason.STALE_EPOCH, Reason.RATE_LIMITED})
"""Denials are these, and all that Unauthenticated and PermissionDenied have: what is tried by whoever may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """keep: records that the store keeps; 0 = all."""

    keep: int = 100_000


_Key = tuple[str, str, str, str, str, str]
_Gathered = dict[_Key, tuple[float, int]]
"""When the first like this happened, and how many there were."""


class AuditTrail:
    """Gathers records and hands them to the store. Belongs to one event loop.

    Attributes:
        lost: records that the store did not take, in this life.
        exported: number of the last record that is in the audit file; None = there is none, so nothing waits for it.
        export_trouble: why the audit file is not written; empty if it is.
    """

    def __init__(self, store: Store, clock: Clock, history_id: str, config: AuditConfig) -> None:
        self._store = store
        self._clock = clock
        self._history_id = history_id
        self._keep = config.keep
        self._denials: dict[str, _Gathered] = {}
        self._crowd: _Gathered = {}
        self._strangers: _Gathered = {}
        self._deeds: dict[str, _Gathered] = {}
        self._flush_at = 0.0
        self._committing: asyncio.Task[None] | None = None
        self._trouble = ""
        self.lost = 0
        self.exported: int | None = None
        self.export_trouble = ""

    @property
    def trouble(self) -> str:
        """What is wrong, for an alarm; empty if nothing is."""
        return self._trouble or self.export_trouble

    # In.

    def did(self, actor: Actor, method: str, namespace: str = "", target: str = "") -> None:
        """Somebody did something that stores nothing."""
        key = (actor.identity, actor.address, method, namespace, target, OK)
        self._count(self._deeds.setdefault(method, {}), key, DEEDS, ("", "", method, "", OTHERS, OK))

    def refused(self, actor: Actor, method: str, error: RegistryError) -> None:
        """Somebody was refused something. Only denials count: a mistake in a request is none."""
        if not is_denial(error):
            return
        reason = str(error.reason)
        key = (actor.identity, actor.address, method, "", "", reason)
        if not actor.identity:
            self._count(self._strangers, key, STRANGERS, ("", "", OTHERS, "", "", reason))
        elif actor.identity in self._denials or len(self._denials) < IDENTITIES:
            found = self._denials.setdefault(actor.identity, {})
            self._count(found, key, DENIALS, (actor.identity, "", OTHERS, "", "", reason))
        else:
            self._count(self._crowd, key, 0, (OTHERS, "", OTHERS, "", "", reason))

    def _count(self, found: _Gathered, key: _Key, most: int, others: _Key) -> None:
        if key not in found and len(found) >= most:
            key = others
        wall, count = found.get(key) or (self._clock.now().wall, 0)
        found[key] = wall, count + 1

    # Out.

    def tick(self) -> None:
        """Lets time pass."""
        now = self._clock.now().mono
        if now < self._flush_at or (self._committing is not None and not self._committing.done()):
            return
        if facts := self._due():
            self._flush_at = now + GATHER_S
            self._committing = asyncio.get_running_loop().create_task(self._commit(facts))

    async def stop(self, timeout_s: float) -> None:
        """Hands over what has gathered, and waits for it for a while."""
        for _ in range(2):
            if self._committing is not None and not self._committing.done():
                await asyncio.wait({self._committing}, timeout=timeout_s)
            self._flush_at = 0.0
            self.tick()

    def _due(self) -> list[Fact]:
        """What is to be committed now."""
        facts: list[Fact] = [
            Audit(entry=self._entry(key, wall, count))
            for gathered in (*self._deeds.values(), *self._shared(), self._crowd, self._strangers)
            for key, (wall, count) in gathered.items()
        ]
        self._deeds, self._denials, self._crowd, self._strangers = {}, {}, {}, {}
        if (through := self._trimmed_through()) is not None:
            facts.append(TrimAudit(through=through))
        return facts

    def _shared(self) -> list[_Gathered]:
        """Denials of known identities, each with its share of the room."""
        share = max(1, ROOM // max(1, len(self._denials)))
        return [found if len(found) <= share else _folded(found, share) for found in self._denials.values()]

    def _entry(self, key: _Key, wall: float, count: int) -> AuditEntry:
        identity, address, method, namespace, target, outcome = key
        return AuditEntry(
            wall=wall,
            history_id=self._history_id,
            identity=identity,
            address=address,
            method=method,
            namespace=namespace,
            target=target,
            outcome=outcome,
            count=count,
        )

    def _trimmed_through(self) -> int | None:
        """The last record to let go of; none that the audit file still lacks."""
        head, anchor = self._store.audit_head.seq, self._store.audit_anchor.seq
        if not self._keep:
            return None
        last = head - self._keep
        if self.exported is not None:
            last = min(last, self.exported)
        return min(last, anchor + TRIM) if last - anchor >= SLACK else None

    async def _commit(self, facts: list[Fact]) -> None:
        entries = sum(isinstance(fact, Audit) for fact in facts)
        try:
            await self._store.commit(facts)
            self._trouble = ""
        except Exception as error:  # nobody waits for this task: a fault must be told, and end no trail
            self.lost += entries
            expected = isinstance(error, StoreFailed)
            why = str(error) if expected else f"{type(error).__name__}: {error}"
            if not self._trouble:
                exc_info = None if expected else error
                log.error("audit records are not stored", extra={"records": entries, "error": why}, exc_info=exc_info)
            self._trouble = f"{self.lost:,} audit records were lost: {why}"


def _folded(found: _Gathered, share: int) -> _Gathered:
    """What is beyond the share is counted together, by reason alone."""
    kept: _Gathered = {}
    for key, (wall, count) in found.items():
        identity, reason = key[0], key[-1]
        to = key if len(kept) < share else (identity, "", OTHERS, "", "", reason)
        first, before = kept.get(to, (wall, 0))
        kept[to] = min(first, wall), before + count
    return kept


def is_denial(error: RegistryError) -> bool:
    """Whether an error says that somebody may not."""
    return isinstance(error, Unauthenticated | PermissionDenied) or error.reason in _REASONS
