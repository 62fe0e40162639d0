"""`orion-registry audit show|verify`: what was changed and refused, and whether that record of it is whole."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orion_registry.cli.group import Group
from orion_registry.cli.outcome import ADDRESS, EXIT_FAILED, CannotBegin, connect, run
from orion_registry.cli.showing import Paint, plural, show_time
from orion_registry.core.audit import OK, AuditFilter, AuditHead, AuditRecord, line_of
from orion_registry.core.audit_verification import Unreadable, Verdict, verify
from orion_registry.errors import Reason

if TYPE_CHECKING:
    from orion_registry.client.admin import AdminClient

PAGE = 1_000
_OUTCOMES = (OK, *(reason.value for reason in Reason if reason.value))
FOLLOW_S = 0.5
"""How often a registry is asked for what is new."""

_SHOW = """\
Show the audit chain of a registry: every change, who made it from where, and what was refused; the oldest first.

Denials, and changes that store nothing, are there within a second; those that are the same within a second are one
record with a COUNT. METHOD is the RPC, or what the registry did by itself (EXPIRED, Reload). --json prints records as
they stand in audit_file: lines that `audit verify` takes.

\b
Examples:
  orion-registry audit show                                  the last 50
  orion-registry audit show -n 0 --identity spiffe://x/ops   all that one identity did
  orion-registry audit show --outcome WRONG_SECRET --follow  denials, and those that come
  orion-registry audit show --target calc-1 --json | jq .method

\b
Exit codes: 0 done, or stdout was closed; 1 it failed (unreachable, refused); 2 wrong usage; 130 stopped with Ctrl-C.
One line on stderr says why.
"""

_VERIFY = """\
Prove that no record of an audit chain was edited, deleted or moved: of a running registry, of FILEs that it wrote
(audit_file and what that was renamed to, in any order), or of a data directory that no daemon runs on.

Each record's hash covers the one before it, so a break is found where it is. Two things a chain alone cannot show:
that its end was cut off, and that whoever owns the machine wrote all of it anew. For both keep its head elsewhere: this
command prints it, and so does `info --json` (audit_head_seq, audit_head_hash). --head proves that it is in the chain.

\b
Examples:
  orion-registry audit verify                                the running registry
  orion-registry audit verify /var/log/orion/audit.jsonl*
  orion-registry audit verify --data-dir DIR
  orion-registry audit verify --head 1234:5a0c...            nothing up to record 1234 has changed since

\b
Exit codes: 0 whole; 1 broken, and the first break is named, or it failed (unreachable, refused); 2 wrong usage, FILE
or DIR cannot be used, or a daemon uses DIR.
"""


_HELP = """\
Show what was changed and refused, and prove that the record of it is whole.

docs/security.md says what is in the chain, and how to keep its head where nobody here can change it.

\b
Examples:
  orion-registry audit show --follow
  orion-registry audit verify /var/log/orion/audit.jsonl*

\b
Exit codes: 0 done, or whole; 1 broken, or it failed; 2 wrong usage. Each command's --help says more.
"""


@click.group(cls=Group, help=_HELP, short_help="Show what was changed and refused, and prove it.")
def audit() -> None:
    """See `_HELP`."""


# Showing.


@audit.command("show", help=_SHOW, short_help="Show what was changed and refused.")
@ADDRESS
@click.option("-n", "last", metavar="N", type=click.IntRange(min=0), default=50, help="Only the last N; 0 = all.  [50]")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--identity", metavar="NAME", default="", help="Only what this identity did.")
@click.option("--method", metavar="RPC", default="", help="Only this method, such as RegisterService.")
@click.option("--namespace", metavar="NAME", default="", help="Only what is about this namespace.")
@click.option("--target", metavar="ID", default="", help="Only what is about this service_id, or key of an overlay.")
@click.option("--outcome", metavar="WORD", default="", help="Only this outcome: OK, or a reason such as NOT_ALLOWED.")
@click.option("--json", "as_json", is_flag=True, help="Print each as a JSON object in a line.")
def show(address: str | None, last: int, follow: bool, as_json: bool, **terms: str) -> int:
    """See `_SHOW`."""
    if terms["outcome"] not in ("", *_OUTCOMES):
        raise click.UsageError(f"--outcome: {terms['outcome']!r} is none; one of {', '.join(_OUTCOMES)}")
    return run(_show(address or "", AuditFilter(**terms), last, follow=follow, as_json=as_json))


async def _show(address: str, wanted: AuditFilter, last: int, *, follow: bool, as_json: bool) -> None:
    shown: Callable[[AuditRecord], str] = line_of if as_json else _Line()
    async with connect(address) as admin:
        at = 0
        if last and wanted == AuditFilter():  # else all must be looked at
            head = (await admin.audit_page(page_size=1)).head
            at = max(0, head.seq - last)
        found: deque[AuditRecord] = deque(maxlen=last or None)
        at = await _rest(admin, wanted, at, found.append if last else lambda one: print(shown(one)))
        for record in found:
            print(shown(record), flush=True)
        while follow:
            await asyncio.sleep(FOLLOW_S)
            at = await _rest(admin, wanted, at, lambda one: print(shown(one), flush=True))


async def _rest(admin: "AdminClient", wanted: AuditFilter, at: int, take: Callable[[AuditRecord], object]) -> int:
    """Takes what comes after a record; returns up to where it looked."""
    while True:
        page = await admin.audit_page(wanted, after_seq=at, page_size=PAGE)
        for record in page.records:
            take(record)
        at = page.after_seq
        if at >= page.head.seq:
            return at


class _Line:
    """A line for people. What clients chose is printed as JSON would say it: no name can move the cursor."""

    def __init__(self) -> None:
        self._paint = Paint()

    def __call__(self, record: AuditRecord) -> str:
        outcome = self._paint(record.outcome, "green" if record.outcome == OK else "red")
        whom = record.identity or "-"
        if record.address:
            whom += f" from {record.address}"
        about = "/".join(filter(None, (record.namespace, record.target)))
        if record.target.startswith(f"{record.namespace}/"):
            about = record.target
        parts = [f"{record.method} {outcome}", f"by {_plain(whom)}"]
        if about:
            parts.insert(1, _plain(about))
        if record.count > 1:
            parts.append(f"{record.count:,} times")
        return f"{record.seq:>7}  {self._paint(show_time(record.wall), 'dim')}  {'  '.join(parts)}"


def _plain(text: str) -> str:
    return json.dumps(text)[1:-1]


# Verifying.


@audit.command("verify", help=_VERIFY, short_help="Prove that nothing of it was changed.")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@ADDRESS
@click.option(
    "--data-dir", metavar="DIR", type=click.Path(path_type=Path), help="A data directory that no daemon runs on."
)
@click.option("--head", metavar="SEQ:HASH", help="A head that was seen before: it must be in the chain.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def verify_command(
    files: tuple[Path, ...], address: str | None, data_dir: Path | None, head: str | None, as_json: bool
) -> int:
    """See `_VERIFY`."""
    if directory := next((file for file in files if file.is_dir()), None):
        raise click.UsageError(f"{directory} is a directory: --data-dir {directory} verifies one")
    if bool(files) + (address is not None) + (data_dir is not None) > 1:
        raise click.UsageError("give FILEs, --address (a running registry) or --data-dir, not several of them")
    try:
        known = None if head is None else AuditHead.parse(head)
    except ValueError as error:
        raise click.UsageError(f"--head: {error}") from None
    return run(_verify(files, address or "", data_dir, known, as_json))


async def _verify(
    files: tuple[Path, ...], address: str, data_dir: Path | None, known: AuditHead | None, as_json: bool
) -> int:
    if files:
        return _tell(verify(_of_files(files), head=known), ", ".join(map(str, files)), as_json)
    if data_dir is not None:
        return _tell(_verify_directory(data_dir, known), str(data_dir), as_json)
    async with connect(address) as admin:
        return _tell(await _verify_registry(admin, known), admin.address, as_json)


def _tell(verdict: Verdict, origin: str, as_json: bool) -> int:
    broken = verdict.broken
    if as_json:
        plain: dict[str, object] = {"from": origin, "whole": broken is None, "records": verdict.records}
        plain |= {"first_seq": verdict.first_seq, "head_seq": verdict.head.seq, "head_hash": verdict.head.hash}
        if broken is not None:
            plain |= {"damage": broken.damage, "at_seq": broken.seq, "message": broken.message}
        print(json.dumps(plain))
    elif broken is None:
        span = f", {verdict.first_seq:,} to {verdict.head.seq:,}" if verdict.records else ""
        print(f"whole: {plural(verdict.records, 'record')}{span}, of {origin}\nhead {verdict.head}")
    else:
        print(f"BROKEN ({broken.damage}): {broken.message}")
        print(f"whole until there: {plural(verdict.records, 'record')}, of {origin}\nhead {verdict.head}")
    return 0 if broken is None else EXIT_FAILED


def _of_files(files: Iterable[Path]) -> Iterator[AuditRecord | Unreadable]:
    """Records of files, the file with the oldest first."""
    from orion_registry.store.audit_file import read_lines

    def first(path: Path) -> int:
        try:
            record = next(iter(read_lines(path)), None)
        except OSError as error:
            raise CannotBegin(f"{path}: {(error.strerror or str(error)).lower()}") from None
        return record.seq if isinstance(record, AuditRecord) else 0

    for path in sorted(files, key=first):
        yield from read_lines(path)


def _verify_directory(data_dir: Path, known: AuditHead | None) -> Verdict:
    from orion_registry.store.data_dir import DATABASE
    from orion_registry.store.sqlite_file import open_chain

    if not (data_dir / DATABASE).exists():
        raise CannotBegin(f"{data_dir} holds no database of a registry ({DATABASE})")
    with open_chain(data_dir) as (ends, records):
        return verify(records, anchor=ends.anchor, head=known, end=ends.head)


async def _verify_registry(admin: "AdminClient", known: AuditHead | None) -> Verdict:
    """Page by page, in a thread, so that a long chain need not be in memory."""
    loop = asyncio.get_running_loop()
    page = await admin.audit_page(page_size=PAGE)
    anchor, end = page.anchor, page.head

    def records() -> Iterator[AuditRecord]:
        found = page
        while True:
            yield from (record for record in found.records if record.seq <= end.seq)
            if found.after_seq >= end.seq:
                return
            more = admin.audit_page(after_seq=found.after_seq, page_size=PAGE)
            found = asyncio.run_coroutine_threadsafe(more, loop).result()

    return await asyncio.to_thread(verify, records(), anchor=anchor, head=known, end=end)
