from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tracking_factory import commit, grid, make_suite
from tracking_helpers import assert_mirrors, client, parent

from gzsl_bench import Method, MethodSpec
from gzsl_bench.cli.main import run
from gzsl_bench.errors import RecordError
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import RecordStore
from gzsl_bench.report.html import page
from gzsl_bench.report.verdicts import Verdict
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.tracking import front, sync

NOTE = "mlflow.note.content"
EVIL = "<img src=x onerror=alert(1)> | pipe"


class Half(Method):
    """A linear map from some of the features, others for each seed."""

    def fit(self, task, run):
        mask = torch.rand(task.features.shape[1], generator=run.generator("mask")) < 0.7
        x, t = task.features * mask, task.attributes[task.labels]
        weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ t)
        return lambda rows: rows * mask @ weights @ task.attributes.T


#: Trains cells of the suite ``small``, all or the first so many.
Train = Callable[..., tuple[ResolvedSuite, RecordStore]]


@pytest.fixture
def train(make_registry, resolve_text, run_inline, empty_mlflow: Path, tmp_path: Path) -> Train:
    (tmp_path / "out").mkdir()
    shutil.copy(empty_mlflow, tmp_path / "out" / "mlflow.db")
    registry = make_registry(MethodSpec("half", Half, "none", "paper"))

    def go(count: int | None = None, label: str = "half") -> tuple[ResolvedSuite, RecordStore]:
        suite = resolve_text(
            "name: small\ndescription: made by hand\ndatasets: [tiny]\nseeds: 3\n"
            f"methods: [{{use: half, label: '{label}'}}]\nselection: [last, best_test]\n",
            registry,
        )
        _, store, _ = run_inline(suite.cells[:count], registry)
        return suite, store

    return go


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every report that is built."""
    made: list[Path] = []
    build = page.build

    def counted(*given, **more):
        report = build(*given, **more)
        made.append(report.path)
        return report

    monkeypatch.setattr(page, "build", counted)
    return made


def description(uri: str, name: str = "small") -> str:
    return str(client(uri).get_experiment_by_name(name).tags[NOTE])


def test_report_and_verdict_are_renewed_only_where_something_changed(
    train: Train, built: list[Path]
) -> None:
    suite, store = train(2)
    uri = store.layout.tracking_store
    # Nothing to put it into yet: the mirror makes the suite's run.
    assert front.refresh(uri, Results(suite, store)) is None
    assert built == []
    sync(uri, Results(suite, store))
    assert description(uri) == "made by hand"

    assert front.refresh(uri, Results(suite, store)) is None
    assert len(built) == 1
    assert not built[0].exists()  # no litter
    run_id = parent(uri, "small").info.run_id
    text = Path(client(uri).download_artifacts(run_id, "report.html")).read_text()
    assert "small: gzsl-bench report" in text
    first, *rest = description(uri).splitlines()
    h = rows(Results(suite, store))[0].summary()
    assert re.match(rf"Best H by last \[95 % CI\]: tiny half {h.mean:.1f} \[\d", first)
    assert not any(sign in description(uri) for sign in ("*", "`", "|"))
    assert "made by hand" in rest
    assert "features raw, class embedding made" in "\n".join(rest)

    assert front.refresh(uri, Results(suite, store)) is None
    sync(uri, Results(suite, store))
    assert front.refresh(uri, Results(suite, store)) is None
    assert len(built) == 1
    suite, store = train()
    sync(uri, Results(suite, store))
    assert front.refresh(uri, Results(suite, store)) is None
    assert len(built) == 2
    assert "3 seeds" in description(uri)
    assert_mirrors(uri, Results(suite, store))


def test_words_of_somebody_else_stay(train: Train) -> None:
    suite, store = train(1)
    uri = store.layout.tracking_store
    sync(uri, Results(suite, store))
    number = client(uri).get_experiment_by_name("small").experiment_id
    client(uri).set_experiment_tag(number, NOTE, "our own words")
    assert front.refresh(uri, Results(suite, store)) is None
    assert description(uri) == "our own words"


def test_a_report_that_cannot_be_built_harms_nothing(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, store = train()
    uri = store.layout.tracking_store
    sync(uri, Results(suite, store))

    def broken(*given, **more):
        raise RecordError("predictions are damaged")

    with monkeypatch.context() as patch:
        patch.setattr(page, "build", broken)
        assert "predictions are damaged" in str(front.refresh(uri, Results(suite, store)))
    assert_mirrors(uri, Results(suite, store))
    assert front.refresh(uri, Results(suite, store)) is None  # the next attempt makes up for it
    assert description(uri).startswith("Best H by last [95 % CI]: ")


def test_the_first_line_says_whether_leads_are_established(store: RecordStore) -> None:
    suite = make_suite(grid(1))
    commit(store, suite.cells[0])
    row = rows(Results(suite, store))[0]

    def card(title: str, lead: str, other: str = "", against: str = "+1.0 over b") -> Verdict:
        return Verdict(title, row, name="a", lead=lead, against=against, other=other)

    sure, level = card("D", "lead established"), card("E", "lead not established", "z")
    lone = card("F", "the only method with numbers here", against="")
    for cards, said in (
        ([sure, level], ", lead established on D"),
        ([level, level], ", no lead established"),
        ([sure, sure], ", all leads established"),
        ([level], ", lead not established"),
        ([lone], ""),
    ):
        text = front.description(suite, cards)
        assert text.startswith(f"Best H by last [95 % CI]{said}: {cards[0].title} a 48.3")
        others = "With calibrated scores (last+gamma) others lead: z on E"
        assert (others in text) == (level in cards)


def test_a_server_that_is_away_is_a_reason_not_an_error(store: RecordStore) -> None:
    suite = make_suite(grid(1))
    commit(store, suite.cells[0])
    why = front.refresh("http://me:secret@127.0.0.1:9", Results(suite, store))
    assert "does not answer" in str(why)
    assert "secret" not in str(why)


def test_the_description_holds_no_html_and_fits(train: Train, tmp_path: Path) -> None:
    suite, store = train(label=EVIL)
    cards: Any = page.build(Results(suite, store), tmp_path / "page").verdicts
    text = front.description(suite, cards)
    assert "<img" not in text
    assert "&lt;img" in text
    assert len([line for line in text.splitlines() if line.startswith("tiny: ")]) == 1
    assert len(front.description(suite, cards * 60)) <= 5000


def test_short_suites_do_not_wait_for_a_report(store: RecordStore) -> None:
    suite = make_suite(grid())  # eight cells of 12.5 s each
    for number, cell in enumerate(suite.cells, start=1):
        commit(store, cell)
        assert front.worthwhile(Results(suite, store)) is (number >= 5)


PLUGIN = """
import torch
from gzsl_bench import Method, MethodSpec, hookimpl

class Ridge(Method):
    def fit(self, task, run):
        x, t = task.features, task.attributes[task.labels]
        w = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ t)
        return lambda rows: -torch.cdist(rows @ w, task.attributes)

@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("front_ridge", Ridge, "nobody", "paper", "minmax", deterministic=True)
"""


@pytest.fixture
def forget_modules() -> Iterator[None]:
    yield
    for name in [n for n in sys.modules if n.startswith("gzsl_bench_inline_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("forget_modules")
def test_a_long_run_renews_the_front_after_its_table(
    tmp_path: Path,
    empty_mlflow: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    shutil.copy(empty_mlflow, "results/mlflow.db")
    Path("front_ridge.py").write_text(PLUGIN)
    Path("small.yaml").write_text("name: small\ndatasets: [digits]\nmethods: [front_ridge]\n")
    command = ["run", "small.yaml", "--plugin", "front_ridge.py", "--inline", "--out", "results"]
    uri = Layout(Path("results")).tracking_store

    def names() -> set[str]:
        return {f.path for f in client(uri).list_artifacts(parent(uri, "small").info.run_id)}

    assert run(command) == 0
    assert "report.html" not in names()  # milliseconds of training

    monkeypatch.setattr(front, "WORTHWHILE", 0.0)
    os.utime("results/mlflow.db")  # otherwise the store is known to be complete, and not visited

    def broken(*given, **more):
        raise RecordError("predictions are damaged")

    with monkeypatch.context() as patch:
        patch.setattr(page, "build", broken)
        capsys.readouterr()
        assert run(command) == 0
    printed = capsys.readouterr()
    assert "| digits" in printed.out
    assert "predictions are damaged" in printed.err
    assert "gzsl-bench sync small --out results" in printed.err

    assert run(command) == 0
    assert "not renewed" not in capsys.readouterr().err
    assert "report.html" in names()
