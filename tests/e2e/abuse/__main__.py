"""Must-show: attacks over HTTP/2 on a real daemon, and what an honest client in a process of its own notices.

Each row has a daemon of its own. Judged: it lives, its memory grows by no more than is said, no traceback, every honest
call is answered, the honest agent stays ready, new connections are let in (but where the attack takes them all: within
2 s after it). Exit code 1 if one does not hold. --quick: short attacks, for CI; --publish FILE writes the table.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from tests.e2e.abuse import attacks
from tests.e2e.abuse.play import Played, Row, play
from tests.e2e.fleet import raise_open_files_limit

LONG_S, QUICK_S = 10.0, 2.0
QUIET_LONG_S, QUIET_QUICK_S = 3.0, 1.0
BEGIN, END = "<!-- rows: tests.e2e.abuse --publish -->", "<!-- end of abuse -->"

ROWS = (
    Row(
        number="29", name="fd-exhaustion", attack=attacks.many_connections, grows_mb=40.0, files=640, shuts_out=True,
        what="700 connections to a daemon that may have 640 files open (128 connections)",
    ),
    Row(
        number="30", name="silent-sockets", attack=attacks.silent_sockets, grows_mb=60.0,
        what="300 silent sockets and 300 that send the preface a byte each half second",
    ),
    Row(
        number="31a", name="rapid-reset", attack=attacks.rapid_reset, grows_mb=120.0,
        what="requests that are reset at once (CVE-2023-44487)",
    ),
    Row(
        number="31b", name="made-you-reset", attack=attacks.made_you_reset, grows_mb=120.0,
        what="requests whose stream the daemon is made to reset, in six ways (CVE-2025-8671)",
    ),
    Row(number="31c", name="pings", attack=attacks.pings, grows_mb=40.0, what="PINGs as fast as they can be sent"),
    Row(
        number="31d", name="settings", attack=attacks.settings_flood, grows_mb=40.0,
        what="SETTINGS as fast as they can be sent",
    ),
    Row(
        number="31e", name="continuations", attack=attacks.continuations, grows_mb=120.0,
        what="headers that never end (CVE-2024-27316 and the like), on 20 new connections a second",
    ),
    Row(
        number="31f", name="empty-data", attack=attacks.empty_data, grows_mb=40.0,
        what="empty DATA frames without end (CVE-2019-9518)",
    ),
    Row(
        number="31g", name="hpack-bomb", attack=attacks.hpack_bomb, starves=True, grows_mb=300.0,
        what="1,000 references to one long header in each request: 4 MB once decoded",
    ),
    Row(
        number="31h", name="no-window", attack=attacks.no_window, grows_mb=200.0,
        what="3,600 streams of readers that open no window, most of them watches",
    ),
    Row(
        number="31i", name="rapid-reset-tls", attack=attacks.rapid_reset, grows_mb=120.0, tls=True,
        what="31a over TLS, by a client with a certificate",
    ),
    Row(
        number="31j", name="half-open-tls", attack=attacks.half_open_tls, grows_mb=60.0, tls=True,
        what="TLS handshakes that are begun and left",
    ),
    Row(
        number="32a", name="large-messages", attack=attacks.large_messages, grows_mb=60.0,
        what="messages of 5 MB, and such that claim 4 GB: RESOURCE_EXHAUSTED",
    ),
    Row(
        number="32b", name="large-metadata", attack=attacks.large_metadata, grows_mb=500.0,
        what="70 kB of metadata",
    ),
    Row(
        number="33", name="garbage", attack=attacks.garbage, grows_mb=100.0,
        what="messages that are none, to RPCs that read and write: INVALID_ARGUMENT",
    ),
)  # fmt: skip


async def run(rows: list[Row], quick: bool) -> list[Played]:
    """One after the other."""
    done = []
    seconds, quiet_s = (QUICK_S, QUIET_QUICK_S) if quick else (LONG_S, QUIET_LONG_S)
    for row in rows:
        with tempfile.TemporaryDirectory() as directory:
            played = await play(row, seconds, quiet_s, Path(directory))
        if played.faults:  # a machine that stood still looks like an attack that worked: what is so twice is so
            print(f"{played.line()}\nonce more:", flush=True)
            with tempfile.TemporaryDirectory() as directory:
                played = await play(row, seconds, quiet_s, Path(directory))
        print(played.line(), flush=True)
        done.append(played)
    return done


def table(done: list[Played]) -> str:
    """In Markdown."""
    lines = ["| row | attack | honest p50/p99 ms before, during, after | memory | |", "|---|---|---|---|---|"]
    for one in done:
        latency = ", ".join(one.latency(when) for when in ("before", "during", "after"))
        grew = f"+{one.grew_mb:.1f} MB (most {one.row.grows_mb:g})"
        lines.append(
            f"| {one.row.number} | {one.row.what} | {latency} | {grew} | {'ok' if not one.faults else 'FAILED'} |"
        )
    return "\n".join(lines)


def publish(path: Path, text: str) -> None:
    """Puts a table between its two lines of a document."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.e2e.abuse", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"attack for {QUICK_S:g} s instead of {LONG_S:g} s each")
    parser.add_argument("--row", action="append", metavar="NAME", help="only this one; may be given several times")
    parser.add_argument("--publish", type=Path, metavar="FILE", help="write the table into a document")
    options = parser.parse_args()
    raise_open_files_limit()
    wanted = [row for row in ROWS if not options.row or row.name in options.row]
    if not wanted:
        parser.error(f"no such row; there are: {', '.join(row.name for row in ROWS)}")
    done = asyncio.run(run(wanted, options.quick))
    if options.publish:
        publish(options.publish, table(done))
    failed = [one.row.name for one in done if one.faults]
    print(f"{len(done) - len(failed)} of {len(done)} rows hold" + (f", FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main())
