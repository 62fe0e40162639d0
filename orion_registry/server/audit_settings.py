"""What an operator may set of the audit chain: the part of `Settings` about how much of it is kept, and where."""

from dataclasses import dataclass

from orion_registry.server.limit_settings import LimitSettings
from orion_registry.server.setting_kinds import path, size, whole
from orion_registry.server.setting_rows import setting

_GROUP = "Security"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings(LimitSettings):
    """Fields of `Settings`; see there."""

    audit_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none: in the store alone",
        meaning="Where audit records are written too, as lines of JSON, for programs that collect them.",
        trade_off=(
            "Synced, within 0.5 s after the store has them. If it cannot be written, nothing waits for it: the alarm "
            "AUDIT is raised, and the store keeps what is missing in it."
        ),
    )
    audit_file_size: int = setting(
        size(64 * 1024, 16 * 1024**3),
        64 * 1024**2,
        group=_GROUP,
        meaning="When audit_file is this large it is renamed to FILE.1, and a new one begun.",
        trade_off="One record takes about 600 bytes.",
    )
    audit_files: int = setting(
        whole(1, 1_000),
        10,
        group=_GROUP,
        meaning="Renamed audit files that are kept (FILE.1 is the latest); the oldest is deleted.",
        trade_off="Ship them elsewhere before that: what is deleted here is gone.",
    )
    audit_keep: int = setting(
        whole(0, 100_000_000),
        100_000,
        group=_GROUP,
        meaning="Audit records that the store keeps, to be listed and verified; 0 = all.",
        trade_off=(
            "100,000 take about 40 MB, and 0.3 s of each start, which follows the whole chain. Whoever is refused "
            "often enough can push out what is older (10 records a second without a credential): audit_file keeps it."
        ),
    )
