"""The live view: what was said scrolls by above; below stand last results, units at work, the rest.

The live part is laid out as plain lines for the terminal's size at that moment, so it is never
higher or wider than the terminal, and after a resize it can be told how many lines of the new
width the old ones take.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from gzsl_bench.engine.events import Event
from gzsl_bench.engine.pace import Job, Pace, clock
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.latest import LAST, Latest, Standing
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.terminal.progress import View, one_line
from gzsl_bench.wording import about, counted

#: Columns left free on the right: there a terminal echoes ``^C``.
_MARGIN = 4
#: Lines of the terminal that the live part leaves to what was said.
_SAID = 8
#: Columns of a bar, where there is room.
_BAR = 16
#: Least columns for the name of a unit.
_NAME = 24


class LiveView(View):
    """Messages above, the live part below.

    Args:
        suite: its cells, and the rule whose H is shown.
        units: how the cells are grouped.
        store: the results folder.
        console: a terminal.
        pace: what estimates the rest.
        refresh: redraw several times a second; otherwise only with messages.
    """

    drawn = True

    def __init__(
        self,
        suite: ResolvedSuite,
        units: Sequence[Unit],
        store: RecordStore,
        console: Console,
        pace: Pace | None = None,
        refresh: bool = True,
    ) -> None:
        super().__init__(suite, units, store, pace)
        self.console = console
        self.frame = Frame(self)
        self.live = SteadyLive(
            self.frame,
            console=console,
            transient=True,
            auto_refresh=refresh,
            # What others print comes above the live part, but not out of a file into it.
            redirect_stdout=sys.stdout.isatty(),
        )

    def open(self) -> None:
        """Begin to draw."""
        self.live.start()
        super().open()

    def say(self, line: str) -> None:
        """Print one line above the live part."""
        text = Text(one_line(line))
        text.highlight_words([": FAILED: "], "bold red")
        self.console.print(text, markup=False, highlight=False)

    def left(self) -> str:
        """The last line of the live part tells."""
        return ""

    def hear(self, event: Event) -> None:
        """Take notice; what is drawn next shows it."""
        super().hear(event)
        if not self.live.auto_refresh:
            self.live.refresh()

    def close(self) -> None:
        """Clear the live part away, whatever happened."""
        self.live.stop()


class SteadyLive(Live):
    """rich's live part, except that a terminal made narrower leaves nothing of the old one behind.

    Most terminals break lines anew that have become too long; then the old ones take more lines
    than were drawn.
    """

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Erase the old lines, however many there are now; then what was said and the new ones."""
        found = super().process_renderables(renderables)
        frame = self.get_renderable()
        if isinstance(frame, Frame) and self.console.is_interactive and len(found) > 1:
            more = frame.overflowing(self.console.size.width)
            up = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)] * more
            found.insert(1, Control(*up))
        return found


class Frame:
    """The live part for one size of the terminal.

    Args:
        view: what there is to show.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._drawn: list[int] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it, for the terminal's size now."""
        lines = self.lines(console.size.width, console.size.height, options.ascii_only)
        self._drawn = [line.cell_len for line in lines]
        yield Text("\n").join(lines)

    def overflowing(self, width: int) -> int:
        """How many lines more the drawn ones take in a terminal of this width."""
        return sum(max(0, -(-columns // max(1, width)) - 1) for columns in self._drawn)

    def lines(self, width: int, height: int, plain: bool = False) -> list[Text]:
        """What stands in the live part: last results, units at work, all cells.

        Args:
            width: columns of the terminal.
            height: lines of the terminal.
            plain: ASCII only.
        """
        view = self._view
        wide = max(10, width - _MARGIN)
        room = max(1, height - _SAID if height >= 2 * _SAID else height // 2)
        jobs = list(view.pace.jobs.values())
        above = results(view.latest, wide)
        # The units at work get what the results leave, and at least half.
        for_units = min(len(jobs), max((room - 1) // 2, room - 1 - len(above)))
        work = at_work(jobs, view.pace, wide, for_units, plain)
        above = results(view.latest, wide, room - 1 - len(work))
        found = [*above, *work, whole(view, wide, plain)]
        for line in found:
            line.no_wrap = True
            line.truncate(wide, overflow="ellipsis")
            line.rstrip()
        return found


def whole(view: View, width: int, plain: bool = False) -> Text:
    """The last line: all cells, and how long still."""
    done, total = view.ended, len(view.cells)
    parts = [f"{done}/{total} cells"]
    if view.failed:
        parts.append(f"{len(view.failed)} failed")
    parts.append(clock(view.pace.now() - view.pace.began))
    seconds = view.pace.left(view.waiting)
    if view.stopping:
        parts.append("stopping")
    elif done < total and seconds is not None:
        parts.append(f"{about(seconds)} left")
    elif done < total and not view.pace.jobs and done == 0:
        parts.append("workers are starting")
    text = " · ".join(parts)
    size = min(24, width - cell_len(text) - 2)
    line = Text()
    if size >= 8:
        line.append_text(bar(done / total if total else 1.0, size, plain)).append("  ")
    line.append(text, "bold")
    return line


def at_work(jobs: Sequence[Job], pace: Pace, width: int, most: int, plain: bool) -> list[Text]:
    """A line for each unit at work: what it is, how far, how long still."""
    if not jobs or most < 1:
        return []
    shown = list(jobs) if len(jobs) <= most else list(jobs[: most - 1])
    longest = max((cell_len(one_line(job.unit.title)) for job in shown), default=0)
    for size in (_BAR, _BAR // 2, 0):
        tails = [_tail(job, pace, size, plain) for job in shown]
        tail_width = max((tail.cell_len for tail in tails), default=0)
        if min(longest, _NAME) + tail_width <= width:
            break
    name = min(longest, max(_NAME, width - tail_width))
    lines = [
        Text(_padded(_titled(job.unit, name), name)).append_text(tail)
        for job, tail in zip(shown, tails, strict=True)
    ]
    more = len(jobs) - len(shown)
    return [*lines, Text(f"and {more} more at work", "dim")] if more else lines


def _tail(job: Job, pace: Pace, size: int, plain: bool) -> Text:
    """How far a unit is, how long it has run, how long still; no bar where ``size`` is 0."""
    share, left = job.share, pace.left_of(job)
    tail = Text("  ")
    if size:
        tail.append_text(bar(share or 0.0, size, plain)).append(" ")
    tail.append(f"{100 * share:3.0f} %" if share is not None else "  - %")
    if size:
        tail.append(f"  {clock(pace.now() - job.began):>7}", "dim")
    return tail.append(f"  {clock(left)} left" if left is not None else "")


def results(latest: Latest, width: int, most: int | None = None) -> list[Text]:
    """A small table: the mean H so far by method and data set, and how many cells have ended.

    Where there is not room for all, the newest methods and data sets are shown.
    """
    known = {
        place: found
        for place, found in list(latest.standings.items())
        if found.h is not None or found.failed
    }
    if not known or (most is not None and most < 2):
        return []
    labels = _newest(known, 0)
    more = 0
    if most is not None and len(labels) > most - 1:
        labels, more = labels[: most - 2], len(labels) - (most - 2)
        if not labels:
            return []
    rule = LAST if latest.folds else latest.rule
    what = "mean H of the folds" if latest.folds else f"mean H by {rule}"
    texts = {place: _standing(found, rule) for place, found in known.items()}
    waiting = any(found.rule != rule for found in known.values() if found.h is not None)
    first = min(max(cell_len(one_line(x)) for x in (*labels, what)), max(_NAME, width // 3))
    names = {d: one_line(d) for d in _newest(known, 1)}
    columns: dict[str, int] = {}
    for dataset, name in names.items():
        cells = [texts[place] for place in known if place[1] == dataset and place[0] in labels]
        size = max([min(cell_len(name), 14), *(text.cell_len for text in cells)])
        if columns and first + sum(2 + c for c in columns.values()) + 2 + size > width:
            break
        columns[dataset] = size
    order = {place: i for i, place in enumerate(latest.standings)}
    datasets = sorted(columns, key=lambda d: min(i for p, i in order.items() if p[1] == d))
    labels.sort(key=lambda x: min(i for p, i in order.items() if p[0] == x))
    head = Text(_padded(what, first), "bold")
    for dataset in datasets:
        head.append("  " + _padded(_cut(names[dataset], columns[dataset]), columns[dataset]))
    hidden = len(names) - len(datasets)
    head.append(f"  +{counted(hidden, 'data set')}" if hidden else "", "dim")
    lines = [head]
    for label in labels:
        line = Text(_padded(_cut(one_line(label), first), first))
        for dataset in datasets:
            text = texts.get((label, dataset), Text("-", "dim"))
            line.append("  ").append_text(text)
            line.append(" " * (columns[dataset] - text.cell_len))
        lines.append(line)
    if more:
        lines.append(Text(f"and {counted(more, 'more method')}", "dim"))
    elif waiting and (most is None or len(lines) < most):
        lines.append(Text("* by last: val waits for its folds", "dim"))
    return lines


def bar(share: float, size: int, plain: bool = False) -> Text:
    """A bar that needs no colour to be read."""
    done = round(min(1.0, max(0.0, share)) * size)
    full, rest = ("#", ".") if plain else ("━", "╌")
    return Text(full * done, "cyan").append(rest * (size - done), "dim")


def _standing(found: Standing, rule: str) -> Text:
    """``46.9 (3/5)``; a star where the headline rule has to wait; what failed in words."""
    text = Text()
    if found.h is not None:
        text.append(f"{found.h:.1f}" + ("*" if found.rule != rule else ""), "bold")
        text.append(" ")
    text.append(f"({found.done}/{found.total}", "dim")
    if found.failed:
        text.append(", ", "dim").append(f"{found.failed} failed", "red")
    return text.append(")", "dim")


def _newest(known: dict[tuple[str, str], Standing], part: int) -> list[str]:
    """Labels (0) or data sets (1), what has changed last first."""
    newest = sorted(known, key=lambda place: -known[place].turn)
    return list(dict.fromkeys(place[part] for place in newest))


def _titled(unit: Unit, width: int) -> str:
    """A unit's title, shortened in the middle: its end tells seeds apart."""
    title = one_line(unit.title)
    if cell_len(title) <= width:
        return title
    head, _, tail = title.rpartition(" · ")
    rest = width - cell_len(tail) - 3
    return f"{_cut(head, rest)} · {tail}" if head and rest >= 8 else _cut(title, width)


def _cut(text: str, width: int) -> str:
    found = Text(text)
    found.truncate(max(1, width), overflow="ellipsis")
    return found.plain


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - cell_len(text))
