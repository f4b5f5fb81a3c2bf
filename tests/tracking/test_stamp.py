"""A store is visited unless it surely shows everything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tracking_factory import commit, make_cell, make_suite

from gzsl_bench.cli.main import run
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import stamp

CELL = make_cell("CUB", "ACMR", 0)


def results(store: RecordStore, *more: int) -> Results:
    return Results(make_suite([CELL, *(make_cell("CUB", "ACMR", seed) for seed in more)]), store)


def touched(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")


CHANGES: dict[str, Callable[[RecordStore], object]] = {
    "the store was written to": lambda store: os.utime(store.layout.out / "mlflow.db", ns=(1, 1)),
    "the store is another file": lambda store: (
        (store.layout.out / "copy").write_bytes((store.layout.out / "mlflow.db").read_bytes()),
        (store.layout.out / "copy").replace(store.layout.out / "mlflow.db"),
    ),
    "the store is gone": lambda store: (store.layout.out / "mlflow.db").unlink(),
    "metrics were computed again": lambda store: touched(store.layout.rescoring(CELL.key)),
    "the cell was audited": lambda store: touched(store.layout.audits / f"{CELL.key}.json"),
    "the record is another one": lambda store: touched(store.layout.cell(CELL.key) / "record.json"),
    "the stamp is damaged": lambda store: store.layout.mirrored("small").write_text("[" * 999),
}


def test_a_stamp_holds_as_long_as_nothing_changes(store: RecordStore, uri: str) -> None:
    commit(store, CELL)
    assert not stamp.holds(uri, results(store))
    stamp.leave(uri, results(store))
    assert stamp.holds(uri, results(store))
    assert not stamp.holds(uri, results(store, 1))  # another suite of that name
    assert not stamp.holds("http://127.0.0.1:9", results(store))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_ends_it(
    change: Callable[[RecordStore], object], store: RecordStore, uri: str
) -> None:
    commit(store, CELL)
    stamp.leave(uri, results(store))
    change(store)
    assert not stamp.holds(uri, results(store))


def test_a_server_s_store_has_none(store: RecordStore) -> None:
    stamp.leave("http://127.0.0.1:9", results(store))
    assert not store.layout.mirrored("small").exists()


def test_a_run_with_nothing_to_do_leaves_the_store_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "mini.yaml"
    suite.write_text("name: mini\ndatasets: [digits]\nmethods: [eszsl]\n")
    call = ["run", str(suite), "--out", str(tmp_path / "out"), "--executor", "inline"]
    assert run(call) == 0
    first = capfd.readouterr().out
    visits = []
    real = stamp.holds
    monkeypatch.setattr(stamp, "holds", lambda *a: visits.append(real(*a)) or visits[-1])
    assert run(call) == 0
    assert visits == [True]
    assert capfd.readouterr().out == first
    os.utime(tmp_path / "out" / "mlflow.db")
    assert run(call) == 0
    assert visits == [True, False]
