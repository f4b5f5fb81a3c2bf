"""Methods down, data sets across: the table of a paper, laid out before it is printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gzsl_bench import markdown
from gzsl_bench.markdown import width_of
from gzsl_bench.report.cells import UNTOLD, Table, digits, untold
from gzsl_bench.report.daggers import Daggers
from gzsl_bench.results.comparable import marks
from gzsl_bench.results.rows import HEADINGS, NO_RULE, Row

#: The literature's columns.
USUAL = ("acc_unseen", "acc_seen", "harmonic_mean")
#: Marks printed numbers that were measured otherwise than ours.
OTHERWISE = "*"
DAGGERS = {1: "\N{DAGGER}", 2: "\N{DOUBLE DAGGER}"}
_MARKED = {1: "**{}**", 2: "*{}*"}
_PRINTED = {"acc_unseen": "U", "acc_seen": "S", "harmonic_mean": "H", "zsl_acc": "T1"}


@dataclass(frozen=True)
class Value:
    """One number of the table.

    Attributes:
        mean: as it is printed.
        sd: over seeds; empty where there is none.
        interval: ``[36.2, 45.9]``; empty where none was asked for.
        mark: 1 for the best, 2 for the second best of its column.
        dagger: 1 or 2 where it differs from the method of the daggers.
        untold: the folds do not tell its checkpoint from others.
        otherwise: printed elsewhere and measured otherwise than ours.
    """

    mean: str
    sd: str = ""
    interval: str = ""
    mark: int = 0
    dagger: int = 0
    untold: bool = False
    otherwise: bool = False


#: A method's numbers on one data set, one a metric; or one word for all of them.
Group = tuple[Value, ...] | str


@dataclass(frozen=True)
class Line:
    """A method.

    Attributes:
        who: its label, with whatever tells it from others of the label.
        groups: its numbers, one entry a data set.
        printed: numbers that a paper printed, not ours.
        family: what the method's plugin groups it under.
    """

    who: str
    groups: tuple[Group, ...]
    printed: bool = False
    family: str = ""


@dataclass(frozen=True)
class Grid:
    """A wide table.

    Attributes:
        columns: data sets.
        headings: of the metrics under each.
        blocks: lines by selection rule, as it is printed.
        sources: of printed numbers, in the order of their numbers.
    """

    columns: tuple[str, ...]
    headings: tuple[str, ...]
    blocks: Mapping[str, tuple[Line, ...]]
    sources: tuple[str, ...] = ()

    def of(self, columns: Sequence[int]) -> Grid:
        """Some of the data sets."""
        return Grid(
            tuple(self.columns[i] for i in columns),
            self.headings,
            {
                rule: tuple(
                    replace(line, groups=tuple(line.groups[i] for i in columns)) for line in lines
                )
                for rule, lines in self.blocks.items()
            },
            self.sources,
        )

    def panels(self, widths: Sequence[float], first: float, room: float) -> list[Grid]:
        """As many data sets side by side as fit; the others in tables below.

        Args:
            widths: of the data sets.
            first: of the methods' names.
            room: there is.
        """
        together: list[list[int]] = []
        left = 0.0
        for index, width in enumerate(widths):
            if not together or width > left:
                together.append([])
                left = room - first
            together[-1].append(index)
            left -= width
        return [self.of(columns) for columns in together]


def grid(
    table: Sequence[Row],
    names: Sequence[str] = (),
    daggers: Daggers | None = None,
    printed: Iterable[Mapping[str, Any]] = (),
) -> Grid:
    """Lay rows out; points of sweeps are left to the long table.

    Args:
        table: rows; those of several rules make a block each.
        names: metrics; by default U, S and H.
        daggers: marks against one method, of this table.
        printed: lines of :func:`~gzsl_bench.published.beside.beside`.
    """
    names = list(names) or list(USUAL)
    cells, ranked = Table(table), marks(table, names)
    where = {row: index for index, row in enumerate(table)}
    shown = [row for row in table if row.sweep is None]
    columns = tuple(dict.fromkeys(cells.where(row) for row in shown))
    given = list(printed)
    sources: dict[str, int] = {}
    blocks = {}
    for rule in dict.fromkeys(r.selection for r in shown if r.selection != NO_RULE) or (NO_RULE,):
        mine = [row for row in shown if row.selection in (rule, NO_RULE)]
        found: dict[tuple[str, int], dict[str, Row]] = {}
        met: Counter[tuple[str, str]] = Counter()
        for row in mine:
            place = cells.who(row), cells.where(row)
            found.setdefault((place[0], met[place]), {})[place[1]] = row
            met[place] += 1
        lines = []
        for (who, _), rows in found.items():
            groups = tuple(
                _group(rows[c], where[rows[c]], names, ranked, daggers) if c in rows else "-"
                for c in columns
            )
            family = next(iter(rows.values())).family
            lines.append(Line(who, groups, family=family))
            beside = _printed(rows, columns, names, given, sources)
            lines += [replace(line, family=family) for line in beside]
        title = rule if rule != NO_RULE else ""
        order = list(dict.fromkeys(line.family for line in lines))
        blocks[title] = tuple(sorted(lines, key=lambda line: order.index(line.family)))
    return Grid(columns, _heads(names), blocks, tuple(sources))


def grouped(lines: Sequence[Line]) -> Iterator[tuple[str, Line]]:
    """Each line, with the heading that stands over it: where several families are, their names."""
    several = len({line.family for line in lines}) > 1
    before = None
    for line in lines:
        yield ((line.family or "Others") if several and line.family != before else ""), line
        before = line.family


def _heads(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(HEADINGS.get(name, name) for name in names)


def _group(
    row: Row,
    index: int,
    names: Sequence[str],
    ranked: Mapping[tuple[int, str], int],
    daggers: Daggers | None,
) -> Group:
    if row.unavailable:
        # What a suite leaves out on purpose is a dash, as in any paper.
        return "-" if row.fate in ("", "left out") else row.fate
    found = []
    for name in names:
        summary, form = row.metrics.get(name), digits(row, name)
        if summary is None:
            found.append(Value("-"))
            continue
        found.append(
            Value(
                f"{summary.mean:{form}}",
                "" if summary.sd is None else f"{summary.sd:{form}}",
                "" if summary.low is None else f"[{summary.low:{form}}, {summary.high:{form}}]",
                ranked.get((index, name), 0),
                daggers.marks.get((index, name), 0) if daggers else 0,
                bool(untold(row)) and name == names[-1],
            )
        )
    return tuple(found)


def _printed(
    rows: Mapping[str, Row],
    columns: Sequence[str],
    names: Sequence[str],
    given: Sequence[Mapping[str, Any]],
    sources: dict[str, int],
) -> list[Line]:
    """A line for each source that printed numbers of these rows."""
    of = {
        (row.dataset, row.keys, row.selection): column
        for column, row in rows.items()
        if not row.unavailable
    }
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for each in given:
        column = of.get((each["dataset"], tuple(each["keys"]), each["selection"]))
        if column is not None and any(_PRINTED.get(name) in each["printed"] for name in names):
            number = sources.setdefault(str(each["source"]), len(sources) + 1)
            source = f"{each['published']} as printed [{number}]"
            found.setdefault(source, {}).setdefault(column, each)
    lines = []
    for source, by_column in found.items():
        groups: list[Group] = []
        for column in columns:
            each = by_column.get(column, {})
            values = tuple(
                Value(
                    each["printed"].get(_PRINTED.get(name, ""), "") or "-",
                    otherwise=each["difference"] is None,
                )
                for name in names
                if each
            )
            groups.append(values or "-")
        lines.append(Line(source, tuple(groups), printed=True))
    return lines


def as_markdown(
    laid: Grid, width: int | None = None, marked: Mapping[int, str] | None = None
) -> str:
    """A table for each rule; where a terminal is narrower, fewer data sets side by side.

    Args:
        laid: the table.
        width: columns of a terminal.
        marked: what the best and the second best are put into, as ``**{}**``.
    """
    forms = _MARKED if marked is None else marked
    tables = []
    for rule, lines in laid.blocks.items():
        what = f"{laid.headings[0]} by {rule}" if len(laid.headings) == 1 else f"By {rule}"
        one = Grid(laid.columns, laid.headings, {rule: lines})
        # A column has a bar and a blank on either side.
        first = 4 + max(map(width_of, [what, *(line.who for line in lines)]))
        widths = [
            sum(3 + max(map(width_of, column)) for column in zip(*body, strict=True))
            for body in (_texts(one, i, {}) for i in range(len(one.columns)))
        ]
        for panel in one.panels(widths, first, width or sum(widths) + first):
            columns = [_texts(panel, i, forms) for i in range(len(panel.columns))]
            rows = []
            for n, (family, line) in enumerate(grouped(lines), start=1):
                cells = [cell for column in columns for cell in column[n]]
                rows += [[f"*{family}*", *[""] * len(cells)]] if family else []
                rows.append([line.who, *cells])
            head = [cell for column in columns for cell in column[0]]
            tables.append(markdown.table([what, *head], rows))
    return "\n\n".join(tables)


def _texts(laid: Grid, column: int, forms: Mapping[int, str]) -> list[list[str]]:
    """The heading and the lines of one data set."""
    several = len(laid.headings) > 1
    name = laid.columns[column]
    found = [[f"{name} {heading}" if several else name for heading in laid.headings]]
    for lines in laid.blocks.values():
        for line in lines:
            group = line.groups[column]
            if isinstance(group, str):
                blank = "-" if group == "-" else ""
                found.append([blank] * (len(laid.headings) - 1) + [group])
            else:
                found.append([plain(value, forms) for value in group])
    return found


def plain(value: Value, forms: Mapping[int, str]) -> str:
    """``41.2 ± 0.6 [36.2, 45.9]`` with its marks."""
    text = forms.get(value.mark, "{}").replace("{}", value.mean)
    text += f" ± {value.sd}" if value.sd else ""
    text += f" {value.interval}" if value.interval else ""
    text += DAGGERS.get(value.dagger, "")
    text += f" {UNTOLD}" if value.untold else ""
    return text + (OTHERWISE if value.otherwise else "")
