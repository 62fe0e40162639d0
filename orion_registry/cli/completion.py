"""`orion-registry completion`: what a shell needs to complete commands and options, made by click."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "orion-registry"
VARIABLE = "_ORION_REGISTRY_COMPLETE"

_HELP = """\
Print the script that lets a shell complete commands and options with Tab.

\b
Examples:
  eval "$(orion-registry completion bash)"                                     in ~/.bashrc
  eval "$(orion-registry completion zsh)"                                      in ~/.zshrc
  orion-registry completion fish > ~/.config/fish/completions/orion-registry.fish

bash needs version 4.4 or newer.

\b
Exit codes: 0 printed, 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Print a script for Tab completion in a shell.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """See `_HELP`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click completes nothing in {shell}", ctx)
    # Not `source()`: it would ask the bash in the path for its version, which need not be the one that reads this.
    made = kind(ctx.find_root().command, {}, PROGRAM, VARIABLE)
    print(made.source_template % made.source_vars())
    return 0
