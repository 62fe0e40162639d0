"""All commands: importing this fills the language."""

from tests.scenarios import agent_commands, check_commands, operator_commands, registry_commands
from tests.scenarios.language import COMMANDS

__all__ = ["COMMANDS", "agent_commands", "check_commands", "operator_commands", "registry_commands"]
