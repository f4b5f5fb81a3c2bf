"""``suites/ps_all.yaml`` is Table 2 of the ACMR paper: our rows beside the printed ones.

The suite is resolved as it ships, with the installed methods and their own configuration for each
data set; small data stand in for the benchmarks, and records are written by hand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records_factory import commit

from gzsl_bench import DatasetSpec
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.published.beside import beside
from gzsl_bench.records.store import RecordStore
from gzsl_bench.report.beside import render_beside
from gzsl_bench.report.html.page import build
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.suite.datasets import Place
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.resolve import resolve

ROOT = Path(__file__).parents[2]
NAMES = ("acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc", "ausuc")
#: H of ACMR and of CADA-VAE as Table 2 prints it.
PRINTED = {
    "CUB": (55.3, 52.4), "SUN": (43.8, 40.6), "AWA1": (67.5, 64.1), "AWA2": (68.7, 63.9),
}  # fmt: skip


@pytest.fixture
def ours(make_data, tmp_path):
    """The suite as it ships, and records with H = 50 at each cell's only checkpoint."""
    registry = load_plugins()
    data = make_data()
    for name in PRINTED:
        registry.datasets[name] = DatasetSpec(
            name,
            lambda request: replace(
                data, name=request.name, feature_set=request.features,
                attribute_set=request.attributes,
            ),
            features="res101",
            attributes="att",
        )  # fmt: skip
    loaded = load_suite(ROOT / "suites" / "ps_all.yaml")
    check_names(loaded, registry, ())
    suite = resolve(loaded, registry, Place(None, None))
    store = RecordStore(tmp_path / "out")
    metrics = dict(zip(NAMES, (49.0, 51.0, 50.0, 52.0, 30.0), strict=True))
    tests = np.concatenate([data.test_seen, data.test_unseen])
    labels = data.labels[tests]
    unseen = np.unique(data.labels[data.test_unseen])
    seen = np.setdiff1d(np.unique(data.labels), unseen)
    arrays = {
        "labels": labels, "seen": seen, "unseen": unseen, "checkpoints": np.array([1]),
        "predicted": labels[None], "predicted_seen": np.full((1, labels.size), seen[0]),
        "predicted_unseen": np.full((1, labels.size), unseen[0]), "scored": np.array([1]),
        "best_seen": np.zeros((1, labels.size)), "best_unseen": np.ones((1, labels.size)),
    }  # fmt: skip
    for cell in suite.cells:
        rows_ = [{"number": 1, "metrics": metrics}]
        commit(store, cell, {"checkpoints": rows_}, None if cell.fold else arrays)
    return suite, store


def test_every_row_of_ours_that_table_2_prints_has_a_difference(ours):
    suite, store = ours
    results = Results(suite, store)
    lines = [
        line
        for line in beside(rows(results), results)
        if line["source"].endswith("Table 2") and line["selection"] == "last"
    ]
    found = {
        (line["dataset"], line["label"]): line["difference"] and line["difference"]["harmonic_mean"]
        for line in lines
    }
    wanted = {
        (name, label): pytest.approx(50.0 - h)
        for name, printed in PRINTED.items()
        for label, h in zip(("ACMR", "CADA-VAE"), printed, strict=True)
    }
    assert {place: found.get(place) for place in wanted} == wanted


def test_the_table_and_the_report_show_them(ours, tmp_path):
    suite, store = ours
    results = Results(suite, store)
    text = render_beside(rows(results), results)
    for name in PRINTED:
        assert any(
            line.startswith(f"| {name} ") and "Table 2" in line for line in text.splitlines()
        )
    page = build(Results(suite, store), tmp_path).path.read_text(encoding="utf-8")
    section = page[page.index('<section id="published">') : page.index('<section id="failures">')]
    comparable = section[: section.index("<details>")]
    for name, (acmr, cada_vae) in PRINTED.items():
        for h in (acmr, cada_vae):
            assert f"/{h}" in comparable, (name, h)


def test_its_small_twin_is_named_beside_it():
    text = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| `ps_all.yaml`")]
    assert "Table 2" in line
    assert "real_small.yaml" in line
