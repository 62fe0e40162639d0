"""A command that only holds others."""

import click


class Group(click.Group):
    """Alone, it shows its help on stdout and asks for a command; that is a mistake, so it ends like one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuses to do nothing."""
        if not args and not ctx.resilient_parsing:  # Tab completion parses, too
            print(ctx.get_help())
            raise click.UsageError(f"which command? One of {', '.join(self.list_commands(ctx))}", ctx)
        return super().parse_args(ctx, args)
