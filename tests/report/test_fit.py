"""Tables that fit a terminal: widths counted on what is printed, columns dropped in order."""

from __future__ import annotations

import pytest
from records_factory import made, make_cell

from gzsl_bench.records.record import Record
from gzsl_bench.report.cells import GAP, SIGN
from gzsl_bench.report.failures import failures
from gzsl_bench.report.fit import fit
from gzsl_bench.report.table import render
from gzsl_bench.results.rows import HEADINGS, About, Row, chosen_metrics
from gzsl_bench.scoring.summary import Summary


def summary(mean, sd=1.5, n=5):
    return Summary(mean, sd, n)


def row(label="CADA-VAE", rule="last", gap=None, gamma=None, **extra):
    return Row(
        dataset="digits", features="f", attributes="a", fingerprint="0" * 16,
        images="0", method=label,
        label=label, selection=rule, seeds=tuple(range(5)),
        metrics={name: summary(50.0) for name in HEADINGS} | extra,
        about={name: About() for name in extra}, keys=("k",) * 5, preprocessing="none",
        setting="inductive", precision="float32", fidelity="paper", version="1",
        checkpoints=((1,),) * 5, gamma=gamma, selection_gap=gap,
    )  # fmt: skip


def wide(label="CADA-VAE", **extra):
    """Three rules, calibrated, with a gap: the widest usual table."""
    return [
        row(label, "last", **extra), row(label, "last+gamma", gamma=(0.123,), **extra),
        row(label, "val", **extra), row(label, "val+gamma", gamma=(0.123,), **extra),
        row(label, "best_test", gap=summary(3.0), **extra),
    ]  # fmt: skip


def heads(table) -> list[str]:
    return [
        cell.strip() for cell in render(table.rows, metrics=table.metrics).split("\n")[0].split("|")
    ][5:-1]


def body(table) -> list[str]:
    return render(table.rows, metrics=table.metrics).split("\n\n")[0].split("\n")


def test_the_quickstart_s_table_shows_all_but_ausuc():
    found = fit([row(), row("ESZSL", "best_test")])
    assert heads(found) == ["U", "S", "H", "T1"]
    # By hand: Data set, CADA-VAE, best_test, n and 50.0 ± 1.5, a blank on either side.
    assert body(found)[1] == "|" + "|".join("-" * w for w in (10, 10, 11, 3, *[12] * 4)) + "|"
    # The fifth metric would make it 104.
    assert fit([row(), row("ESZSL", "best_test")], 103).left_out == ("AUSUC",)
    assert fit([row(), row("ESZSL", "best_test")], 104).left_out == ()


def test_the_widest_usual_table_keeps_h_gap_u_and_s():
    found = fit(wide())
    assert heads(found) == ["U", "S", "H", GAP]
    assert found.left_out == ("T1", "AUSUC", SIGN)
    assert fit(wide(), 140).left_out == ()
    assert heads(fit(wide(), 60)) == ["H"]
    assert fit(wide(), 60).left_out == ("U", "S", "T1", "AUSUC", GAP, SIGN)


def test_u_and_s_go_together_and_metrics_of_plugins_come_last():
    forty = fit(wide("A method whose label has forty characters", top5=summary(1.0)))
    assert heads(forty) == ["H"]  # T1 would fit, but says little where U and S do not
    assert "top5" in forty.left_out
    assert heads(fit([row(top5=summary(1.0))], 200)) == ["U", "S", "H", "T1", "AUSUC", "top5"]
    assert fit([row(top5=summary(1.0))]).left_out == ("AUSUC", "top5")


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("label", ["A", "CADA-VAE", "表データ", "a|b"])
def test_no_line_is_wider_than_it_may_be(width, label):
    from rich.cells import cell_len

    found = fit(wide(label, top5=summary(1.0)), width)
    lines = body(found)
    assert {cell_len(line) for line in lines} == {cell_len(lines[0])}
    assert cell_len(lines[0]) <= width
    text = render(found.rows, metrics=found.metrics, width=width)
    assert all(cell_len(line) <= width for line in text.split("\n"))


def test_h_stays_however_narrow():
    assert heads(fit([row("x" * 80)], 60)) == ["H"]


def test_machine_formats_and_all_hold_everything():
    table = wide(top5=summary(1.0))
    for fmt in ("csv", "json"):
        text = render(table, fmt)
        for name in (*HEADINGS, "top5", "selection_gap", "gamma"):
            assert name in text
    for fmt in ("latex", "html"):
        text = render(table, fmt)
        for heading in (*HEADINGS.values(), "top5"):
            assert heading in text
    assert chosen_metrics(table, ["all"]) == [*HEADINGS, "top5"]


def failed(cause: str) -> Record:
    return made(make_cell(3, "ACMR", "CUB"), "failed", cause=cause)


def test_causes_are_broken_between_words_on_a_terminal_and_cut_elsewhere():
    cause = "ValueError: " + "some words of a long cause " * 6
    shown = failures([failed(cause)], 80).split("\n")
    assert all(len(line) <= 80 for line in shown)
    assert " ".join(line.split("|")[5].strip() for line in shown[2:]) == cause.strip()
    assert [line.split("|")[1].strip() for line in shown[2:]] == ["CUB", "", "", "", ""]
    (line,) = failures([failed("x" * 999)]).split("\n")[2:]
    assert line.split("|")[5].strip() == "x" * 120
    assert failed("").key.startswith(line.split("|")[4].strip())  # the folder its traceback is in
    # Whatever a cause holds, it stays in one row.
    assert failures([failed("a\n\nb | c")]).split("\n")[2].endswith("| a b \\| c |")
