"""The page: everything gathered, drawn and poured into one self-contained file."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.plots.pool import on_all_cores
from gzsl_bench.plots.save import as_bytes, data_uri, described, write
from gzsl_bench.published import beside as published
from gzsl_bench.report import wide
from gzsl_bench.report.cells import GAP, SIGN, Table, digits, gammas, number, untold
from gzsl_bench.report.html import figures, provenance
from gzsl_bench.report.html.age import NAME
from gzsl_bench.report.html.gather import Ground, grounds
from gzsl_bench.report.html.templating import PACKAGE, engine
from gzsl_bench.report.notes import identities, notes
from gzsl_bench.report.ranking import rank
from gzsl_bench.report.samples import with_intervals
from gzsl_bench.report.verdicts import READING, Verdict, interval, verdicts
from gzsl_bench.results.comparable import marks
from gzsl_bench.results.digest import digest
from gzsl_bench.results.earlier import earlier
from gzsl_bench.results.rows import HEADINGS, NO_RULE, Row, extra_metrics, rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.ranks import Ranking
from gzsl_bench.scoring.rules import rule_of
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.version import __version__

_H = "harmonic_mean"


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        path: the page.
        size: its bytes.
        plots: files of single plots, a stem for each.
        figures: SVG files of single plots, for documents.
        verdicts: the cards of its first screen.
    """

    path: Path
    size: int
    plots: tuple[str, ...]
    figures: tuple[Path, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


def build(
    results: Results,
    into: Path,
    plot_files: bool = False,
    rule: str | None = None,
    figures_into: Path | None = None,
) -> Report:
    """Write ``into/report.html`` and, where asked, ``into/plots/*.{png,pdf,csv}``.

    Args:
        results: of the suite as it was resolved when it ran; nothing else is needed.
        into: the folder, made where it is absent.
        plot_files: write each plot and its data as files, too.
        rule: whose numbers lead; by default those of the suite's honest rule.
        figures_into: a folder for each plot as SVG, with what was measured written into it.

    Raises:
        RecordError: predictions are damaged, or the folder cannot be written.
    """
    results.prefetch()
    table = with_intervals(rows(results), results)
    cells = Table(table)
    rule = rule or results.suite.lead
    found = grounds(results, cells, rule)
    ranking = _ranking(table, rule)
    plots = _plots(found, ranking.drawn, rule)
    folder = into / "plots" if plot_files else None
    about = _identity(results, table, rule)
    texts = on_all_cores(
        [functools.partial(_drawn, plot, folder, figures_into, about) for plot in plots.all]
    )
    drawn = {plot.name: text for plot, text in zip(plots.all, texts, strict=True)}
    cards = tuple(verdicts(table, results, rule, cells))
    context = {
        **_about_suite(results, rule),
        **_beside(table, results, rule),
        **_behind(table, results),
        "cards": cards,
        "leads": plots.leads,
        "gaps": plots.gaps,
        "matrix": wide.grid([r for r in table if r.selection in (rule, NO_RULE)], [_H]),
        "grounds": [
            {"ground": g, "id": f"data-{i}", "plots": mine, "summary": _summary(g, cells, rule),
             "full": _full(g, cells)}
            for i, (g, mine) in enumerate(zip(found, plots.grounds, strict=True), start=1)
        ],
        "drawn": drawn,
        "ranking": plots.overall,
        "ranks": ranking.drawn,
        "no_ranking": ranking.why,
        "counted_once": ranking.once,
    }  # fmt: skip
    text = _render(context)
    path = into / NAME
    _write(path, text)
    return Report(
        path=path,
        size=len(text.encode()),
        plots=tuple(drawn) if plot_files else (),
        figures=tuple(figures_into / f"{name}.svg" for name in drawn) if figures_into else (),
        verdicts=cards,
    )


@dataclass(frozen=True)
class _Ranking:
    """Average ranks over data sets.

    Attributes:
        drawn: the ranking; None where there is none to draw.
        why: a sentence on that.
        once: which rows count once, where there is one.
    """

    drawn: Ranking | None
    why: str
    once: str


def _ranking(table: Sequence[Row], rule: str) -> _Ranking:
    """The ranking by a rule; one that could tell nobody from anybody is not drawn."""
    ranking, why = rank([r for r in table if r.selection in (rule, NO_RULE)])
    once = why if ranking is not None else ""
    if ranking is not None and ranking.powerless:
        why = (
            f"no critical-difference diagram: {ranking.datasets} data sets have no power to tell"
            f" {len(ranking.methods)} methods apart (average ranks would have to differ by"
            f" {ranking.critical_difference:.2f}, and cannot by more than"
            f" {len(ranking.methods) - 1})"
        )
        ranking = None
    return _Ranking(ranking, why, once)


@dataclass(frozen=True)
class _Plots:
    """What is drawn: who leads, selection gaps, the ranking, and the plots of each data set."""

    leads: Sequence[figures.Plot]
    gaps: Sequence[figures.Plot]
    overall: Sequence[figures.Plot]
    grounds: Sequence[Sequence[figures.Plot]]

    @property
    def all(self) -> list[figures.Plot]:
        """All of them, in the order of the page."""
        return [*self.leads, *self.gaps, *self.overall, *(p for each in self.grounds for p in each)]


def _plots(found: Sequence[Ground], ranking: Ranking | None, rule: str) -> _Plots:
    taken: set[str] = {"ranking", "h", "gap"}
    return _Plots(
        leads=figures.of_leads(found, rule),
        gaps=figures.of_gaps(found, rule),
        overall=[] if ranking is None else [figures.of_ranking(ranking, rule)],
        grounds=[figures.of_ground(ground, rule, taken) for ground in found],
    )


def _about_suite(results: Results, rule: str) -> dict[str, Any]:
    """What the page is of, and how it is to be read."""
    suite = results.suite
    return {
        "suite": suite,
        "version": __version__,
        "digest": digest(results),
        "made_of": provenance.made_of(results),
        "earlier": earlier(results),
        "rule": rule,
        "rule_words": rule_of(rule).words,
        "optimistic": " and ".join(name for name in suite.rules if rule_of(name).reads_test),
        "gap": GAP,
        "reading": READING,
    }


def _beside(table: Sequence[Row], results: Results, rule: str) -> dict[str, Any]:
    """Published numbers: those that can be compared, and the others."""
    # One line per printed number: ours by the rule they chose by, or else by the honest one.
    lines = [b for b in published.beside(table, results) if _fitting(b, rule, results.suite)]
    lines.sort(key=lambda line: line["difference"] is None)
    return {
        "published": _published([line for line in lines if line["difference"] is not None]),
        "not_comparable": _published([line for line in lines if line["difference"] is None]),
        "published_notes": published.notes(lines),
    }


def _behind(table: Sequence[Row], results: Results) -> dict[str, Any]:
    """What numbers came from: data, methods, machines, cells, and what failed."""
    environment, of_cell = provenance.environments(results)
    lacking = provenance.failures(results)
    return {
        "counts": _counts(results.suite, lacking),
        "notes": _sentences(notes(table, extra_metrics(table))),
        "failures": lacking,
        "datasets": provenance.datasets(results.suite),
        "methods": provenance.methods(table, results),
        "configurations": provenance.configurations(table, results),
        "environments": environment,
        "cells": provenance.cells(results, table, of_cell),
    }


def _drawn(plot: figures.Plot, folder: Path | None, alone: Path | None, about: str) -> str:
    """A plot for the page, and its files where there are folders for them."""
    figure = plot.draw()
    svg = as_bytes(figure, "svg")
    if folder is not None:
        write(folder, plot.name, figure, plot.rows(), about=about)
    if alone is not None:
        _keep(alone / f"{plot.name}.svg", described(svg, f"{plot.heading}. {about}"))
    return data_uri(svg)


def _keep(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise RecordError(f"the plot {path} cannot be written: {error}") from error


def _identity(results: Results, table: Sequence[Row], rule: str) -> str:
    """What a plot that leaves its page takes along: what was measured, by what code."""
    seeds = ", ".join(map(str, sorted({seed for row in table for seed in row.seeds})))
    return "\n".join(
        [
            f"Suite {results.suite.name}, checkpoints by {rule}, seeds {seeds}.",
            *identities(table),
            f"gzsl-bench {__version__}, {provenance.made_of(results)}, digest {digest(results)}.",
        ]
    )


def _fitting(line: Mapping[str, Any], rule: str, suite: ResolvedSuite) -> bool:
    """Whether this line is the one to show of a row's several rules."""
    theirs = line["their_selection"]
    return bool(line["selection"] == (theirs if theirs in suite.selection else rule))


def _published(lines: Sequence[Mapping[str, Any]]) -> provenance.Grid:
    return provenance.Grid(
        tuple(published.headings()), tuple(tuple(c) for c in published.cells(lines))
    )


def _sentences(lines: Sequence[str]) -> list[str]:
    """Notes as a terminal has them, some of them broken into two lines, one item each."""
    found: list[str] = []
    for line in lines:
        if found and not found[-1].endswith((".", ":")):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found


def _counts(suite: ResolvedSuite, lacking: provenance.Grid) -> dict[str, int]:
    statuses = [line[4] for line in lacking.lines]
    return {
        "cells": len(suite.cells),
        "failed": statuses.count("failed"),
        "inapplicable": statuses.count("not applicable"),
        "waiting": statuses.count("not run"),
    }


def _summary(ground: Ground, table: Table, rule: str) -> dict[str, Any]:
    """H of every method by every rule, the one that leads first: a line per method."""
    own = [row for row in ground.rows if row.sweep is None]
    rules = list(dict.fromkeys(r.selection for r in own if r.selection != "-"))
    rules.sort(key=lambda name: name != rule)
    ranked = marks(own, [_H])
    lines: dict[str, dict[str, Any]] = {}
    for index, row in enumerate(own):
        line = lines.setdefault(
            table.who(row), {"cells": {}, "n": 0, "gap": "", "why": "", "row": row}
        )
        line["n"] = max(line["n"], len(row.seeds))
        if row.selection_gap:
            line["gap"] = number(row.selection_gap, " ± ")
        if row.unavailable:
            line["why" if row.selection == "-" else "missing"] = str(row.unavailable)
            continue
        h = row.summary()
        line["cells"][row.selection] = {
            "text": number(replace(h, low=None)),
            "interval": interval(h),
            "doubt": untold(row),
            "mark": ranked.get((index, _H), 0),
        }
    gap = any(line["gap"] for line in lines.values())
    return {"rules": rules, "lines": lines, "gap": gap}


def _full(ground: Ground, table: Table) -> provenance.Grid:
    """Every metric of every row."""
    names = [*HEADINGS, *extra_metrics(table.rows)]
    headings = ["Method", "Selection", "n", *(HEADINGS.get(name, name) for name in names), SIGN]
    lines = []
    for row in ground.rows:
        lines.append(
            (
                table.who(row),
                row.selection,
                str(len(row.seeds)),
                *(number(row.metrics.get(name), " ± ", digits(row, name)) for name in names),
                gammas(row),
            )
        )
    return provenance.Grid(tuple(headings), tuple(lines), tuple(range(2, len(headings))))


def _render(context: Mapping[str, Any]) -> str:
    return engine(PACKAGE).get_template("report.html.j2").render(context)


def _write(path: Path, text: str) -> None:
    """In one rename, so that a browser never loads half a page."""
    try:
        atomic.write_text(path, text, errors="replace")
    except OSError as error:
        raise RecordError(f"the report {path} cannot be written: {error}") from error
