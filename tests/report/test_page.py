"""The report's page: from records alone, escaped, complete, and saying what it cannot say."""

from __future__ import annotations

import csv
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree

import markupsafe
import numpy as np
import pytest

from gzsl_bench import Config, Method, MethodSpec, NotApplicable
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import parsed, remember
from gzsl_bench.report.html.age import stale
from gzsl_bench.report.html.page import build
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results

EVIL = "<script>alert('x')</script>"


class Means(Method):
    """Nearest class mean, mixed with noise that fades from checkpoint to checkpoint."""

    class Config(Config):
        noise: float = 1.0
        outcome: str = "complete"

    def fit(self, task, run):
        import torch

        if self.config.outcome == "failed":
            raise RuntimeError(f"planted {EVIL} & more")
        if self.config.outcome == "not applicable":
            raise NotApplicable(f"no {EVIL} here")
        ridge = task.features.T @ task.features + torch.eye(task.features.shape[1])
        weights = torch.linalg.solve(ridge, task.features.T @ task.attributes[task.labels])
        generator = torch.Generator().manual_seed(run.seed)
        for number in (1, 2, 3):
            run.log(number, loss=1.0 / number)
            mixed = weights + self.config.noise / number * torch.randn(
                weights.shape, generator=generator
            )
            run.checkpoint(number, lambda x, w=mixed: x @ w @ task.attributes.T)


SUITE = f"""name: s
description: "{EVIL}"
datasets:
  - {{use: tiny, label: first}}
  - {{use: tiny, features: other}}
methods:
  - {{use: means, label: plain}}
  - {{use: means, label: "{EVIL}", config: {{noise: 0.1}}}}
  - {{use: means, label: "$\\\\frac_", config: {{noise: 9.0}}}}
  - {{use: means, label: broken, config: {{outcome: failed}}}}
  - {{use: means, label: refusing, config: {{outcome: not applicable}}}}
seeds: 2
selection: [last, val, best_test]
calibration: true
folds: 2
"""


class Tags(HTMLParser):
    """Elements, their attributes, and the text of the page."""

    def __init__(self):
        super().__init__()
        self.found, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_data):
    """The page of a small suite with everything that may go wrong in it."""
    from gzsl_bench import DatasetSpec
    from gzsl_bench.builtin.metrics import gzsl_bench_metrics
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.engine.units import plan
    from gzsl_bench.executors.inline import inline_executor
    from gzsl_bench.executors.run import run_units
    from gzsl_bench.hooks.manager import PluginInfo, Registry
    from gzsl_bench.suite.datasets import Place
    from gzsl_bench.suite.load import load_suite
    from gzsl_bench.suite.resolve import resolve

    folder = tmp_path_factory.mktemp("report")
    info = PluginInfo("inline", "tests", "1.0")
    registry = Registry(plugins=[info])

    def load(request):
        data = make_data(seed=0 if request.features == "raw" else 1)
        return replace(data, feature_set=request.features, attribute_set=request.attributes)

    registry.datasets["tiny"] = DatasetSpec("tiny", load, features="raw", attributes="made")
    registry.owners["datasets", "tiny"] = info
    registry.methods["means"] = MethodSpec("means", Means, EVIL, "paper")
    registry.owners["methods", "means"] = info
    for metric in gzsl_bench_metrics():
        registry.metrics[metric.name] = metric
        registry.owners["metrics", metric.name] = info
    path = folder / "suite.yaml"
    path.write_text(SUITE, encoding="utf-8")
    suite = resolve(load_suite(path), registry, Place(None, None))
    # Suite files refuse such names for data sets; a stored suite may come from anywhere.
    stored = json.dumps(suite.to_json()).replace('"first"', json.dumps(EVIL))
    suite = parsed(stored.encode(), suite.name)
    store = RecordStore(folder / "out")
    settings = WorkerSettings(store.layout.out, None, None, "cpu", 1)
    executor = inline_executor(registry)
    run_units(
        store, suite.cells, plan(suite.cells, registry, 1), executor, settings, lambda _: None
    )
    remember(store.layout, replace(suite, text="name: s # as it was", cells=suite.cells[:3]))
    report = build(
        Results(suite, store), folder / "page", plot_files=True, figures_into=folder / "figures"
    )
    return suite, store, report, report.path.read_text(encoding="utf-8")


def test_nothing_from_outside_becomes_markup(made):
    page = made[3]
    tags = Tags()
    tags.feed(page)
    assert "script" not in [tag for tag, _ in tags.found]
    assert "<script" not in page
    text = "".join(tags.texts)
    # Labels, data set, description, citation, suite file, causes: all there, as text.
    assert text.count(EVIL) > 20
    assert f"planted {EVIL} & more" in text
    assert f"no {EVIL} here" in text
    assert "&lt;script&gt;" in page
    assert not any(name.startswith("on") for _, attrs in tags.found for name in attrs)


def test_the_page_asks_nobody_for_anything(made):
    tags = Tags()
    tags.feed(made[3])
    for tag, attributes in tags.found:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith(("data:", "#")), (tag, name, value[:80])
    assert "url(" not in re.sub(r'<img src="[^"]*"', "", made[3])  # in a picture none is followed
    assert "@import" not in made[3]
    assert "default-src 'none'" in made[3]


def test_all_that_is_promised_is_there(made):
    suite, store, report, page = made
    tags = Tags()
    tags.feed(page)
    images = [attributes for tag, attributes in tags.found if tag == "img"]
    # H and its selection gap; curves, confusion, classes, training, losses and cost of both.
    assert len(images) == 14
    assert all(image["src"].startswith("data:image/svg+xml,") for image in images)
    assert all(image["alt"] for image in images)
    ids = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for t, a in tags.found if t == "a"]
    assert set(targets) <= set(ids)
    text = "".join(tags.texts)
    for cell in suite.cells:
        assert cell.key in text
    for row in rows(Results(suite, store)):
        if not row.unavailable:
            h = row.summary()
            assert f"{h.mean:.1f} ± {h.sd:.1f}" in text
            assert row.fingerprint in text
    about = store.read(suite.cells[0].key).provenance
    for value in (*about.versions.values(), about.hardware["processor"]):
        assert str(value) in text
    assert report.size == len(page.encode())


def test_the_first_screen_names_the_best_by_the_honest_rule(made):
    suite, store, _, page = made
    for dataset in dict.fromkeys(cell.dataset for cell in suite.cells):
        mine = [
            r for r in rows(Results(suite, store))
            if r.dataset == dataset and r.selection == "val" and not r.unavailable
        ]  # fmt: skip
        best = max(mine, key=lambda r: r.summary().mean)
        heading = str(markupsafe.escape(f"{dataset}: best by val"))
        card = page.split(f"<h3>{heading}</h3>")[1].split("</article>")[0]
        name = re.search(r'class="best">(.*?)</div>', card)[1]
        assert html.unescape(name) == best.label
        assert f"H {best.summary().mean:.1f} ±" in card
        assert "95 % interval" in card
        assert "checkpoint chosen on validation folds" in card
        assert "2 seeds" in card


def test_failures_refusals_and_too_few_data_sets_are_said(made):
    suite, _, _, page = made
    text = html.unescape(page)
    broken = sum(cell.label == "broken" for cell in suite.cells)
    refusing = sum(cell.label == "refusing" for cell in suite.cells)
    assert f"{broken} failed" in text
    assert f"{refusing} not applicable" in text
    assert "it needs at least 3 data sets on which all 3 methods (besides broken, refusing" in text
    assert " is kept as s: finished are 3 of its 3 cells, 3 of which this version has, too;" in text
    # Every card says how many methods it knows nothing of.
    lacking = "2 of 5 methods have no numbers here: broken (failed); refusing (does not apply)"
    assert text.count(lacking) == page.count('class="card"') == 2


def test_plots_come_as_files_with_their_data(made):
    suite, store, report, _ = made
    folder = report.path.parent / "plots"
    assert len(report.plots) == 14
    for name in report.plots:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (folder / f"{name}.csv").read_text(encoding="utf-8").count("\n") > 2
    # What is drawn is what is in the table: mean of classes = U, area under the curve = AUSUC.
    (table,) = [
        r for r in rows(Results(suite, store))
        if (r.dataset, r.label, r.selection) == ("tiny", "plain", "val")
    ]  # fmt: skip
    with (folder / "tiny-classes.csv").open(encoding="utf-8", newline="") as file:
        classes = list(csv.DictReader(file))
    unseen = [float(line["plain"]) for line in classes if line["part"] == "unseen"]
    assert np.mean(unseen) == pytest.approx(table.metrics["acc_unseen"].mean, abs=1e-3)
    with (folder / "tiny-curves.csv").open(encoding="utf-8", newline="") as file:
        points = [p for p in csv.DictReader(file) if p["method"] == "plain"]
    curve = [(float(p["acc_unseen"]), float(p["acc_seen"])) for p in points if p["what"] == "curve"]
    area = np.trapezoid([s for _, s in curve], [u for u, _ in curve]) / 100
    assert area == pytest.approx(table.metrics["ausuc"].mean, abs=0.6)
    (operating,) = [p for p in points if p["what"] == "val"]
    assert float(operating["acc_unseen"]) == pytest.approx(table.metrics["acc_unseen"].mean)
    with (folder / "tiny-confusion.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
        # Who has no numbers keeps the row, with the cause.
        without = {line["method"]: line["without"] for line in lines if line["without"]}
        assert without == {
            "broken": f"failed: RuntimeError: planted {EVIL} & more",
            "refusing": f"not applicable: no {EVIL} here",
        }
        assert {line["broken"] for line in classes} == {""}
        for line in (line for line in lines if not line["without"]):
            shares = [float(line[n]) for n in ("right", "wrong_within_part", "called_other_part")]
            assert sum(shares) == pytest.approx(100)


def test_a_plot_for_a_document_says_what_was_measured(made):
    suite, store, report, page = made
    assert [path.stem for path in report.figures] == [*report.plots]
    assert {path.name for path in report.figures} >= {"h.svg", "gap.svg", "tiny-cost.svg"}
    table = [row for row in rows(Results(suite, store)) if not row.unavailable]
    for path in report.figures:
        text = "".join(ElementTree.parse(path).getroot().itertext())
        assert "checkpoints by val, seeds 0, 1." in text
        for row in table:
            assert f"features {row.features}" in text
            assert f"data {row.fingerprint[:12]}" in text
            assert f"{row.label}: version {row.version}, source {row.source[:8]}" in text
    # The page has the same pictures.
    found = re.findall(r'<img src="data:image/svg\+xml,([^"]*)"', page)
    drawn = sorted(len(list(ElementTree.fromstring(unquote(text)).iter())) for text in found)
    alone = sorted(len(list(ElementTree.parse(path).getroot().iter())) for path in report.figures)
    assert [count + 1 for count in drawn] == alone  # and the description


def test_the_same_records_give_the_same_page(made, tmp_path):
    suite, store, _, page = made
    again = build(Results(suite, store), tmp_path)
    assert again.path.read_text(encoding="utf-8") == page
    assert again.plots == ()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert stale(Results(suite, store), tmp_path) == ""
    assert stale(Results(suite, store), tmp_path / "none") == ""
    # One record less, and the page is of other ones; of another suite's page nothing is known.
    fewer = Results(replace(suite, cells=suite.cells[1:]), store)
    assert "was made of other records" in stale(fewer, tmp_path)
    assert stale(Results(replace(suite, name="t"), store), tmp_path) == ""


def test_a_suite_without_any_record_is_a_page(made, tmp_path):
    suite = made[0]
    report = build(Results(suite, RecordStore(tmp_path / "none")), tmp_path)
    text = html.unescape(report.path.read_text(encoding="utf-8"))
    assert "No cell of this suite has finished" in text
    assert f"{len(suite.cells)} not run yet" in text
