"""Runs a scenario: every block against the real core, and what it prints beside what the file says."""

import difflib
from dataclasses import replace

from orion_registry.core.config import RegistryConfig
from orion_registry.errors import InvalidArgument
from orion_registry.server.registry_config import registry_config
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import SettingError
from tests.scenarios.commands import COMMANDS
from tests.scenarios.script import BadScript, Block, Command, Script
from tests.scenarios.words import BadWords, Words
from tests.scenarios.world import World

SETTING = "registry"
SETTING_HELP = """registry [profile=lan|wan|dev] [FIELD=VALUE]...

    Only as the first command: the profile, and fields of the core's configuration, such as beat-budget=4 or
    retention=10s.
    """


def run(script: Script) -> Script:
    """The scenario with what its commands print now.

    Raises:
        BadScript: a command that cannot be understood.
    """
    world: World | None = None
    parts = []
    for part in script.parts:
        if isinstance(part, Block):
            lines: list[str] = []
            for command in part.commands:
                try:
                    if world is None or command.text.split()[0] == SETTING:
                        world = _world(command, begun=world is not None)
                    lines += _act(world, command)
                except BadWords as error:
                    raise BadScript(script.file, command.line, f"{error} in {command.text!r}") from None
                except Exception as error:
                    error.add_note(f"at {script.file}:{command.line}: {command.text}")
                    raise
            part = part.printing(lines)  # noqa: PLW2901 - the same block, run
        parts.append(part)
    return replace(script, parts=tuple(parts))


def _world(command: Command, *, begun: bool) -> World:
    name, *rest = command.text.split()
    if name != SETTING:
        return World(registry_config(Settings()))
    if begun:
        raise BadWords(f"{SETTING} may only be the first command")
    words = Words(rest)
    profile, given = words.pair("profile", "lan"), words.fields_of(RegistryConfig)
    words.done()
    try:
        return World(replace(registry_config(Settings(profile=profile)), **given))
    except (SettingError, InvalidArgument) as error:
        raise BadWords(str(error)) from None


def _act(world: World, command: Command) -> list[str]:
    name, *rest = command.text.split()
    if name == SETTING:
        return []
    if name not in COMMANDS:
        raise BadWords(f"{name!r} is none of {', '.join([SETTING, *COMMANDS])}")
    return COMMANDS[name](world, Words(rest))


def differences(script: Script, ran: Script) -> str:
    """How a run differs from the file, for a reader; empty if it does not."""
    if script == ran:
        return ""
    before, after = script.text.splitlines(), ran.text.splitlines()
    lines = difflib.unified_diff(before, after, f"{script.file}", f"{script.file} as it runs now", lineterm="", n=8)
    forgotten = [part.commands[0] for part in script.parts if isinstance(part, Block) and part.printed is None]
    notes = [f"{script.file}:{command.line}: no ---- after the commands" for command in forgotten]
    return "\n".join([*notes, *lines])
