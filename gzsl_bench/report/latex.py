"""Tables for papers: LaTeX with booktabs, the best marked, the protocol in the caption."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gzsl_bench.report.cells import GAP, MINUS, SIGN, UNTOLD, Table
from gzsl_bench.report.daggers import Daggers
from gzsl_bench.report.wide import Grid, Line, Value, grouped
from gzsl_bench.results.comparable import marks

#: Columns before the metrics: data set, method, selection, n.
_BEFORE = 4
_SIGNS = {1: "$^{\\dagger}$", 2: "$^{\\ddagger}$"}
#: < and > are other signs in LaTeX's default encoding.
_ESCAPES = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "^": "\\^{}", "~": "\\~{}", "<": "$<$", ">": "$>$"}
    | {"\n": " ", "\r": " "}
)
#: What a one-column article at 10 points has room for; two columns together have more.
_ROOM = 345.0
#: Lines of a table that stand on one page, under their caption.
_LINES = 44
#: Size, its share of 10 points, and points on either side of a column: the first that fits.
_SIZES = (
    ("small", 0.93, 4.0),
    ("footnotesize", 0.86, 3.0),
    ("footnotesize", 0.86, 2.0),
    ("scriptsize", 0.8, 2.0),
)
_WIDTHS = dict.fromkeys("0123456789", 5.0) | dict.fromkeys(" .,:;[]()il|'", 3.0) | {
    "+": 7.8, "\N{PLUS-MINUS SIGN}": 7.8, "M": 9.2, "W": 10.3, "m": 8.4, "w": 7.3, "-": 3.4,
}  # fmt: skip
_BESIDE = re.compile(r" \$\\pm\$ ([\d.]+)")
#: What a table over several pages needs.
_LONG = "\\usepackage{booktabs, longtable}"
#: A longtable cannot stand in two columns: such a class is in one column for as long as it lasts.
_ALONE = (
    "\\makeatletter\\let\\ifgzslcolumns\\if@twocolumn\\makeatother\n\\ifgzslcolumns\\onecolumn\\fi"
)
_AGAIN = "\\ifgzslcolumns\\twocolumn\\fi"
_MARKED = {1: "\\textbf{{{}}}", 2: "\\underline{{{}}}"}


def table(
    cells: Table,
    names: Sequence[str],
    notes: Sequence[str],
    protocol: Sequence[str],
    daggers: Daggers | None = None,
) -> str:
    """A ``table`` environment, ready to be included; needs the package booktabs.

    What is longer than a page is a ``longtable``, which breaks over pages, in a size that fits.

    Args:
        cells: the table.
        names: metrics, one column each.
        notes: comments above it: everything that identifies the numbers.
        protocol: sentences of the caption.
        daggers: marks against one method.
    """
    ranked, heads = marks(cells.rows, names), cells.headings(names)
    lines = []
    for index, row in enumerate(cells.rows):
        texts = cells.texts(row, names, " $\\pm$ ")
        line = [*map(escape, texts[: _BEFORE - 1]), texts[_BEFORE - 1]]
        for column, cell in enumerate(texts[_BEFORE:]):
            name = names[column] if column < len(names) else ""
            sign = _SIGNS.get(daggers.marks.get((index, name), 0), "") if daggers else ""
            mark = _MARKED.get(ranked.get((index, name), 0), "{}")
            line.append(mark.format(cell) + sign)
        lines.append(line)
    caption = [*protocol]
    if ranked:
        caption.append(
            "Best in bold, second best underlined, per data set and selection rule among"
            " comparable rows."
        )
    caption += daggers.note() if daggers else []
    said = escape(" ".join(caption))
    if len(lines) > _LINES:
        longest = _long(lines, [escape(text) for text in heads], said, cells)
        comments = [comment(line) for line in (_LONG, *notes)]
        return "\n".join([*comments, _formulas(longest)])
    comments = [comment(line) for line in ("\\usepackage{booktabs}", *notes)]
    body = tabular(
        lines,
        [escape(text) for text in heads],
        "lll" + "r" * (len(heads) - _BEFORE + 1),
        groups=[row.dataset for row in cells.rows],
    )
    environment = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{said}}}",
        body,
        "\\end{table}",
    ]
    return "\n".join([*comments, _formulas("\n".join(environment))])


def _long(lines: Sequence[Sequence[str]], heads: Sequence[str], caption: str, cells: Table) -> str:
    """A ``longtable``: its caption and headings, the headings again on every page, the rows.

    Deviations are subscripts: beside their means there would be no room for a column of text.
    """
    caption = caption.replace("mean ± sd", "mean and, as a subscript, sd")
    # The widest heading, over narrow numbers, stands on two lines.
    gap = escape(GAP)
    first, _, second = gap.partition(" ")
    narrow = f"\\shortstack{{{first}\\\\{second}}}"
    head = " & ".join(narrow if text == gap else text for text in heads) + " \\\\"
    found = [
        _ALONE,
        "\\begingroup",
        "\\scriptsize",
        "\\setlength{\\tabcolsep}{1.5pt}",
        f"\\begin{{longtable}}{{lll{'r' * (len(heads) - _BEFORE + 1)}}}",
        f"\\caption{{{caption}}} \\\\",
        *("\\toprule", head, "\\midrule", "\\endfirsthead"),
        *("\\toprule", head, "\\midrule", "\\endhead", "\\bottomrule", "\\endfoot"),
    ]
    for index, (line, row) in enumerate(zip(lines, cells.rows, strict=True)):
        if index and row.dataset != cells.rows[index - 1].dataset:
            found.append("\\midrule")
        found.append(_BESIDE.sub(r"$_{\1}$", " & ".join(line)) + " \\\\")
    return "\n".join([*found, "\\end{longtable}", "\\endgroup", _AGAIN])


def wide(laid: Grid, notes: Sequence[str], caption: Sequence[str], label: str) -> str:
    """Methods down, data sets across: one or more ``table*``, none wider than a column of text.

    A ``table*`` stands across both columns of a two-column class and is a ``table`` in any other; a
    ``longtable`` could not break in two columns, so what is longer than a page goes on in a further
    ``table*``.

    Args:
        laid: the table.
        notes: comments above it.
        caption: sentences.
        label: that the text refers to it by.
    """
    longest = max((_length(x.who) for lines in laid.blocks.values() for x in lines), default=0.0)
    tried = [
        (size, gap, scale * longest + 2 * gap,
         [_column(laid, index, scale, gap) for index in range(len(laid.columns))])
        for size, scale, gap in _SIZES
    ]  # fmt: skip
    fitting = (way for way in tried if way[2] + sum(way[3]) <= _ROOM)
    size, gap, first, widths = next(fitting, tried[-1])
    panels = laid.panels(widths, first, _ROOM)
    pages = list(_pages(panels))
    found = [comment(line) for line in ("\\usepackage{booktabs}", *notes)]
    for number, parts in enumerate(pages):
        said = escape(" ".join(caption)) if number == 0 else "(continued)"
        body = "\\\\[1ex]\n".join(_across(part) for part in parts)
        lines = [
            "\\begin{table*}[t]",
            "\\centering",
            f"\\caption{{{said}}}",
            *([f"\\label{{{label}}}"] if number == 0 else []),
            "\\medskip",
            f"\\{size}",
            f"\\setlength{{\\tabcolsep}}{{{gap:g}pt}}",
            body,
            "\\end{table*}",
        ]
        found.append(_formulas("\n".join(lines)))
    return "\n".join(found)


def _pages(panels: Sequence[Grid]) -> Iterator[list[Grid]]:
    """Panels that stand on one page; one that is longer than that is cut."""
    together: list[Grid] = []
    used = 0
    for panel in panels:
        for part in _cut(panel):
            heads = sum(bool(f) for lines in part.blocks.values() for f, _ in grouped(lines))
            size = heads + sum(len(lines) + 1 for lines in part.blocks.values()) + 3
            if together and used + size > _LINES:
                yield together
                together, used = [], 0
            together.append(part)
            used += size
    if together:
        yield together


def _cut(panel: Grid) -> Iterator[Grid]:
    flat = [(rule, line) for rule, lines in panel.blocks.items() for line in lines]
    for start in range(0, len(flat), _LINES):
        blocks: dict[str, tuple[Line, ...]] = {}
        for rule, line in flat[start : start + _LINES]:
            blocks[rule] = (*blocks.get(rule, ()), line)
        yield replace(panel, blocks=blocks)


def _across(laid: Grid) -> str:
    """A ``tabular`` with a heading across the metrics of each data set."""
    count = len(laid.headings)
    total = 1 + count * len(laid.columns)
    rules = [escape(rule) for rule in laid.blocks]
    spans = [f"\\multicolumn{{{count}}}{{c}}{{{escape(name)}}}" for name in laid.columns]
    bars = [
        f"\\cmidrule(lr){{{2 + count * i}-{1 + count * (i + 1)}}}" for i in range(len(laid.columns))
    ]
    heads = [f"By {rules[0]}" if len(rules) == 1 else "Method"]
    heads += [escape(heading) for heading in laid.headings] * len(laid.columns)
    found = [
        f"\\begin{{tabular}}{{l{'r' * (total - 1)}}}",
        "\\toprule",
        " & ".join(["", *spans]) + " \\\\",
        *bars,
        " & ".join(heads) + " \\\\",
    ]
    for rule, lines in zip(rules, laid.blocks.values(), strict=True):
        found.append("\\midrule")
        if len(rules) > 1:
            found.append(f"\\multicolumn{{{total}}}{{l}}{{\\emph{{by {rule}}}}} \\\\")
        for family, line in grouped(lines):
            if family:
                over = f"\\multicolumn{{{total}}}{{l}}{{\\emph{{{escape(family)}}}}} \\\\"
                # The first one stands under a line already.
                found += [over] if line is lines[0] else ["\\addlinespace", over]
            cells = [escape(line.who)]
            for group in line.groups:
                if isinstance(group, str):
                    word = "--" if group == "-" else escape(group)
                    cells.append(f"\\multicolumn{{{count}}}{{c}}{{{word}}}")
                else:
                    cells += map(_value, group)
            found.append(" & ".join(cells) + " \\\\")
    return "\n".join([*found, "\\bottomrule", "\\end{tabular}"])


def _value(value: Value) -> str:
    """A mean, and its interval or else its deviation as a subscript: half as wide as beside it."""
    mean = "--" if value.mean == "-" else escape(value.mean)
    signs = ("^{\\approx}" if value.untold else "") + ("^{\\ast}" if value.otherwise else "")
    below = value.interval or value.sd
    raised = f"${f'_{{{below}}}' if below else ''}{signs}$" if below or signs else ""
    return _MARKED.get(value.mark, "{}").format(mean) + raised + _SIGNS.get(value.dagger, "")


def _column(laid: Grid, index: int, scale: float, gap: float) -> float:
    """Points that a data set takes, rather too many than too few."""
    widths = [_length(heading) * scale for heading in laid.headings]
    for lines in laid.blocks.values():
        for line in lines:
            group = line.groups[index]
            for k, value in enumerate(() if isinstance(group, str) else group):
                small = max(
                    _length(value.interval or value.sd), 8.0 * (value.untold or value.otherwise)
                )
                size = 1.16 * _length(value.mean) * scale + 0.76 * small + 4 * bool(value.dagger)
                widths[k] = max(widths[k], size)
    return max(sum(widths) + 2 * gap * len(widths), _length(laid.columns[index]) * scale + 2 * gap)


def _length(text: str) -> float:
    """Points of a text in Computer Modern at 10 points."""
    return sum(_WIDTHS.get(c, 7.6 if c.isupper() or not c.isascii() else 5.3) for c in text)


def tabular(
    lines: Sequence[Sequence[str]],
    heads: Sequence[str],
    align: str = "",
    groups: Sequence[str] = (),
) -> str:
    """A booktabs ``tabular`` of cells that are LaTeX already.

    Args:
        lines: rows of cells.
        heads: headings.
        align: of the columns; all to the left by default.
        groups: of the rows; a line is drawn where the group changes.
    """
    found = [
        f"\\begin{{tabular}}{{{align or 'l' * len(heads)}}}",
        "\\toprule",
        " & ".join(heads) + " \\\\",
        "\\midrule",
    ]
    for index, line in enumerate(lines):
        if groups and index and groups[index] != groups[index - 1]:
            found.append("\\midrule")
        found.append(" & ".join(line) + " \\\\")
    return "\n".join([*found, "\\bottomrule", "\\end{tabular}"])


def comment(text: str) -> str:
    """A line that LaTeX skips: of a text with a break it would read the rest."""
    return f"% {' '.join(text.split())}"


def escape(text: str) -> str:
    """Plain text as LaTeX prints it."""
    return text.translate(_ESCAPES)


def _formulas(text: str) -> str:
    """Outside of comments LaTeX knows these only as formulas."""
    for sign, formula in (
        (SIGN, "$\\gamma$"),
        (MINUS, "$-$"),
        (UNTOLD, "$\\approx$"),
        ("±", "$\\pm$"),
        ("\N{DAGGER}", "$\\dagger$"),
        ("\N{DOUBLE DAGGER}", "$\\ddagger$"),
    ):
        text = text.replace(sign, formula)
    return text
