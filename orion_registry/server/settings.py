"""The one table of settings. Flags, ORION_* environment, TOML file, --print-config and docs/configuration.md are made
from it, so that all have the same names. Precedence: flag > environment > file > default.
"""

import resource
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from orion_registry.server.address import parse_address
from orion_registry.server.setting_kinds import Kind, addresses, choice, duration, path, size, switch, whole
from orion_registry.server.start_error import SettingError

DESCRIPTORS_KEPT = 256
"""Open files that connections may not take: listeners, logs, the store, its journal, probes, and room to spare.
With none left a daemon lives on and answers nobody (references/reliability-security.md 3.1)."""


def open_files_limit() -> int:
    """Files that this process may have open; a million if there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else min(soft, 1_000_000)


def most_connections() -> int:
    """Connections that fit under the limit of open files; at least 16."""
    return max(16, open_files_limit() - DESCRIPTORS_KEPT)


def _setting(
    kind: Kind,
    default: Any,
    *,
    group: str,
    meaning: str,
    trade_off: str,
    name: str = "",
    default_text: str = "",
) -> Any:
    about = {
        "kind": kind,
        "group": group,
        "meaning": meaning,
        "trade_off": trade_off,
        "name": name,
        "default_text": default_text,
    }
    if callable(default):
        return field(default_factory=default, metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that an operator may set. Checked when made; spans are seconds, sizes bytes.

    Raises:
        SettingError: a value breaks its rule; the message names the setting, the rule and what came.
    """

    listen: tuple[str, ...] = _setting(
        addresses(parse_address),
        ("127.0.0.1:6746",),
        group="Where it listens",
        meaning=(
            "Address for gRPC, HOST:PORT or unix:PATH; may be given several times (in the environment: a comma list)."
        ),
        trade_off=(
            "Port 0 takes a free one and the log says which. A Unix socket is open to whom its directory and the "
            "umask let in."
        ),
    )
    insecure_listen: bool = _setting(
        switch(),
        False,
        group="Where it listens",
        meaning="Allow addresses that other machines can reach, in plaintext and without identities.",
        trade_off="Whoever reaches the port may register, read and remove; only for a network that you trust.",
    )
    data_dir: str = _setting(
        path(),
        "",
        group="Store",
        default_text="the user's state directory, one for each port",
        meaning=(
            "Directory that registrations are kept in; made if it is not there. Not set: "
            "$XDG_STATE_HOME/orion-registry/PORT, where $XDG_STATE_HOME is ~/.local/state unless set."
        ),
        trade_off="Every write waits for this disk to sync. Only its owner may read it; secrets are kept as hashes.",
    )
    ephemeral: bool = _setting(
        switch(),
        False,
        group="Store",
        meaning="Keep registrations in memory only: the registry forgets them when it stops.",
        trade_off="Nothing to look after and no disk to wait for; agents have to register again after a restart.",
    )
    retention_s: float = _setting(
        duration(0.0, 30 * 86_400.0),
        60.0,
        group="Registry",
        name="retention",
        meaning="How long a dead service stays listed before it is removed; 0s = until it is unregistered.",
        trade_off=(
            "Longer shows for longer why an agent is gone, and keeps more of the dead in memory. A service may "
            "set its own."
        ),
    )
    beat_budget: int = _setting(
        whole(1, 1_000_000),
        2_000,
        group="Registry",
        meaning=(
            "Beats a second that all agents together may send; the assigned interval (1 s to 10 s) widens to "
            "stay below."
        ),
        trade_off=(
            "A beat costs about 0.1 ms of CPU: 2000 is a fifth of a core. A wider interval finds a blocked agent later."
        ),
    )
    history_size: int = _setting(
        whole(1, 10_000_000),
        16_384,
        group="Registry",
        meaning="Revisions kept so that a watch that broke can resume.",
        trade_off="More let a watcher be away for longer without a new snapshot; each costs about 100 bytes.",
    )
    max_message_size: int = _setting(
        size(64 * 1024, 64 * 1024**2),
        1024**2,
        group="Limits",
        meaning="Largest message taken from a client; above it RESOURCE_EXHAUSTED.",
        trade_off="Every open call of a hostile client may hold one of these in memory.",
    )
    max_metadata_size: int = _setting(
        size(4 * 1024, 1024**2),
        16 * 1024,
        group="Limits",
        meaning="Largest metadata (HTTP/2 headers) of one call; above it RESOURCE_EXHAUSTED.",
        trade_off="Room for tokens, held in memory for each call.",
    )
    max_streams_per_connection: int = _setting(
        whole(1, 100_000),
        1_024,
        group="Limits",
        meaning="Calls and streams open at once on one connection; the client's library queues more.",
        trade_off=(
            "An idle stream costs about 23 kB: this times max_connections bounds what clients can hold. Agents "
            "behind one proxy share its connection."
        ),
    )
    max_connections: int = _setting(
        whole(1, 1_000_000),
        most_connections,
        group="Limits",
        default_text="limit of open files - 256, at least 16",
        meaning="Connections open at once, shared out evenly among the listen addresses; above it new ones are closed.",
        trade_off=(
            "Must stay below the limit of open files: with no descriptor left a daemon answers nobody. One costs "
            "about 40 kB."
        ),
    )
    handshake_timeout_s: float = _setting(
        duration(0.1, 120.0),
        3.0,
        group="Limits",
        name="handshake_timeout",
        meaning="How long a new connection may take until it speaks HTTP/2; then it is closed.",
        trade_off="Shorter frees the sockets of the silent sooner; longer suits slow links.",
    )
    keepalive_time_s: float = _setting(
        duration(0.1, 3_600.0),
        1.2,
        group="Failure detection",
        name="keepalive_time",
        meaning="Silence on a connection until the daemon sends an HTTP/2 PING.",
        trade_off=(
            "With ping_timeout it bounds how late a hung process or cut link is seen. Beats at 1 s keep it "
            "quiet; a PING costs 0.04 ms of CPU."
        ),
    )
    ping_timeout_s: float = _setting(
        duration(0.1, 600.0),
        1.5,
        group="Failure detection",
        name="ping_timeout",
        meaning="How long the answer to a PING may take; then the connection and its streams end.",
        trade_off=(
            "Shorter finds the dead sooner, and cuts the living on a bad link: at 1 % loss a retransmission "
            "needs up to 1 s."
        ),
    )
    shutdown_grace_s: float = _setting(
        duration(0.0, 600.0),
        2.0,
        group="Process",
        name="shutdown_grace",
        meaning="How long streams may take to end after go_away at shutdown; then they are cut.",
        trade_off="Longer gives slow clients more time to hear it; the exit waits only for those that need it.",
    )
    log_level: str = _setting(
        choice("debug", "info", "warning", "error"),
        "info",
        group="Process",
        meaning="Least severity that is logged, to stderr.",
        trade_off="debug says why each stream ended, and costs time under load.",
    )
    log_format: str = _setting(
        choice("auto", "text", "json"),
        "auto",
        group="Process",
        meaning="text for people, json with one object a line, auto = text on a terminal and json otherwise.",
        trade_off="json is what log collectors read.",
    )

    def __post_init__(self) -> None:
        """Checks every field, then what depends on the machine."""
        for row in TABLE:
            value = getattr(self, row.field_name)
            if not row.kind.allows(value):
                rule, got = row.kind.blame(value) if row.kind.blame else (row.kind.rule, value)
                raise SettingError(row.name, rule, got)
        if self.max_connections > most_connections():
            limit = f"at most {most_connections():,} (the limit of open files is {open_files_limit():,}; see ulimit -n)"
            raise SettingError("max_connections", limit, self.max_connections)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table: a setting as people see it."""

    name: str
    field_name: str
    kind: Kind
    group: str
    meaning: str
    trade_off: str
    default_text: str

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Name in the environment."""
        return "ORION_" + self.name.upper()


def _row(source: "Field[Any]") -> Row:
    about = source.metadata
    kind: Kind = about["kind"]
    return Row(
        name=about["name"] or source.name,
        field_name=source.name,
        kind=kind,
        group=about["group"],
        meaning=about["meaning"],
        trade_off=about["trade_off"],
        default_text=about["default_text"] or kind.show(source.default).strip('[]"'),
    )


TABLE: tuple[Row, ...] = tuple(_row(source) for source in fields(Settings))
BY_NAME: Mapping[str, Row] = {row.name: row for row in TABLE}
