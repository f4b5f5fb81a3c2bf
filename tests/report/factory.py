"""Rows of tables without records behind them."""

from __future__ import annotations

from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.scoring.summary import Summary

RULES = ("last", "val", "best_test")


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
