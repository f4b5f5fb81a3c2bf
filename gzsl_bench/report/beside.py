"""A suite's table with published numbers beside it, in every format tables have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from gzsl_bench import markdown
from gzsl_bench.published.beside import beside, cells, headings, notes
from gzsl_bench.report import latex, markup
from gzsl_bench.report.daggers import Daggers
from gzsl_bench.report.table import render
from gzsl_bench.results.rows import Row
from gzsl_bench.results.view import Results


def render_beside(
    table: Sequence[Row],
    results: Results,
    fmt: str = "github",
    metrics: Sequence[str] | None = None,
    daggers: Daggers | None = None,
) -> str:
    """The usual table, then ours beside theirs.

    github, latex and html: a second table; json: each row gets ``published``, a list; csv: one line
    per comparison, since a row may have several.  ``metrics`` are the columns of the usual table.
    """
    lines = beside(table, results)
    if fmt == "json":
        own = [
            {
                **row,
                "published": [
                    {k: v for k, v in line.items() if k not in ("ours", "seeds", "keys")}
                    for line in lines
                    if all(line[k] == row[k] for k in ("dataset", "label", "selection", "keys"))
                ],
            }
            for row in (row.to_json() for row in table)
        ]
        return json.dumps(own, indent=1)
    text = cells(lines)
    if fmt == "csv":
        rows = [dict(zip(headings(), line, strict=True)) for line in text]
        return markdown.csv_text(rows, headings())
    if fmt == "latex":
        body = latex.tabular(
            [[latex.escape(cell) for cell in line] for line in text],
            [latex.escape(heading) for heading in headings()],
        )
        said = map(latex.comment, notes(lines))
        return "\n".join([render(table, fmt, metrics, daggers), "", *said, body])
    if fmt == "html":
        safe = [[escape(cell) for cell in line] for line in text]
        second = [markup.fragment(headings(), safe)] if text else []
        return "\n".join(
            [render(table, fmt, metrics, daggers), *second, markup.paragraph(notes(lines))]
        )
    body = markdown.table(headings(), text)
    return "\n".join(
        [render(table, fmt, metrics), "", *([body, ""] if text else []), *notes(lines)]
    )
