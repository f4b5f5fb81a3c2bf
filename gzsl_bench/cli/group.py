"""Commands of commands, which say what each does, and what there is in place of a misspelt one."""

from __future__ import annotations

import click

#: Letters of a first sentence: no help has one so long, and click would cut it at the 45th.
_SENTENCE = 1000


class Group(click.Group):
    """Names what was meant, and all there is, where a command is unknown."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            from gzsl_bench.errors import unknown_name

            above = ctx.command_path.partition(" ")[2]
            ctx.fail(unknown_name(f"command of `{above}`" if above else "command", args[0], known))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The first sentence of each, whole."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        lines = [(n, c.get_short_help_str(_SENTENCE)) for n, c in found if c and not c.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(lines)
