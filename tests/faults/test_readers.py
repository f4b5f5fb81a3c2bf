"""Damaged and forged files of a results folder: each is one named thing, no command ends of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records_factory import edit, put_predictions

from gzsl_bench.cli.main import run
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import recall

SUITE = (
    "name: mini\ndatasets: [digits]\nselection: [last, best_test]\n"
    "methods: [eszsl, {use: eszsl, label: other, config: {feature_penalty: 10.0}}]\n"
)
DEEP = b'{"a":' * 60_000 + b"1" + b"}" * 60_000
HUGE = b'{"key": ' + b"9" * 6000 + b"}"

Damage = Callable[[Layout, str], Any]


def put(place: Callable[[Layout, str], Path], content: bytes | None) -> Damage:
    """Another content of a file; None for a folder where the file belongs."""

    def damage(layout: Layout, key: str) -> None:
        path = place(layout, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.mkdir() if content is None else path.write_bytes(content)

    return damage


def forge(place: Callable[[Layout, str], Path], **fields: Any) -> Damage:
    """Other values of some fields of a file."""

    def damage(layout: Layout, key: str) -> None:
        path = place(layout, key)
        content = json.loads(path.read_text()) | fields
        content = {n: v for n, v in content.items() if v is not ...}
        path.write_text(json.dumps(content))

    return damage


def record(layout: Layout, key: str) -> Path:
    return layout.cell(key) / "record.json"


def rescored(layout: Layout, key: str) -> Path:
    return layout.rescoring(key)


def audit(layout: Layout, key: str) -> Path:
    return layout.audits / f"{key}.json"


def suite(layout: Layout, key: str) -> Path:
    return layout.suite("bad")


def predictions(change: Callable[[dict[str, np.ndarray]], Any]) -> Damage:
    """Other arrays, with the right hash in the record."""

    def damage(layout: Layout, key: str) -> None:
        found = RecordStore(layout.out).read(key)
        assert found is not None
        arrays = found.predictions()
        change(arrays)
        put_predictions(layout.cell(key), arrays)

    return damage


def of_identity(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Another identity, in a folder whose name is its hash."""
    from gzsl_bench.suite.cells import digest

    def damage(layout: Layout, key: str) -> None:
        content = json.loads(record(layout, key).read_text())
        change(content["identity"])
        other = digest(content["identity"])
        layout.cell(key).rename(layout.cell(other))
        edit(layout.cell(other), lambda c: c.update(key=other, identity=content["identity"]))

    return damage


#: What takes the record itself away: it is named, and its row is gone.
RECORDS: dict[str, Damage] = {
    "empty": put(record, b""),
    "cut short": put(record, b'{"key": "'),
    "no text": put(record, b"\xff\xfe\x00"),
    "null": put(record, b"null"),
    "a list": put(record, b"[[]]"),
    "nested deeply": put(record, DEEP),
    "a number too long": put(record, HUGE),
    "a folder": put(record, None),
    "a file for a folder": lambda layout, key: (
        shutil.rmtree(layout.cell(key)),
        layout.cell(key).write_text("x"),
    ),
    "no identity": forge(record, identity=...),
    "identity of another": forge(record, identity={}),
    "identity null": forge(record, identity=None),
    "status a list": forge(record, status=[]),
    "status unknown": forge(record, status="done"),
    "checkpoints null": forge(record, checkpoints=None),
    "checkpoints empty": forge(record, checkpoints=[]),
    "checkpoints of lists": forge(record, checkpoints=[[]]),
    "checkpoints a number": forge(record, checkpoints=7),
    "number a text": forge(record, checkpoints=[{"number": "1", "metrics": {}}]),
    "number too large": forge(
        record, checkpoints=[{"number": 10**30, "metrics": {"harmonic_mean": 1.0}}]
    ),
    "the same number twice": forge(
        record, checkpoints=2 * [{"number": 1, "metrics": {"harmonic_mean": 1.0}}]
    ),
    "metrics null": forge(record, checkpoints=[{"number": 1, "metrics": None}]),
    "no H": forge(record, checkpoints=[{"number": 1, "metrics": {}}]),
    "a metric null": forge(record, checkpoints=[{"number": 1, "metrics": {"harmonic_mean": None}}]),
    "a metric NaN": forge(
        record, checkpoints=[{"number": 1, "metrics": {"harmonic_mean": float("nan")}}]
    ),
    "a metric that overflows": forge(
        record, checkpoints=[{"number": 1, "metrics": {"harmonic_mean": 1e308}}]
    ),
    "how to read metrics a list": forge(record, metrics=[]),
    "how to read a metric a text": forge(record, metrics={"harmonic_mean": {"percent": "yes"}}),
    "curves of texts": forge(record, curves={"loss": "high"}),
    "curves of triples": forge(record, curves={"loss": [[1, 2, 3]]}),
    "a cause that is a mapping": forge(record, status="failed", cause={}),
    "provenance null": forge(record, provenance=None),
    "started no time": forge(record, provenance={"started": "yesterday", "seconds": 1.0}),
    "seconds negative": forge(
        record, provenance={"started": "2026-01-01T00:00:00Z", "seconds": -1.0}
    ),
    "version a text": forge(record, record_version="2"),
    "an earlier version": forge(record, record_version=1),
    "a newer version": forge(record, record_version=99),
}
#: Of cells that no suite asks for: nobody looks at them but what looks at all.
STRAY: dict[str, Damage] = {
    "no method": of_identity(lambda identity: identity.pop("method")),
    "no configuration": of_identity(lambda identity: identity["method"].pop("config")),
    "a task that is a number": of_identity(lambda identity: identity.update(task=3)),
    "a fold without a number": of_identity(lambda identity: identity.update(task={"x": 1})),
}
#: What lies beside a record that stays.
BESIDE: dict[str, Damage] = {
    "rescored empty": put(rescored, b""),
    "rescored nested": put(rescored, DEEP),
    "rescored a folder": put(rescored, None),
    "rescored checkpoints null": forge(rescored, checkpoints=None),
    "rescored checkpoints of lists": forge(rescored, checkpoints=[[]]),
    "rescored metrics a number": forge(rescored, metrics=1),
    "rescored of other checkpoints": forge(rescored, checkpoints=[]),
    "rescored newer": forge(rescored, rescored_version=99),
    "audit nested": put(audit, DEEP),
    "audit a folder": put(audit, None),
    "audit a list": put(audit, b"[]"),
    "audit outcome a list": put(audit, b'{"audit_version": 1, "key": "k", "outcome": []}'),
    "audit without reason": forge(audit, outcome="failed", reason=...),
    "audit notes a number": forge(audit, notes=3),
    "audit of another": forge(audit, key="0" * 24),
}
#: Other things of the folder, which no table of this suite needs.
AROUND: dict[str, Damage] = {
    "suite empty": put(suite, b""),
    "suite nested": put(suite, DEEP),
    "suite a folder": put(suite, None),
    "suite a list": put(suite, b"[]"),
    "suite of another name": lambda layout, key: shutil.copy(
        layout.suite("mini"), suite(layout, "")
    ),
    "unit nested": put(lambda layout, key: layout.unit("abc"), DEEP),
    "run nested": put(lambda layout, key: layout.runs / "abc.json", DEEP),
    "run a list": put(lambda layout, key: layout.runs / "abc.json", b"[]"),
    "run forged": put(
        lambda layout, key: layout.runs / "abc.json",
        b'{"run": "abc", "host": [], "machine": 1, "pid": 1e400, "started": {}, "patience": -1}',
    ),
    "lease nested": put(lambda layout, key: layout.leases / f"{key}.1", DEEP),
    "lease a list": put(lambda layout, key: layout.leases / f"{key}.1", b"[]"),
    "lease forged": put(
        lambda layout, key: layout.leases / f"{key}.1", b'{"state": [], "run": {}}'
    ),
    "journal nested": put(lambda layout, key: layout.journal, DEEP + b"\n"),
    "journal forged": put(
        lambda layout, key: layout.journal, b'{"event": [], "key": {}, "status": []}\n[]\n7\n'
    ),
    "imported nested": put(lambda layout, key: layout.imported(key), DEEP),
    "latents forged": put(lambda layout, key: layout.latents(key), b"PK\x03\x04"),
}
#: Arrays that are not those of the record's checkpoints, though their hash is right.
ARRAYS: dict[str, Damage] = {
    "none": predictions(dict.clear),
    "no labels": predictions(lambda a: a.pop("labels")),
    "an empty predicted": predictions(lambda a: a.update(predicted=np.zeros((0, 0), int))),
    "too few rows": predictions(lambda a: a.update(predicted=a["predicted"][:, :5])),
    "texts": predictions(lambda a: a.update(predicted=a["predicted"].astype("U3"))),
    "no axes": predictions(lambda a: a.update(checkpoints=np.array(1))),
    "no test rows": predictions(
        lambda a: a.update(
            {n: v[..., :0] for n, v in a.items() if n.startswith(("pred", "best", "label"))}
        )
    ),
    "classes nobody knows": predictions(lambda a: a.update(predicted=a["predicted"] * 0 + 200)),
    "labels nobody knows": predictions(lambda a: a.update(labels=a["labels"] * 0 + 99)),
    "scores not finite": predictions(lambda a: a.update(best_seen=a["best_seen"] * np.nan)),
    "no seen classes": predictions(lambda a: a.update(seen=a["seen"][:0])),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A results folder with the two cells of the suite, rescored, audited and exported."""
    folder = tmp_path_factory.mktemp("mini")
    (folder / "mini.yaml").write_text(SUITE)
    out = folder / "out"
    arguments = ["--out", str(out), "--device", "cpu", "--inline", "--tracking-uri", "none"]
    assert run(["run", str(folder / "mini.yaml"), *arguments]) == 0
    layout = Layout(out)
    (one, _) = recall(layout, "mini").cells
    from gzsl_bench.records.audits import AuditStore

    store = RecordStore(out)
    found = store.read(one.key)
    assert found is not None
    store.rescore(found, found.checkpoints, found.metrics)
    AuditStore(out).write(one.key, {"outcome": "ok", "reason": "", "seconds": 1.0})
    return out


class Folder:
    """A spoilt copy, and the program."""

    def __init__(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.out, self.layout, self._capsys = out, Layout(out), capsys
        self.suite = out.parent.parent / "mini.yaml"
        self.keys = [cell.key for cell in recall(self.layout, "mini").cells]

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = run([*arguments, "--out", str(self.out)])
        said = self._capsys.readouterr()
        assert code != 70, said.err
        assert "internal error" not in said.err
        assert "Traceback" not in said.err
        return code, said.out, said.err

    def tour(self, tmp: Path) -> None:
        """Everything that only reads, none of which may end because of one file."""
        assert self("compare", "mini", "eszsl", "other")[0] in (0, 1, 2)
        assert self("rescore", "mini")[0] in (0, 1)
        assert self("records", "verify", "--deep")[0] in (0, 1)
        assert self("records", "gc")[0] == 0
        assert self("records", "export", str(tmp / "a.tar"))[0] in (0, 1)
        assert self("table", "mini", "--format", "json", "--intervals")[0] in (0, 2)


@pytest.fixture
def folder(trained, tmp_path, capsys) -> Folder:
    return Folder(Path(shutil.copytree(trained, tmp_path / "copy" / "out")), capsys)


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_that_does_not_fit_is_named_and_its_row_has_no_numbers(folder, tmp_path, case):
    RECORDS[case](folder.layout, folder.keys[0])
    code, said, told = folder("table", "mini", "--layout", "long")
    assert code == 0
    assert "| other  | last" in said
    # Its row has no numbers any more.
    assert said.count("| eszsl  | not run   | 0 | -") == said.count("| eszsl ") == 1
    assert told.count("is skipped") == 1
    assert folder.keys[0] in next(line for line in told.splitlines() if "is skipped" in line)
    code, said, _ = folder("records", "verify")
    assert code == 1
    assert folder.keys[0] in said
    folder.tour(tmp_path)


@pytest.mark.parametrize("case", STRAY)
def test_a_forged_identity_of_a_cell_that_nobody_asks_for(folder, tmp_path, case):
    STRAY[case](folder.layout, folder.keys[0])
    code, said, _ = folder("records", "verify")
    assert code == 1
    assert "identity" in said
    assert "| other" in folder("table", "mini")[1]
    folder.tour(tmp_path)


@pytest.mark.parametrize("case", BESIDE)
def test_what_lies_beside_a_record_is_named_and_the_record_stays(folder, tmp_path, case):
    BESIDE[case](folder.layout, folder.keys[0])
    code, said, told = folder("table", "mini")
    assert code == 0
    assert "| other" in said
    assert "| eszsl" in said
    assert told.count("is skipped") == 1
    code, said, _ = folder("records", "verify")
    assert code == 1
    assert f"{case.split()[0]}" in said
    folder.tour(tmp_path)


@pytest.mark.parametrize("case", AROUND)
def test_what_no_table_needs_stops_nothing(folder, tmp_path, case):
    AROUND[case](folder.layout, folder.keys[0])
    code, said, _ = folder("table", "mini")
    assert code == 0
    assert said.count("eszsl") >= 1
    folder.tour(tmp_path)
    if case.startswith("suite"):
        code, _, told = folder("table", "bad")
        assert code == 2
        assert "bad.json" in told


@pytest.mark.parametrize("case", ARRAYS)
def test_forged_predictions_are_named_where_they_are_needed(folder, tmp_path, case):
    ARRAYS[case](folder.layout, folder.keys[0])
    code, said, _ = folder("records", "verify")
    assert code == 1
    assert folder.keys[0] in said
    assert "| other" in folder("table", "mini", "--intervals")[1]
    code, _, told = folder("rescore", "mini")
    assert code == 1
    assert folder.keys[0] in told
    folder.tour(tmp_path)
