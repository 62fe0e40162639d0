"""The one table of settings. Flags, ORION_* environment, TOML file, --print-config and docs/configuration.md are made
from it, so that all have the same names. Precedence: flag > environment > file > default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from orion_registry.errors import Said
from orion_registry.server.address import parse_address
from orion_registry.server.cluster_settings import ClusterSettings
from orion_registry.server.limit_settings import most_connections, open_files_limit
from orion_registry.server.setting_kinds import addresses, choice, duration, http_address, path, place, switch, whole
from orion_registry.server.setting_rows import PROFILES, Row, by_profile, row_of, setting
from orion_registry.server.start_error import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ClusterSettings):
    """Everything that an operator may set. Checked when made; spans are seconds, sizes bytes.

    Raises:
        SettingError: a value breaks its rule; the message names the setting, the rule and what came.
    """

    listen: tuple[str, ...] = setting(
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
    insecure_listen: bool = setting(
        switch(),
        False,
        group="Where it listens",
        meaning=("Allow addresses that other machines can reach, though callers do not prove who they are over TLS."),
        trade_off=(
            "Without tokens_file whoever reaches the port may register, read and remove; without tls_cert_file "
            "everything, tokens too, can be read on the way. Only for a network that you trust."
        ),
    )
    http: str = setting(
        http_address(),
        "auto",
        group="Where it listens",
        default_text="127.0.0.1:6747 if it is free",
        meaning="Address of the HTTP port, HOST:PORT: page, JSON API and metrics, for reading only; off = none.",
        trade_off=(
            "Port 0 takes a free one and the log says which. An address that is set and cannot be had stops the start; "
            "the default one is done without. Plaintext: on loopback, or with insecure_listen."
        ),
    )
    data_dir: str = setting(
        path(),
        "",
        group="Store",
        default_text="the user's state directory, one for each port",
        meaning=(
            "Directory that registrations are kept in; made if it is not there. Not set: "
            "$XDG_STATE_HOME/orion-registry/PORT (where it listens on a Unix socket first, the path with - for /), "
            "where $XDG_STATE_HOME is ~/.local/state unless set."
        ),
        trade_off="Every write waits for this disk to sync. Only its owner may read it; secrets are kept as hashes.",
    )
    ephemeral: bool = setting(
        switch(),
        False,
        group="Store",
        meaning="Keep registrations in memory only: the registry forgets them when it stops.",
        trade_off="Nothing to look after and no disk to wait for; agents have to register again after a restart.",
    )
    retention_s: float = setting(
        duration(0.0, 30 * 86_400.0),
        by_profile(60.0, dev=0.0),
        group="Registry",
        reloads=True,
        name="retention",
        meaning="How long a dead service stays listed before it is removed; 0s = until it is unregistered.",
        trade_off=(
            "Longer shows for longer why an agent is gone, and keeps more of the dead in memory. A service may "
            "set its own."
        ),
    )
    beat_budget: int = setting(
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
    admission_rate: int = setting(
        whole(1, 1_000_000),
        500,
        group="Registry",
        meaning=(
            "Heartbeat streams a second that are let in when all agents come at once, twice as many in the first "
            "moment; the others are told when it is their turn."
        ),
        trade_off=(
            "More brings a large fleet back sooner after a restart, and leaves less time for beats meanwhile. After a "
            "restart services may take services / admission_rate + 5 s to come back, at least 10 s."
        ),
    )
    registration_rate: int = setting(
        whole(1, 1_000_000),
        10_000,
        group="Registry",
        meaning="Registrations a second that are let in; the others are told when it is their turn.",
        trade_off="Above what a disk takes, so it only stops floods; lower it to keep time for everybody else.",
    )
    history_size: int = setting(
        whole(1, 10_000_000),
        16_384,
        group="Registry",
        meaning="Revisions kept so that a watch that broke can resume.",
        trade_off="More let a watcher be away for longer without a new snapshot; each costs about 100 bytes.",
    )
    profile: str = setting(
        choice(*PROFILES),
        "lan",
        group="Failure detection",
        meaning=(
            "Defaults of the settings that say so: lan for agents near by, wan for links that lose packets, dev for "
            "people in a debugger: nothing times out for ten minutes and nothing is removed."
        ),
        trade_off="wan finds the hung and the cut off later, dev hardly at all. Whatever is set by itself wins.",
    )
    keepalive_time_s: float = setting(
        duration(0.1, 3_600.0),
        by_profile(1.2, dev=600.0),
        group="Failure detection",
        name="keepalive_time",
        meaning="Silence on a connection until the daemon sends an HTTP/2 PING.",
        trade_off=(
            "With ping_timeout it bounds how late a hung process or cut link is seen. Beats at 1 s keep it "
            "quiet; a PING costs 0.04 ms of CPU."
        ),
    )
    ping_timeout_s: float = setting(
        duration(0.1, 600.0),
        by_profile(1.5, wan=5.0, dev=600.0),
        group="Failure detection",
        name="ping_timeout",
        meaning="How long the answer to a PING may take; then the connection and its streams end.",
        trade_off=(
            "Shorter finds the dead sooner, and cuts the living on a bad link: at 1 % loss a retransmission "
            "needs up to 1 s."
        ),
    )
    silence_floor_s: float = setting(
        duration(1.0, 86_400.0),
        by_profile(3.0, wan=8.0, dev=600.0),
        group="Failure detection",
        name="silence_floor",
        meaning=(
            "Shortest silence of a heartbeat stream until its services are UNHEALTHY(SILENT): three assigned "
            "intervals, but at least this. LATE at half of it."
        ),
        trade_off=(
            "Shorter finds blocked event loops sooner, never before three intervals; longer suits links that lose "
            "packets. A service may lengthen its own."
        ),
    )
    probation_s: float = setting(
        duration(0.0, 86_400.0),
        by_profile(10.0, dev=0.0),
        group="Failure detection",
        reloads=True,
        name="probation",
        meaning="How long a service that fell more than 3 times in 60 s is not ready once it is back; 0s = never.",
        trade_off="Longer keeps callers off a crash loop for longer, and a service that recovered out of use.",
    )
    stuck_after_s: float = setting(
        duration(0.0, 86_400.0),
        0.0,
        group="Failure detection",
        reloads=True,
        name="stuck_after",
        meaning="How long a busy service may report no progress until it is STUCK (second choice); 0s = never.",
        trade_off="Set it to more than the longest honest step of your agents' work. A service may set its own.",
    )
    shutdown_grace_s: float = setting(
        duration(0.0, 600.0),
        2.0,
        group="Process",
        reloads=True,
        name="shutdown_grace",
        meaning="How long streams may take to end after go_away at shutdown; then they are cut.",
        trade_off="Longer gives slow clients more time to hear it; the exit waits only for those that need it.",
    )
    log_level: str = setting(
        choice("debug", "info", "warning", "error"),
        "info",
        group="Process",
        reloads=True,
        meaning="Least severity that is logged, to stderr.",
        trade_off="debug says why each stream ended, and costs time under load.",
    )
    log_format: str = setting(
        choice("auto", "text", "json"),
        "auto",
        group="Process",
        reloads=True,
        meaning="text for people, json with one object a line, auto = text on a terminal and json otherwise.",
        trade_off="json is what log collectors read.",
    )

    traces: str = setting(
        place(),
        "",
        group="Process",
        default_text="none",
        meaning=(
            "Python callable, MODULE:CALLABLE, that returns an OpenTelemetry TracerProvider: spans of unary calls, "
            "selections and probes go there. Needs the extra otel."
        ),
        trade_off="It runs in the registry's process, with its rights; a span costs about as much as a selection.",
    )

    def __post_init__(self) -> None:
        """Fills in what the profile decides, checks every field, then what depends on the machine."""
        for row in TABLE:
            if row.by_profile is not None and getattr(self, row.field_name) is None:
                default = row.by_profile.get(self.profile, row.by_profile["lan"])  # a wrong one is blamed below
                object.__setattr__(self, row.field_name, default)
        for row in TABLE:
            value = getattr(self, row.field_name)
            if not row.kind.allows(value):
                rule, got = row.kind.blame(value) if row.kind.blame else (row.kind.rule, value)
                raise SettingError(row.name, rule, got)
        self._check_pairs()
        if self.max_connections > most_connections():
            limit = f"at most {most_connections():,} (the limit of open files is {open_files_limit():,}; see ulimit -n)"
            raise SettingError("max_connections", limit, self.max_connections)

    def _check_pairs(self) -> None:
        """What makes sense together only."""
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            missing = "tls_key_file" if self.tls_cert_file else "tls_cert_file"
            raise SettingError(missing, "set with tls_cert_file and tls_key_file alike", Said("nothing"))
        if self.tls_client_ca_file and not self.tls:
            raise SettingError("tls_client_ca_file", "set with tls_cert_file and tls_key_file", self.tls_client_ca_file)
        self._check_cluster()


GROUPS = (
    "Where it listens",
    "Security",
    "Store",
    "Cluster",
    "Registry",
    "Selection",
    "Active checks",
    "Limits",
    "Failure detection",
    "Process",
)
"""In the order in which people read them."""

TABLE: tuple[Row, ...] = tuple(sorted(map(row_of, fields(Settings)), key=lambda row: GROUPS.index(row.group)))
BY_NAME: Mapping[str, Row] = {row.name: row for row in TABLE}
