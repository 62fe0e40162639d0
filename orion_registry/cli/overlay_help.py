"""What `--help` says of the commands in `overlay`."""

from orion_registry.cli.finding import ONE_HELP
from orion_registry.cli.overlay_target import TARGET_HELP

_ENDS = """
\b
Exit codes: 0 done, 1 it failed (unreachable, refused, nobody is meant), 2 wrong usage"""
_LINE = "One line on stderr says why.\n"
_CODES = f"{_ENDS}.\n{_LINE}"
_CODES_OF_DRAIN = f"{_ENDS},\n130 stopped with Ctrl-C (it drains on). {_LINE}"

DRAIN = f"""\
Have services finish what they do and take nothing new, so that they can be stopped.

They are STOPPING(DRAINING) at once: nobody is sent to them any more, and their agents are told on their heartbeat
streams. STOPPING(DRAINED) means safe to stop: nothing is in flight any more, the agent has been gone for 30 s, or
--deadline has passed. An agent that never reports its load is waited for until the deadline.

It holds until `orion-registry clear`, over restarts of the agent and of the registry. --wait fails at once if nobody
whom it is for is registered: the name may be wrong; and when it loses the registry, while the services drain on.

{TARGET_HELP}
\b
Examples:
  orion-registry drain calc-1/calc --deadline 30s --wait && systemctl stop calc-1
  orion-registry drain agent=calc-1 --note "new disk"       its services in namespace default
  orion-registry drain capability=math.add,zone=b           all in zone b that can add
  orion-registry clear agent=calc-1                         back again
{_CODES_OF_DRAIN}"""

MAINTENANCE = f"""\
Take services out of selection while somebody works on them: STOPPING(MAINTENANCE).

Their agents are not told; calls under way go on. It holds until `orion-registry clear`.

{TARGET_HELP}
\b
Examples:
  orion-registry maintenance zone=b --note "power works until noon"
  orion-registry clear zone=b
{_CODES}"""

QUARANTINE = f"""\
Take services out of selection because they are not trusted: UNHEALTHY(QUARANTINED).

Their agents stay connected, and registering them again changes nothing; under another name or service_id an agent may
register further ones. It holds until `orion-registry clear`.

{TARGET_HELP}
\b
Examples:
  orion-registry quarantine calc-1/calc --note "wrong answers"
  orion-registry quarantine agent=calc-1
{_CODES}"""

WEIGHT = f"""\
Set the share of calls that services get, whatever their agents say: above 0, at most 1000.

It changes nothing else that is set. `orion-registry clear` gives agents their own weight back.

{TARGET_HELP}
\b
Examples:
  orion-registry weight calc-1/calc 0.1        a tenth of what it got, to try a new version out
  orion-registry weight tag=old 0.5
{_CODES}"""

CLEAR = f"""\
End what is set for services: drain, maintenance, quarantine and weight. They are what their agents make of them.

{TARGET_HELP}
agent, name and namespace alone find what is set for services that are away, too.

\b
Examples:
  orion-registry clear calc-1/calc
  orion-registry clear namespace=default       all in a namespace
{_CODES}"""

OVERLAYS = f"""\
Show what is set for services, and how far they are.

\b
Examples:
  orion-registry overlays
  orion-registry overlays --agent calc-1
  orion-registry overlays --mode drain --json | jq -r 'select(.drained) | .agent_id'   safe to stop
{_CODES}"""

REMOVE = f"""\
Remove a service whoever holds it. Its agent is told; one that lives may register it again.

To keep it out use `orion-registry quarantine`. What is set for the service stays.

{ONE_HELP}
\b
Examples:
  orion-registry remove calc-1/calc
  orion-registry remove 0b5c3a1e-6f0e-5d2a-9a53-0f7b5f6c2c11
{_CODES}"""
