"""What a table says, to the letter, and how long it takes to lay out a large one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from report_factory import many, row

from gzsl_bench.report.cells import Table
from gzsl_bench.report.table import FORMATS, render
from gzsl_bench.results.rows import HEADINGS, NO_RULE, About, Point, Row
from gzsl_bench.scoring.rules import Support
from gzsl_bench.scoring.summary import Summary

GOLDEN = Path(__file__).parent / "golden"


def small() -> list[Row]:
    """One row of each kind that a table tells apart."""
    loss = About(False, False, "What is lost.", True, "nats")
    lost = row("SUN", "ACMR", h=30.0)
    interval = row("SUN", "DAP", h=20.0)
    interval.metrics["harmonic_mean"] = Summary(20.0, 1.0, 3, 18.5, 21.5)  # type: ignore[index]
    biased = row(h=1.0).metrics | {"unseen_as_seen": Summary(98.76, 0.4, 3)}
    none = dict.fromkeys(HEADINGS)
    return [
        row(), row(rule="last+gamma", h=52.0, gamma=(0.1, 0.1, 0.2)), row(rule="val", h=51.0),
        row(rule="best_test", h=54.0, selection_gap=Summary(3.0, 0.5, 3), audit="ok"),
        row(features="phog", fingerprint="ffff0123456789ab", h=12.0),
        row(label="ESZSL", n=1, h=44.0, source="abcdef0123456789"),
        row(label="ESZSL", n=1, h=45.0, version="2.0", audit="FAILED: it looks at noise"),
        row(label="CADA | VAE", preprocessing="minmax_refit_on_test", h=60.0),
        row(label="CADA | VAE", precision="bf16", preprocessing="none", h=40.0),
        row("AWA1", "ACMR", setting="transductive", h=70.0),
        row("AWA1", "ACMR", "val", h=1.0, support=Support(10, 10, 3, 0)),
        row("AWA1", "CVAE", "val", h=1.0, support=Support(10, 1, 3, 2), metrics=biased),
        row("AWA1", "DAP", NO_RULE, n=0, metrics=none, unavailable="not applicable: no signs."),
        row("AWA1", "SSE", NO_RULE, n=0, metrics=none, unavailable="failed: no memory left"),
        row("AWA1", "CONSE", n=1, h=5.0, lost=("seed 1 failed: killed", "seed 2 failed: killed")),
        row("AWA1", "ESZSL", "val", n=0, metrics=none, unavailable="the folds have not run"),
        row("SUN", "ACMR noise=1", sweep=Point("ACMR", "noise", 1.0), h=80.0),
        row("SUN", "ACMR", metrics=lost.metrics | {"loss": Summary(0.1234, 0.01, 3)},
            about={"loss": loss}),
        interval,
        row("APY", "ACMR", notes=("features rn50: timm:resnet50.",),
            exposure="2 of 12 unseen classes were seen by the backbone: cat, dog."),
    ]  # fmt: skip


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_text_of_a_table_of_every_kind_of_row(fmt):
    """Laid down before names were worked out once for a table rather than once for every row."""
    assert render(small(), fmt) == (GOLDEN / f"small.{fmt}").read_text(encoding="utf-8")


def test_lines_are_broken_between_words_alone():
    rows = [replace(r, label=r.label.replace("ACMR", "f-CLSWGAN-with-hyphens")) for r in small()]
    words = [render(rows, width=width).split("\n\n", 1)[1].split() for width in (60, 80, 999)]
    assert words[0] == words[1] == words[2]


def test_names_are_those_of_a_scan_of_the_whole_table():
    rows = [*small(), *many(300)]
    table = Table(rows)
    for own in rows:
        mine = [r for r in rows if r.dataset == own.dataset]
        versions = {r.version for r in mine if r.label == own.label}
        scalings = {r.preprocessing for r in mine if r.method == own.method}
        expected = own.label
        expected += f" ({own.preprocessing})" if len(scalings) > 1 else ""
        expected += f" ({own.version})" if len(versions) > 1 else ""
        assert table.who(own) == expected
        variants = {(r.features, r.attributes, r.fingerprint) for r in mine}
        assert (f"({own.features}, " in table.where(own)) == (len(variants) > 1)
        assert (f"({own.precision})" in table.where(own)) == (len({r.precision for r in mine}) > 1)


@pytest.mark.parametrize("fmt", FORMATS)
def test_work_grows_with_the_rows_and_not_with_their_square(fmt):
    """Lines of ours that are executed: eight times the rows took 60 times as long."""

    def lines(count: int) -> int:
        rows = many(count)
        render(rows[:3], fmt)
        done = 0

        def trace(frame, event, arg):
            nonlocal done
            done += event == "line"
            return trace if "gzsl_bench" in frame.f_code.co_filename else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            render(rows, fmt)
        finally:
            sys.settrace(before)
        return done

    assert lines(1600) < 10 * lines(200)
