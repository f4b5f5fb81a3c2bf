"""``gzsl-bench ui`` as somebody sees it who has just finished a suite."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tracking_helpers import parent

from gzsl_bench.cli.main import run
from gzsl_bench.records.layout import Layout

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: A linear map from a random half of the features: seeds differ, and it takes milliseconds.
PLUGIN = textwrap.dedent("""
    import torch
    from gzsl_bench import Config, Method, MethodSpec, hookimpl

    class Half(Method):
        class Config(Config):
            penalty: float = 1.0

        def fit(self, task, run):
            x, t = task.features, task.attributes[task.labels]
            mask = (torch.rand(x.shape[1], generator=run.generator("mask")) < 0.5).to(x)
            x = x * mask
            w = torch.linalg.solve(x.T @ x + self.config.penalty * torch.eye(x.shape[1]), x.T @ t)
            run.log(1, loss=float(((x @ w - t) ** 2).mean()))
            return lambda f: -torch.cdist(f * mask @ w, task.attributes)

    @hookimpl
    def gzsl_bench_methods():
        yield MethodSpec("half", Half, "nobody", "paper", "minmax")
""")
SUITE = """
name: shown
description: Two configurations of a linear map on the embedded digits.
datasets: [digits]
methods:
  - {use: half, label: light}
  - {use: half, label: heavy, config: {penalty: 1000}}
seeds: 3
selection: [last, best_test]
"""
#: MLflow's own complaints: it asks for a user where nobody signs in, and its table grows while it
#: is measured; leaving a page breaks off the load of a worker (which sends nothing: see below).
ITS_OWN = ("/users/current", "ResizeObserver loop", "telemetry-worker")
NAMES = [f"digits {label} seed {seed}" for label in ("light", "heavy") for seed in range(3)]


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A finished suite, and the address that ``gzsl-bench ui`` prints for it."""
    monkeypatch.chdir(tmp_path)
    Path("half.py").write_text(PLUGIN)
    Path("shown.yaml").write_text(SUITE)
    out = tmp_path / "results"
    assert run(["run", "shown.yaml", "--plugin", "half.py", "--inline", "--out", str(out)]) == 0
    # No name is needed: the folder holds one suite.
    command = [sys.executable, "-m", "gzsl_bench", "ui", "--out", str(out), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"MLflow is at (http://\S+)", line)
        assert found, line
        yield found[1], out
    finally:
        process.terminate()
        process.wait(20)
        for name in [n for n in sys.modules if n.startswith("gzsl_bench_inline_")]:
            del sys.modules[name]


def column(page: Any, name: str) -> list[str]:
    """A column of the runs table from top to bottom."""
    found = page.evaluate(
        """name => [...document.querySelectorAll('.ag-row')]
            .map(row => [Number(row.getAttribute('row-index')),
                         [...row.querySelectorAll('[col-id]')]
                            .find(cell => cell.getAttribute('col-id') === name)])
            .filter(([_, cell]) => cell).sort((a, b) => a[0] - b[0])
            .map(([_, cell]) => cell.innerText.trim().split('\\n').pop())""",
        name,
    )
    return list(found)


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait; patiently, since a busy machine takes a minute to draw MLflow's plots."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def headings(page: Any) -> list[str]:
    """The headings from left to right."""
    found = page.evaluate(
        """() => [...document.querySelectorAll('.ag-header-cell')]
            .map(cell => [cell.getBoundingClientRect().x, cell.innerText.trim()])
            .sort((a, b) => a[0] - b[0]).map(([_, text]) => text).filter(text => text)"""
    )
    return list(found)


def artifacts(url: str, run_id: str) -> list[str]:
    address = f"{url}/api/2.0/mlflow/artifacts/list?run_id={run_id}"
    with urllib.request.urlopen(address, timeout=20) as answer:
        return [file["path"] for file in json.load(answer).get("files", ())]


def choose(page: Any, selector: str, option: str) -> None:
    page.locator(f"{selector}:visible").click()
    page.get_by_role("option", name=option, exact=True).click()


def drawn(page: Any, marks: str) -> bool:
    """Whether a plot with these marks is on the page, large enough to be looked at."""
    plots = page.locator(f".js-plotly-plot:visible:has({marks})")
    return plots.count() > 0 and plots.first.bounding_box()["width"] > 200


def titles(page: Any) -> list[str]:
    """What stands at the axes of the plot that is shown."""
    found = page.locator(".js-plotly-plot:visible :is(.xtitle, .ytitle)")
    return [text.strip() for text in found.all_text_contents()]


def test_a_visitor_finds_what_counts(browser, listen, shown, tmp_path):
    address, out = shown
    url = address.split("/#", 1)[0]
    pictures = Path(os.environ.get("GZSL_BENCH_SCREENSHOTS") or tmp_path / "screenshots")
    pictures.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": 1400, "height": 820})
    # MLflow's assistant unfolds on the first visit; a reader closes it once.
    closed = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
    context.add_init_script(f"if (self === top) localStorage.setItem('{closed}', 'true')")
    page = context.new_page()
    page.set_default_timeout(180_000)
    troubles, asked = listen(page)

    # The report comes once the page is served.
    suite_run = parent(Layout(out).tracking_store, "shown").info
    until(lambda: "report.html" in artifacts(url, suite_run.run_id))

    # The address opens every seed, the best H first, axes and numbers before all else.
    page.goto(address)
    page.wait_for_selector(".ag-row")
    until(lambda: len(column(page, "metrics.`harmonic_mean`")) == 6)
    first = ["Run Name", "Created", "dataset", "label", "seed"]
    assert headings(page)[:8] == [*first, "acc_unseen", "acc_seen", "harmonic_mean"]
    assert sorted(column(page, "attributes.`Run Name`")) == sorted(NAMES)
    numbers = [float(text) for text in column(page, "metrics.`harmonic_mean`")]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) > 1
    assert page.get_by_test_id("saved-views-trigger").inner_text() == "Every seed, best H first"
    assert "Best by last: digits: " in page.locator("body").inner_text()
    page.screenshot(path=pictures / "mlflow-runs.png")

    # Another order is a click away.
    page.locator(".ag-header-cell[col-id='params.`seed`']").click()
    until(lambda: column(page, "params.`seed`") == ["2", "2", "1", "1", "0", "0"])

    # The other view: one line per data set and method, the means over its seeds.
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_test_id("saved-views-item-gzsl-bench-means").get_by_text("Means").click()
    until(lambda: len(column(page, "metrics.`harmonic_mean`")) == 2)
    table = page.locator(".ag-root").inner_text()
    assert all(f"dataset: digits, label: {label}" in table for label in ("light", "heavy"))
    means = [float(text.split()[0]) for text in column(page, "metrics.`harmonic_mean`")]
    assert sum(means) / 2 == pytest.approx(sum(numbers) / 6)
    page.screenshot(path=pictures / "mlflow-means.png")

    # The plots beside the table, by a view's own choice of axes.
    page.goto(f"{address}&compareRunsMode=CHART")
    for marks in (".scatterlayer .point", ".parcoords", ".barlayer .point"):
        until(lambda marks=marks: page.locator(marks).count() > 0)
    # Seeds of a method have one colour, methods have two.
    fills = page.locator(".scatterlayer .point").evaluate_all(
        "all => all.map(point => getComputedStyle(point).fill)"
    )
    assert sorted(map(fills.count, set(fills))) == [3, 3]
    page.screenshot(path=pictures / "mlflow-plots.png")

    # Selected runs compared, over seeds and methods.
    page.goto(address)
    page.reload()
    page.wait_for_selector(".ag-row")
    until(lambda: len(column(page, "metrics.`harmonic_mean`")) == 6)
    page.locator(".ag-header-select-all:not(.ag-hidden) input").click()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("Comparing 6 Runs").wait_for()
    until(lambda: drawn(page, ".parcoords"))
    page.get_by_role("tab", name="Scatter Plot").click()
    choose(page, "#x-axis-selector", "acc_unseen")
    choose(page, "#y-axis-selector", "acc_seen")
    until(lambda: drawn(page, ".gl-canvas") and titles(page) == ["acc_unseen", "acc_seen"])
    page.screenshot(path=pictures / "mlflow-scatter.png")
    page.get_by_role("tab", name="Box Plot").click()
    choose(page, "#x-axis-selector", "label")
    choose(page, "#y-axis-selector", "harmonic_mean")
    until(lambda: drawn(page, ".boxlayer .box") and titles(page) == ["label", "harmonic_mean"])
    page.screenshot(path=pictures / "mlflow-compare.png")

    # The suite's own run: the table, and the report as it is anywhere else.
    runs = f"{url}/#/experiments/{suite_run.experiment_id}/runs"
    page.goto(f"{runs}/{suite_run.run_id}/artifacts/report.html")
    frame = page.frame_locator("iframe").first
    frame.get_by_text("In one minute").first.wait_for()
    assert re.search(r"H \d+\.\d", frame.locator(".card").first.inner_text())
    assert frame.locator("figure img").count() >= 4
    page.screenshot(path=pictures / "mlflow-report.png")

    ours = [text for text in troubles if not any(known in text for known in ITS_OWN)]
    assert ours == []
    assert [u for u in asked if not u.startswith((url, "data:", "blob:", "about:"))] == []
    context.close()
