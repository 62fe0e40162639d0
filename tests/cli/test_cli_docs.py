"""docs/cli.md: every command is in it, what it tells people to type works; completion; every command's own help."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from orion_registry.cli.completion import VARIABLE
from orion_registry.cli.main import cli
from tests.cli.process import clean_environment, daemon_process
from tests.cli.running import failed, run
from tests.cli.test_info_events import COMMAND

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
TRIED = dict(re.findall(r"<!-- tried: (\w+) -->\n```bash\n(.*?)```", PAGE, re.DOTALL))


def type_in(script: str, place: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As a person would in a terminal, with `orion-registry` in the path."""
    tool = place / "orion-registry"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m orion_registry "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    path = f"{place}:{clean_environment()['PATH']}"
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=place,
        capture_output=True,
        text=True,
        env=clean_environment(PATH=path, PYTHONPATH=f"{ROOT}:{ROOT / 'generated'}", **environment),
        check=False,
        timeout=120,
    )


@pytest.mark.processes
@pytest.mark.timeout(240)
def test_what_the_page_says_can_be_typed(tmp_path: Path) -> None:
    assert list(TRIED) == ["round", "select", "operate", "top", "scripts", "register", "completion"]
    with daemon_process() as daemon:
        ended = type_in("\n".join(TRIED.values()), tmp_path, ORION_ADDRESS=daemon.wait_ready())
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert sum(bool(re.fullmatch(r"registered [0-9a-f-]{36}", line)) for line in lines) == 3
    assert sum(line.startswith("updated ") for line in lines) == 2, "what was got can be registered again; a ttl beat"
    assert {"not selectable", "there is one", "1 service in quarantine", "drained 1 service: safe to stop"} <= {*lines}


def test_every_command_is_on_the_page() -> None:
    for name in cli.commands:
        assert f"`{name}`" in PAGE or f"`{name} " in PAGE
    for command in re.findall(r"^orion-registry (\w+)", PAGE, re.MULTILINE):
        assert command in cli.commands


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_a_shell(shell: str) -> None:
    ended = run("completion", shell)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert VARIABLE in ended.stdout
    assert "orion-registry" in ended.stdout
    assert f"{shell}_complete" in ended.stdout


def test_commands_and_options_are_completed() -> None:
    def completed(*words: str) -> list[str]:
        asked = {VARIABLE: "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        ended = subprocess.run(COMMAND, capture_output=True, text=True, env=clean_environment(**asked), check=False)
        return [line.partition(",")[2] for line in ended.stdout.splitlines()]

    assert completed("orion-registry", "wa") == ["wait", "watch"]
    assert "--explain" in completed("orion-registry", "select", "--ex")
    assert completed("orion-registry", "completion", "z") == ["zsh"]


def test_an_unknown_shell_is_wrong_usage() -> None:
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in failed(2, "completion", "csh")


@pytest.mark.parametrize(
    "command",
    [
        *(name for name, one in cli.commands.items() if name != "serve" and not isinstance(one, click.Group)),
        *(
            f"{name} {part}"
            for name, one in cli.commands.items()
            if isinstance(one, click.Group)
            for part in one.commands
        ),
    ],
)
def test_every_command_has_examples_and_exit_codes(command: str) -> None:
    text = run(*command.split(), "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
    assert f"orion-registry {command}" in text
