"""examples/kubernetes: the commands exist as they stand, and the spans fit into each other."""

import re
import shlex

from orion_registry.cli.main import cli
from tests.examples.manifest import PLACE, commands, number

MARGIN_S = 5


def test_every_command_of_the_manifest_is_understood() -> None:
    lines = commands()
    assert [line.split()[:2] for line in lines] == [["orion-registry", name] for name in ("clear", "drain", "wait")]
    for line in lines:
        _, name, *arguments = shlex.split(line)
        context = cli.commands[name].make_context(name, arguments)  # raises on what it does not know
        assert "$AGENT_ID" in str(context.params.get("whom", context.params.get("which")))
    text = (PLACE / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`orion-registry (\w+)", text)) <= cli.commands.keys()


def test_the_pod_lives_longer_than_its_drain_and_its_goodbye() -> None:
    _, drain, _ = commands()
    deadline_s = cli.commands["drain"].make_context("drain", shlex.split(drain)[2:]).params["deadline"]
    (timeout_s,) = re.findall(r"drain_timeout_s=([\d.]+)", (PLACE / "agent.py").read_text(encoding="utf-8"))
    assert deadline_s + float(timeout_s) + MARGIN_S <= number("terminationGracePeriodSeconds")
