"""The files that decide who is let in and what they may do: certificates, tokens and grants, watched together."""

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from orion_registry.core.access.book import AccessBook
from orion_registry.core.access.tokens import TokenBook
from orion_registry.errors import Said
from orion_registry.runtime.alarms import Alarms
from orion_registry.runtime.clock import Clock
from orion_registry.server import access_file, tokens_file
from orion_registry.server.access_file import AccessRules
from orion_registry.server.cluster_settings import ClusterSettings
from orion_registry.server.security_settings import SecuritySettings
from orion_registry.server.start_error import SettingError
from orion_registry.server.watched_file import WatchedFile

if TYPE_CHECKING:
    from orion_registry.server.certificates import Certificates

log = logging.getLogger("orion_registry")

CERTIFICATE: Final = "CERTIFICATE"
"""Alarm: the daemon's certificate ends soon or has ended, or the files that are to take its place are broken."""
ACCESS: Final = "ACCESS"
"""Alarm: a new tokens_file or access_file is broken: the old one goes on. Or something failed that looks after them."""

LOOK_S: Final = 1.0
"""How often the files are looked at."""

ENDED: Final = "expiry"
"""Why somebody may do less: a token has ended."""
CERTIFICATES: Final = "certificates"
JUDGING: Final = "judging anew"
"""What may fail besides the files that settings name."""


class Access:
    """What the files say, as they were last found whole.

    Attributes:
        certificates: None = plaintext.
        certified: clients over TCP show a certificate.
    """

    def __init__(self, settings: ClusterSettings, wall_s: float) -> None:
        """Reads the files. wall_s: the present; a token that has ended by then takes nothing from anybody any more.

        Raises:
            StartError: one cannot be read or used; it names the setting.
        """
        self.certificates = _certificates(settings) if settings.tls else None
        self.certified = settings.clients_certified
        self._tokens: WatchedFile[TokenBook] | None = None
        self._rules: WatchedFile[AccessRules] | None = None
        if settings.tokens_file:
            _warn_if_others_may_write(settings.tokens_file)
            _warn_if_all_may_read(settings.tokens_file)
            self._tokens = WatchedFile(tokens_file.NAME, settings.tokens_file, tokens_file.read_tokens)
        if settings.access_file:
            _warn_if_others_may_write(settings.access_file)
            self._rules = WatchedFile(access_file.NAME, settings.access_file, self._read_rules)
        self._judged_wall = wall_s
        self._faults: dict[str, str] = {}

    def _read_rules(self, path: str) -> AccessRules:
        rules = access_file.read_access(path)
        if rules.book.rows and not self.certified:
            rule = "without [[grant]] rows, or set with tls_client_ca_file: they are for identities of certificates"
            raise SettingError(access_file.NAME, rule, Said(f"{len(rules.book.rows)} of them in {path!r}"))
        return rules

    @property
    def tokens(self) -> TokenBook | None:
        """The tokens that count; None = there are none here."""
        return self._tokens.value if self._tokens is not None else None

    @property
    def book(self) -> AccessBook:
        """What is granted to identities of certificates."""
        return self.rules.book

    @property
    def rules(self) -> AccessRules:
        """All of access_file; without one nothing is granted."""
        return self._rules.value if self._rules is not None else _NO_RULES

    def look(self, wall_s: float) -> tuple[str, ...]:
        """Takes files that have changed, if they are whole; returns why anybody may do less or more than before."""
        looks: dict[str, Callable[[], object]] = {}
        if self.certificates is not None:
            looks[CERTIFICATES] = partial(self.certificates.look, wall_s)
        looks |= {watched.name: watched.look for watched in (self._tokens, self._rules) if watched is not None}
        looks[ENDED] = partial(self._some_ended, wall_s)
        return tuple(name for name, look in looks.items() if self._found_new(name, look))

    def _found_new(self, name: str, look: Callable[[], object]) -> bool:
        """Whether one look found something. One that fails by a fault of ours keeps none of the others from it."""
        try:
            found = bool(look())
        except Exception as error:  # noqa: BLE001 - a fault of ours, told below
            self._failed(name, error)
            return False
        self._faults.pop(name, None)
        return found

    def _some_ended(self, wall_s: float) -> bool:
        some = self.tokens is not None and self.tokens.ended_between(self._judged_wall, wall_s)
        self._judged_wall = wall_s
        return some

    def troubles(self, wall_s: float) -> dict[str, str]:
        """What an operator should see to, by alarm; an empty text = nothing."""
        refused = [watched.trouble for watched in (self._tokens, self._rules) if watched is not None]
        told = "; ".join(filter(None, refused))
        told = f"new files are refused, the old ones go on: {told}" if told else ""
        found = {ACCESS: "; ".join(filter(None, (told, *self._faults.values())))}
        if self.certificates is not None:
            found[CERTIFICATE] = self.certificates.trouble(wall_s)
        return found

    async def keep(self, clock: Clock, alarms: Alarms, changed: Callable[[str], Awaitable[None]]) -> None:
        """Looks after the files for ever; changed: called with what has changed, to judge anew.

        Nothing ends it but its cancelling: if nobody looked any more, what was revoked would count for ever.
        """
        due: dict[str, None] = {}  # what was not judged yet
        while True:
            try:
                for name, trouble in self.troubles(clock.now().wall).items():
                    alarms.keep(name, trouble)
                await asyncio.sleep(LOOK_S)
                due |= dict.fromkeys(await asyncio.to_thread(self.look, clock.now().wall))
                if due:
                    await changed(" ".join(due))
                due = {}
                self._faults.pop(JUDGING, None)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(JUDGING, error)
                await asyncio.sleep(LOOK_S)

    def _failed(self, what: str, error: Exception) -> None:
        """A fault of ours: logged once, and an alarm until it is over."""
        if what not in self._faults:
            log.error("access was not looked after", extra={"what": what}, exc_info=error)
        self._faults[what] = f"{what} failed ({type(error).__name__}): see the log"


def say_who_may(settings: SecuritySettings, where: dict[str, object], *, exposed: bool) -> None:
    """Tells in the log who may call: an open registry says so. where: the addresses; exposed: insecure_listen."""
    if settings.callers_known:
        files = {name: getattr(settings, name) for name in _FILES if getattr(settings, name)}
        log.info("callers prove who they are", extra=files)
        if settings.clients_certified and not settings.access_file:
            log.warning("no access_file: identities of certificates may do nothing", extra=where)
        if exposed and not settings.tls:
            log.warning("insecure_listen is set: whoever reads tokens on their way can use them", extra=where)
    elif exposed:
        log.warning("insecure_listen is set: whoever reaches the port may do everything", extra=where)
    else:
        log.info("open: whoever is on this machine may do everything", extra=where)


_FILES: Final = ("tls_client_ca_file", "access_file", "tokens_file")
_NO_RULES: Final = AccessRules()


def _certificates(settings: ClusterSettings) -> "Certificates":
    from orion_registry.server.certificates import Certificates  # only those who need it wait for its import

    return Certificates(settings)


def _warn_if_others_may_write(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # reading it tells what is wrong
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        log.warning("others may change who may do what: chmod go-w", extra={"file": path})


def _warn_if_all_may_read(path: str) -> None:
    """It has hashes alone, yet says who is who and what each may do."""
    with contextlib.suppress(OSError):  # reading it tells what is wrong
        if os.stat(path).st_mode & stat.S_IROTH:
            log.warning("everybody on this machine may read tokens_file: chmod o-r", extra={"file": path})
