"""--ca-file, --cert-file, --key-file and --token-file: every command that talks to a registry goes by them."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orion_registry.cli.main import cli
from tests.cli.running import failed

WHOM = "calc-1/calc"
ARGUMENTS = {
    "check": (WHOM,),
    "clear": (WHOM,),
    "drain": (WHOM,),
    "get": (WHOM,),
    "health": (WHOM,),
    "maintenance": (WHOM,),
    "quarantine": (WHOM,),
    "register": (WHOM, "--host", "10.0.0.7", "--port", "9000"),
    "remove": (WHOM,),
    "select": ("math.add",),
    "select --explain": ("math.add",),
    "snapshot restore": ("FILE",),
    "snapshot save": ("FILE",),
    "top": ("--once",),
    "weight": (WHOM, "2"),
}
"""What a command cannot do without."""


def connecting(group: click.Group, path: str = "") -> Iterator[str]:
    """Every command that takes an address."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from connecting(command, f"{path}{name} ")
        elif any(parameter.name == "address" for parameter in command.params):
            yield f"{path}{name}"


@pytest.mark.parametrize("command", sorted({*connecting(cli), "select --explain"}))
def test_every_command_that_connects_takes_them(command: str, tmp_path: Path) -> None:
    """Half of a certificate is refused before anything is sent: so it was heard of."""
    file = tmp_path / "snapshot"
    if command == "snapshot restore":
        file.write_text("{}\n", encoding="utf-8")
    arguments = [str(file) if one == "FILE" else one for one in ARGUMENTS.get(command, ())]
    said = failed(2, *command.split(), *arguments, "--cert-file", "own.pem", ORION_ADDRESS="127.0.0.1:1")
    assert "key_file" in said
    assert "given with cert_file and key_file alike" in said
