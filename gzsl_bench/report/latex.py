"""Tables for papers: LaTeX with booktabs, the best marked, the protocol in the caption."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_bench.report.cells import MINUS, SIGN, UNTOLD, Table
from gzsl_bench.report.daggers import Daggers
from gzsl_bench.results.comparable import marks

#: Columns before the metrics: data set, method, selection, n.
_BEFORE = 4
_SIGNS = {1: "$^{\\dagger}$", 2: "$^{\\ddagger}$"}
#: < and > are other signs in LaTeX's default encoding.
_ESCAPES = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "^": "\\^{}", "~": "\\~{}", "<": "$<$", ">": "$>$"}
)
_MARKED = {1: "\\textbf{{{}}}", 2: "\\underline{{{}}}"}


def table(
    cells: Table,
    names: Sequence[str],
    notes: Sequence[str],
    protocol: Sequence[str],
    daggers: Daggers | None = None,
) -> str:
    """A ``table`` environment, ready to be included; needs the package booktabs.

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
    comments = [f"% {line}" for line in ("\\usepackage{booktabs}", *notes)]
    body = tabular(
        lines,
        [escape(text) for text in heads],
        "lll" + "r" * (len(heads) - _BEFORE + 1),
        groups=[row.dataset for row in cells.rows],
    )
    environment = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{escape(' '.join(caption))}}}",
        body,
        "\\end{table}",
    ]
    return "\n".join([*comments, _formulas("\n".join(environment))])


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
