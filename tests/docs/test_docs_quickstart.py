"""docs/quickstart.md: what it tells people to type does what it says; every command of every page exists."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orion_registry.cli.main import cli
from tests.cli.process import daemon_process
from tests.cli.test_cli_docs import type_in
from tests.docs.links import PAGES
from tests.docs.protos import ROOT

PAGE = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
TRIED = dict(re.findall(r"<!-- tried: (\w+) -->\n```bash\n(.*?)```", PAGE, re.DOTALL))
SHELL = re.compile(r"^```(?:bash|sh|console|)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """Lines of a page's shell blocks that call orion-registry, those that go on in one."""
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            yield from re.findall(r"(?<![\w/.'\"-])orion-registry ((?:[a-z]+ ?)+[^|&;#>`]*)", line)


def unknown(line: str) -> str:
    """What of a command line orion-registry does not know; empty if nothing."""
    here: click.Command = cli
    words = line.split()
    while words and isinstance(here, click.Group):
        name = words.pop(0)
        if name not in here.commands:
            return name
        here = here.commands[name]
    options = {option for param in here.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    return next((word for word in words if re.match("--[a-z]", word) and word.partition("=")[0] not in options), "")


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_what_the_page_says_can_be_typed(tmp_path: Path) -> None:
    assert list(TRIED) == ["agent", "caller", "kill"]
    python = tmp_path / "python"  # not a link: it would not know its environment
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    script = "trap 'kill -9 $! || true' EXIT\nexec 2> errors\n" + "\n".join(TRIED.values())
    with daemon_process() as daemon:
        ended = type_in(script, tmp_path, ORION_ADDRESS=daemon.wait_ready())
    told = (tmp_path / "errors").read_text(encoding="utf-8")
    assert ended.returncode == 1, told  # the doctor's: something is wrong
    assert re.search("^5$", ended.stdout, re.MULTILINE), "what the caller prints"
    assert "DISCONNECTED" in ended.stdout.partition("\n5\n")[2]
    assert "Traceback" not in told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_of_a_page_exists(page: Path) -> None:
    for line in commands(page):
        assert not unknown(line), f"{unknown(line)} in: orion-registry {line}"


def test_what_does_not_exist_is_found() -> None:
    assert unknown("drains calc-1/calc") == "drains"
    assert unknown("drain calc-1/calc --dead-line 3s") == "--dead-line"
    assert unknown("token creates --identity x") == "creates"
    assert unknown("snapshot save x --with-secrets") == ""
