"""``gzsl-bench leaderboard``: a static site of tables from any number of results."""

from __future__ import annotations

from pathlib import Path

import click

from gzsl_bench.cli.group import Group
from gzsl_bench.cli.options import debug_option
from gzsl_bench.terminal.streams import put, say

#: Lines of what is left out; the site has more.
_SHOWN = 20
#: Fewer records are looked at without a sign of life.
_MANY = 2000


@click.group("leaderboard", cls=Group)
def leaderboard_group() -> None:
    """Make a site of tables from results of one's own or of others."""


@leaderboard_group.command("build")
@click.argument(
    "places",
    nargs=-1,
    type=click.Path(exists=True, path_type=Path),
    metavar="[DIR]...",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="SITE",
    help="Folder of the site; an earlier one in it is replaced.",
)
@click.option("--title", default="GZSL leaderboard", show_default=True, help="Of its first page.")
@click.option("--keep", is_flag=True, help="Keep what SITE shows and no DIR has.")
@debug_option
def build_command(places: tuple[Path, ...], out: Path, title: str, keep: bool) -> int:
    """Write SITE from every DIR: results folders, exports, results repositories.

    A table per identity (data content, features, class embedding, setting); every number links to
    its records, which are copied.  Metrics are computed again from the predictions, unless a
    repository's checks have done it.  Exit code: 0 all records are shown, 1 some were damaged,
    contradict themselves or others or do not name what they measured, and are left out, 2 a DIR
    holds no results.  With --keep entries of an earlier site in SITE stay, though their sources may
    be gone; a DIR of the same name takes the place of what is kept of it.
    """
    from gzsl_bench.leaderboard.site import build

    def tell(done: int, total: int) -> None:
        if total > _MANY:
            say(f"{done} of {total} records")

    made = build(places, out, title, tell, keep)
    if made.left_out:
        from gzsl_bench.submissions.check import plain

        for sentence in made.left_out[:_SHOWN]:
            say(f"left out: {plain(sentence)}")
    if len(made.left_out) > _SHOWN:
        say(f"... and {len(made.left_out) - _SHOWN} more (records/left-out.txt lists all)")
    for sentence in made.gone:
        say(f"warning: {sentence}")
    put(str(made.index))
    counts = ", ".join(
        f"{count} {name if count == 1 else plural}"
        for count, name, plural in (
            (made.tables, "table", "tables"),
            (made.entries, "entry", "entries"),
            (made.records, "record", "records"),
        )
    )
    say(f"{counts}; {made.pages / 1e6:.2f} MB beside entries/ and records/")
    return 1 if made.left_out else 0
