"""``gzsl-bench ui`` as somebody sees it who has just finished a suite, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tracking_factory import commit, grid, make_suite
from tracking_helpers import assert_mirrors, parent

from gzsl_bench.cli.main import run
from gzsl_bench.cli.sync import ui_command
from gzsl_bench.errors import TrackingError
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import SyncReport, sync
from gzsl_bench.tracking.views import MEANS, RUNS

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
datasets:
  - digits
  - {use: digits, label: twice, preprocessing: l2}
  - {use: digits, label: thrice, preprocessing: none}
methods:
  - {use: half, label: light}
  - {use: half, label: heavy, config: {penalty: 1000}}
seeds: 3
selection: [last, best_test]
"""
#: MLflow's own complaints: it asks for a user where nobody signs in, and its table grows while it
#: is measured; on a busy machine its plots are drawn before they have a size; leaving a page
#: breaks off the load of a worker (which sends nothing: see below).
ITS_OWN = (
    "/users/current",
    "ResizeObserver loop",
    "telemetry-worker",
    # Its plots, drawn while the page has not given them a size yet: "<rect> attribute height: ...".
    "> attribute ",
)
DATA = ["digits", "twice", "thrice"]
NAMES = [
    f"{data} {label} seed {seed}"
    for data in DATA
    for label in ("light", "heavy")
    for seed in range(3)
]


@dataclass
class Shown:
    """``gzsl-bench ui`` at work.

    Attributes:
        process: the program.
        address: the page that it prints.
        out: the results folder.
    """

    process: subprocess.Popen[str]
    address: str
    out: Path

    @property
    def url(self) -> str:
        return self.address.split("/#", 1)[0]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Shown]:
    """A finished suite, and ``gzsl-bench ui`` on it; the last test ends it."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "half.py").write_text(PLUGIN)
    (folder / "shown.yaml").write_text(SUITE)
    out = folder / "results"
    out.mkdir()
    shutil.copy(empty_mlflow, out / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = ["--plugin", "half.py", "--inline", "--out", str(out)]
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert run(["run", "shown.yaml", *options]) == 0
    # No name is needed: the folder holds one suite.
    command = [sys.executable, "-m", "gzsl_bench", "ui", "--out", str(out), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"MLflow is at (http://127.0.0.1:\d+/#/experiments/\d+/runs\S+)", line)
        assert found, line
        yield Shown(process, found[1], out)
    finally:
        if process.poll() is None:
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


@pytest.mark.browser
@pytest.mark.slow
def test_a_visitor_finds_what_counts(browser, listen, shown, tmp_path):
    address, url, out = shown.address, shown.url, shown.out
    pictures = Path(os.environ.get("GZSL_BENCH_SCREENSHOTS") or tmp_path / "screenshots")
    pictures.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.set_default_timeout(180_000)
    troubles, asked = listen(page)

    # The report comes once the page is served.
    suite_run = parent(Layout(out).tracking_store, "shown").info
    until(lambda: "report.html" in artifacts(url, suite_run.run_id))

    # As on a first visit, MLflow's assistant open beside it: the best of every data set in a line.
    page.goto(address)
    page.wait_for_selector(".ag-row")
    line = page.get_by_text(re.compile(r"^Best H by last \[95 % CI\], "))
    line.wait_for()
    found = re.findall(r"(\w+) (?:light|heavy) (\d+\.\d) \[\d+, \d+\]", line.inner_text())
    assert [name for name, _ in found] == DATA
    box = line.bounding_box()
    assert box["y"] < 300
    assert box["height"] < 25  # MLflow cuts off what does not fit into one line
    assert box["x"] + box["width"] < 1050
    # Below it the means over seeds, the best H first, numbers in sight.
    until(lambda: len(column(page, "metrics.`H`")) == 6)
    assert headings(page)[:5] == ["Run Name", "Created", "H", "U", "S"]
    table = page.locator(".ag-root").inner_text()
    assert all(f"dataset: {data}, label: {m}" in table for data in DATA for m in ("light", "heavy"))
    means = [float(text.split()[0]) for text in column(page, "metrics.`H`")]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(max(float(h) for _, h in found), abs=0.06)
    page.screenshot(path=pictures / "mlflow-means.png")

    # A view of one data set, its plots those of its runs alone.
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_test_id("saved-views-item-gzsl-bench-data-2").get_by_text("twice").click()
    until(lambda: len(column(page, "metrics.`H`")) == 2)
    best = float(column(page, "metrics.`H`")[0].split()[0])
    assert best == pytest.approx(float(found[1][1]), abs=0.06)
    page.screenshot(path=pictures / "mlflow-verdict.png")

    # Every seed in a line of its own.
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_test_id("saved-views-item-gzsl-bench-runs").get_by_text("Every seed").click()
    until(lambda: sorted(column(page, "attributes.`Run Name`")) == sorted(NAMES))
    first = ["Run Name", "Created", "dataset", "label", "seed"]
    assert headings(page)[:6] == [*first, "H"]
    numbers = [float(text) for text in column(page, "metrics.`H`")]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) > 1
    page.screenshot(path=pictures / "mlflow-runs.png")

    # Another order is a click away.
    page.locator(".ag-header-cell[col-id='params.`seed`']").click()
    until(lambda: column(page, "params.`seed`") == sorted("012" * 6, reverse=True))

    # The plots beside the table, by a view's own choice of axes.
    context.close()
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    # MLflow's assistant unfolds on the first visit; a reader closes it once.
    closed = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
    context.add_init_script(f"if (self === top) localStorage.setItem('{closed}', 'true')")
    page = context.new_page()
    page.set_default_timeout(180_000)
    plots = listen(page)
    page.goto(f"{address}&compareRunsMode=CHART".replace(MEANS, RUNS))
    for marks in (".scatterlayer .point", ".parcoords", ".barlayer .point"):
        until(lambda marks=marks: page.locator(marks).count() > 0)
    # Seeds of a method have one colour, methods have two.
    fills = page.locator(".scatterlayer .point").evaluate_all(
        "all => all.map(point => getComputedStyle(point).fill)"
    )
    assert sorted(map(fills.count, set(fills))) == [9, 9]
    page.screenshot(path=pictures / "mlflow-plots.png")

    # Selected runs compared, over seeds and methods.
    page = context.new_page()  # the other one may remember the view that it showed last
    page.set_default_timeout(180_000)
    later = listen(page)
    page.goto(address.replace(MEANS, RUNS))
    page.wait_for_selector(".ag-row")
    until(lambda: len(column(page, "metrics.`H`")) == len(NAMES))
    page.locator(".ag-header-select-all:not(.ag-hidden) input").click()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text(f"Comparing {len(NAMES)} Runs").wait_for()
    until(lambda: drawn(page, ".parcoords"))
    page.get_by_role("tab", name="Scatter Plot").click()
    choose(page, "#x-axis-selector", "U")
    choose(page, "#y-axis-selector", "S")
    until(lambda: drawn(page, ".gl-canvas") and titles(page) == ["U", "S"])
    page.screenshot(path=pictures / "mlflow-scatter.png")
    page.get_by_role("tab", name="Box Plot").click()
    choose(page, "#x-axis-selector", "label")
    choose(page, "#y-axis-selector", "H")
    until(lambda: drawn(page, ".boxlayer .box") and titles(page) == ["label", "H"])
    page.screenshot(path=pictures / "mlflow-compare.png")

    # The suite's own run: the table, and the report as it is anywhere else.
    runs = f"{url}/#/experiments/{suite_run.experiment_id}/runs"
    page.goto(f"{runs}/{suite_run.run_id}/artifacts/report.html")
    frame = page.frame_locator("iframe").first
    frame.get_by_text("In one minute").first.wait_for()
    assert re.search(r"H \d+\.\d", frame.locator(".card").first.inner_text())
    assert frame.locator("figure img").count() >= 4
    page.screenshot(path=pictures / "mlflow-report.png")

    ours = [
        text
        for text in troubles + plots[0] + later[0]
        if not any(known in text for known in ITS_OWN)
    ]
    assert ours == []
    assert [
        u
        for u in asked + plots[1] + later[1]
        if not u.startswith((url, "data:", "blob:", "about:"))
    ] == []
    context.close()


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


@pytest.mark.slow
def test_the_experiment_and_its_table_are_served(shown: Shown) -> None:
    uri = Layout(shown.out).tracking_store
    number = re.search(r"experiments/(\d+)/", shown.address)
    assert number is not None
    assert number[1] == parent(uri, "shown").info.experiment_id
    found = json.loads(
        _get(f"{shown.url}/api/2.0/mlflow/experiments/get?experiment_id={number[1]}")
    )
    assert found["experiment"]["name"] == "shown"
    # The table is an artifact that the page can show.
    run_id = parent(uri, "shown").info.run_id
    assert b"| digits" in _get(f"{shown.url}/get-artifact?path=table.md&run_uuid={run_id}")


@pytest.mark.slow
def test_the_same_server_tracks_another_results_folder(shown: Shown, tmp_path: Path) -> None:
    other = RecordStore(tmp_path / "other")  # artifacts of its own choice
    cells = grid(1)
    suite = make_suite(cells, "remote")
    for cell in cells:
        commit(other, cell)
    assert sync(shown.url, Results(suite, other)) == SyncReport(created=4)
    assert sync(shown.url, Results(suite, other)) == SyncReport(unchanged=4)
    assert_mirrors(shown.url, Results(suite, other))


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(shown: Shown) -> None:
    port = shown.url.rsplit(":", 1)[1]
    taken = CliRunner().invoke(ui_command, ["--out", str(shown.out), "--port", port])
    assert isinstance(taken.exception, TrackingError)
    assert f"port {port}" in str(taken.exception)


@pytest.mark.slow
def test_ctrl_c_ends_the_server_with_all_its_processes(shown: Shown) -> None:
    """The last test of the page: it is gone afterwards."""
    process = shown.process
    children = _children(process.pid)
    assert children
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 0, rest
    assert "ended" in rest
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    with socket.socket() as probe:
        port = int(shown.url.rsplit(":", 1)[1])
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def _children(pid: int) -> list[int]:
    """All descendants of a process."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = [line.split() for line in listed.splitlines()]
    parents = {int(child): int(above) for child, above in pairs}
    found, front = [], [pid]
    while front:
        front = [child for child, above in parents.items() if above in front]
        found += front
    return [child for child in found if child != os.getpid()]


def test_no_store_yet(tmp_path: Path) -> None:
    done = CliRunner().invoke(ui_command, ["--out", str(tmp_path)])
    assert isinstance(done.exception, TrackingError)
    assert "there is no MLflow store" in str(done.exception)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_server_needs_no_server(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        ui_command, ["--out", str(tmp_path), "--tracking-uri", "http://me:pw@127.0.0.1:9"]
    )
    assert done.exit_code == 0
    assert "MLflow is at http://***@127.0.0.1:9" in done.stderr
