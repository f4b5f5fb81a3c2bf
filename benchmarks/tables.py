"""``python -m benchmarks.tables``: how long tables take to be laid out, and what reading costs.

Times of a layout are processor time; those of commands are of the whole process, imports included,
over a results folder that a first ``run`` fills with as many quick cells as asked for.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

from gzsl_bench.report.table import FORMATS, render
from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.scoring.summary import Summary

RULES = ("last", "val", "best_test")


@click.command()
@click.option("--rows", default=7200, show_default=True, help="Of the table to lay out.")
@click.option("--cells", default=200, show_default=True, help="Of the results folder.")
@click.option("--out", default="benchmark-results/tables", type=click.Path(path_type=Path))
def main(rows: int, cells: int, out: Path) -> None:
    """Lay out a large table in every format; then ``table`` and a ``run`` with nothing to do."""
    table = many(rows)
    for fmt in FORMATS:
        began = time.process_time()
        render(table, fmt)
        click.echo(f"{rows} rows as {fmt}: {time.process_time() - began:.2f} s")
    suite = out / "suite.yaml"
    out.mkdir(parents=True, exist_ok=True)
    suite.write_text(text(cells), encoding="utf-8")
    command("run", suite, "--inline")
    for name in ("table", "run"):
        took, used = command(name, suite)
        click.echo(
            f"{name} of {cells} finished cells: {took:.1f} s, {used:.1f} s of processor time"
        )


def row(dataset: str = "CUB", label: str = "ACMR", rule: str = "last", h: float = 50.0,
        n: int = 3, **other: object) -> Row:  # fmt: skip
    """A row with numbers that follow from H."""
    metrics: dict[str, Summary | None] = {
        name: Summary(h + k, 1.25 if n > 1 else None, n) for k, name in enumerate(HEADINGS)
    }
    known: dict[str, object] = {
        "dataset": dataset, "features": "res101", "attributes": "att",
        "fingerprint": "0123456789abcdef", "images": "fedcba9876543210",
        "method": label.split()[0].lower(), "label": label,
        "selection": rule, "seeds": tuple(range(n)), "metrics": metrics,
        "keys": tuple(f"{label}{seed}" for seed in range(n)), "preprocessing": "minmax",
        "setting": "inductive", "precision": "float32", "fidelity": "paper", "version": "1.0",
        "checkpoints": tuple((10 + seed,) for seed in range(n)),
    }  # fmt: skip
    return Row(**(known | other))  # type: ignore[arg-type]


def many(count: int) -> list[Row]:
    """Rows of 20 data sets, of methods with three rules each, some with two versions."""
    return [
        row(
            f"set {k // 3 % 20}",
            f"method {k // 60}",
            RULES[k % 3],
            h=k % 97,
            n=10,
            version=f"1.{k % 2}",
            selection_gap=Summary(1.0, 0.1, 10) if k % 3 == 2 else None,
        )
        for k in range(count)
    ]


def text(cells: int) -> str:
    """A suite of so many cells that train in milliseconds."""
    entries = (
        f"  - {{use: eszsl, label: E{k}, config: {{feature_penalty: {1 + k}.0}}}}\n"
        for k in range(cells)
    )
    return "name: tables\ndatasets: [digits]\nmethods:\n" + "".join(entries)


def command(name: str, suite: Path, *more: str) -> tuple[float, float]:
    """Seconds and processor seconds of a command on the suite's results, in a process of its own.

    Raises:
        CalledProcessError: it failed.
    """
    import resource

    def used() -> float:
        found = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found.ru_utime + found.ru_stime

    call = [sys.executable, "-m", "gzsl_bench", name, str(suite), "--out", str(suite.parent), *more]
    before, began = used(), time.monotonic()
    subprocess.run(call, check=True, capture_output=True)
    return time.monotonic() - began, used() - before


if __name__ == "__main__":
    main()
