"""Records checked, exported and merged; archives that are none of ours are refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_factory import commit, edit, make_cell, put_predictions

from gzsl_bench import Method, MethodSpec
from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.errors import RecordError
from gzsl_bench.records import journal, rescored, tarball
from gzsl_bench.records import merge as merge_module
from gzsl_bench.records.export import FORMAT, export
from gzsl_bench.records.imported import believed
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.merge import merge
from gzsl_bench.records.record import FAILED, Checkpoint
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import recall, remember
from gzsl_bench.records.verify import checked, verify
from gzsl_bench.results.rescore import rescore
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results

METRICS = {spec.name: spec for spec in gzsl_bench_metrics()}
TEXT = "name: small\ndatasets: [tiny]\nmethods: [ridge]\nseeds: 3\nselection: [last, best_test]\n"


class Ridge(Method):
    shift = 0.0

    def fit(self, task, run):
        import torch

        x, y = task.features.double(), task.attributes.double()[task.labels]
        w = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
        for number in (1, 2):
            noise = torch.randn(w.shape, generator=run.generator(f"noise {number}")).double()
            mine = w + (0.3 + self.shift) * noise
            run.checkpoint(number, lambda v, m=mine: v.double() @ m @ task.attributes.double().T)


def train(out: Path, make_registry, resolve_text, run_inline, text=TEXT, **options):
    registry = make_registry(MethodSpec("ridge", Ridge, citation="", fidelity="paper"))
    suite = resolve_text(text, registry, **options)
    _, store, _ = run_inline(suite.cells, registry, out=out)
    remember(store.layout, suite)
    return store, suite


@pytest.fixture
def home(tmp_path, make_registry, resolve_text, run_inline):
    return train(tmp_path / "home", make_registry, resolve_text, run_inline)


def records(store: RecordStore) -> dict[str, bytes]:
    folder = store.layout.cells
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def change(store: RecordStore, key: str, **fields) -> None:
    path = store.layout.cell(key) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


# Checking ----------------------------------------------------------------------------------------


def test_a_sound_folder_has_nothing_to_report(home):
    store, suite = home
    found = verify(store, metrics=METRICS)
    assert (found.records, found.complete, found.failed) == (3, 3, 0)
    assert found.problems == found.notes == []
    assert verify(store, [suite.cells[0].key, "f" * 24]).records == 1


def damage_npz(folder: Path) -> None:
    raw = bytearray((folder / "predictions.npz").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "predictions.npz").write_bytes(raw)


def swap(folder: Path) -> None:
    other = next(p for p in folder.parent.iterdir() if p != folder)
    (folder / "predictions.npz").write_bytes((other / "predictions.npz").read_bytes())


def rows_of(checkpoints: list[dict]) -> list[Checkpoint]:
    return [Checkpoint(row["number"], row["metrics"]) for row in checkpoints]


DAMAGE = {
    "are not those that were recorded": damage_npz,
    "their SHA-256 is not": swap,
    "is missing": lambda f: (f / "predictions.npz").unlink(),
    "no record.json": lambda f: (f / "record.json").unlink(),
    "Invalid JSON": lambda f: (f / "record.json").write_text('{"key'),
    "is no file of a record": lambda f: (f / "more").write_text(""),
    "is no plain file": lambda f: (
        (f / "log.txt").unlink(),
        (f / "log.txt").symlink_to("record.json"),
    ),
    "the key is not of this cell": lambda f: edit(f, lambda c: c["identity"].update(seed=99)),
    "has the key 'x'": lambda f: edit(f, lambda c: c.update(key="x")),
    "newer gzsl-bench": lambda f: edit(f, lambda c: c.update(record_version=99)),
    "status: Input should be": lambda f: edit(f, lambda c: c.update(status="good")),
    "identity: Field required": lambda f: edit(f, lambda c: c.pop("identity")),
    "has no checkpoints": lambda f: edit(f, lambda c: c.update(checkpoints=[])),
    "hold no checkpoint 7": lambda f: edit(f, lambda c: c["checkpoints"][0].update(number=7)),
    "harmonic_mean: Input should be a valid number": lambda f: edit(
        f, lambda c: c["checkpoints"][0]["metrics"].update(harmonic_mean="9")
    ),
    "harmonic_mean: Input should be a finite number": lambda f: edit(
        f, lambda c: c["checkpoints"][0]["metrics"].update(harmonic_mean=float("nan"))
    ),
    "its name is no key": lambda f: f.rename(f.with_name("x")),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_each_damage_is_found_and_named(home, said):
    store, suite = home
    DAMAGE[said](store.layout.cell(suite.cells[1].key))
    found = verify(store)
    assert any(said in problem for problem in found.problems), found.problems
    assert found.problems[0].startswith("cells/")
    assert found.records == 3


def test_a_forged_metric_is_found_by_computing_it_again(home):
    store, suite = home
    key = suite.cells[0].key
    content = json.loads((store.layout.cell(key) / "record.json").read_text())
    content["checkpoints"][1]["metrics"]["ausuc"] += 0.01
    change(store, key, checkpoints=content["checkpoints"])
    found = verify(store)
    assert (found.problems, found.believed) == ([], {"ausuc"})
    found = verify(store, metrics=METRICS)
    assert "ausuc at checkpoint 2 is" in found.problems[0]
    assert found.believed == set()
    content["checkpoints"][1]["metrics"]["ausuc"] -= 0.01
    content["checkpoints"][1]["metrics"]["harmonic_mean"] += 0.01
    change(store, key, checkpoints=content["checkpoints"])
    (problem,) = verify(store).problems  # at no cost worth a flag
    assert "harmonic_mean at checkpoint 2 is" in problem
    # A rescoring is what counts, so it is what is checked.
    raw = (store.layout.cell(key) / "record.json").read_bytes()
    content["checkpoints"][1]["metrics"]["harmonic_mean"] -= 0.01
    rescored.write(
        store.layout, key, rescored.fingerprint(raw), rows_of(content["checkpoints"]), {}
    )
    assert verify(store, metrics=METRICS).problems == []


def test_a_record_that_is_gone_and_lines_cut_short(home):
    store, suite = home
    key = suite.cells[2].key
    for path in store.layout.cell(key).iterdir():
        path.unlink()
    store.layout.cell(key).rmdir()
    with store.layout.journal.open("a") as file:
        file.write('{"time": "2026-0')
    found = verify(store)
    assert found.problems == [f"cells/{key}: the journal has it as committed, but it is gone"]
    lines = len(store.layout.journal.read_text().splitlines())
    assert found.notes == [
        f"journal.jsonl: 1 line cut short, as by a crash (the first is line {lines})"
    ]


def test_a_bomb_is_not_unpacked(home, monkeypatch):
    """A record whose arrays would fill the memory is refused by what its directory says."""
    store, suite = home
    folder = store.layout.cell(suite.cells[0].key)
    put_predictions(folder, {"labels": np.zeros(2**26, np.uint8)})
    monkeypatch.setattr("gzsl_bench.records.record.MOST_UNPACKED", 32 * 2**20)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(RecordError, match="more than"):
        checked(folder)


def forged_h(store, key):
    def forge(content):
        content["checkpoints"][-1]["metrics"]["harmonic_mean"] = 74.0

    edit(store.layout.cell(key), forge)


def test_an_import_believes_no_number(home, tmp_path):
    store, suite = home
    key = suite.cells[0].key
    forged_h(store, key)
    export(store, tmp_path / "a.tar")
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    found = merge(away, tmp_path / "a.tar")
    assert (found.added, found.believed) == (2, set())
    (refused,) = found.refused
    assert refused.startswith(f"cells/{key}: harmonic_mean at checkpoint")
    assert "but 74.0 is recorded" in refused
    assert away.read(key) is None
    assert believed(away.layout, [c.key for c in suite.cells]) == {}


@pytest.mark.parametrize("version", ["0", "1"])
def test_another_version_of_a_formula_excuses_no_contradiction(home, version):
    """H follows from U and S, whoever computed them."""
    store, suite = home
    key = suite.cells[0].key
    forged_h(store, key)
    edit(
        store.layout.cell(key),
        lambda c: [about.update(version=version) for about in c["metrics"].values()],
    )
    (problem,) = verify(store).problems
    assert "74.0" in problem


def test_what_is_taken_without_a_look_is_marked_until_it_is_computed(home, tmp_path, make_registry):
    store, suite = home
    key = suite.cells[0].key
    forged_h(store, key)
    export(store, tmp_path / "a.tar")
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    found = merge(away, tmp_path / "a.tar", None)
    assert (found.added, found.refused) == (3, [])
    assert "harmonic_mean" in found.believed
    assert believed(away.layout, [key]) == {key: tuple(sorted(found.believed))}
    before = (away.layout.cell(key) / "record.json").read_bytes()
    assert before == (store.layout.cell(key) / "record.json").read_bytes()
    rescore(Results(suite, away), make_registry())
    assert believed(away.layout, [key]) == {}
    assert away.read(key).checkpoints[-1].metrics["harmonic_mean"] != 74.0
    assert (away.layout.cell(key) / "record.json").read_bytes() == before


def test_a_metric_that_is_not_installed_is_believed_and_said(home, tmp_path):
    store, suite = home
    key = suite.cells[0].key
    edit(
        store.layout.cell(key),
        lambda c: [row["metrics"].update(top5=12.5) for row in c["checkpoints"]],
    )
    export(store, tmp_path / "a.tar")
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    assert merge(away, tmp_path / "a.tar").believed == {"top5"}
    assert believed(away.layout, [c.key for c in suite.cells]) == {key: ("top5",)}


# There and back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_what_is_exported_is_imported(home, tmp_path, name):
    store, suite = home
    done = export(store, tmp_path / name)
    assert (done.records, done.suites, done.failed, done.damaged) == (3, ["small"], 0, [])
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    found = merge(away, tmp_path / name)
    assert (found.added, found.known, found.refused, found.suites) == (3, 0, [], ["small"])
    assert records(away) == records(store)
    assert verify(away, metrics=METRICS).problems == []
    # The table needs nothing but what was imported.
    assert [r.to_json() for r in rows(Results(recall(away.layout, "small"), away))] == [
        r.to_json() for r in rows(Results(suite, store))
    ]
    assert not list(away.layout.scratch.iterdir())
    # Once more changes nothing.
    stamps = [p.stat().st_mtime_ns for p in sorted(away.layout.cells.rglob("*"))]
    found = merge(away, tmp_path / name)
    assert (found.added, found.known, found.differing) == (0, 3, {})
    assert [p.stat().st_mtime_ns for p in sorted(away.layout.cells.rglob("*"))] == stamps
    # Ordinary tools read it.
    with tarfile.open(tmp_path / name) as archive:
        names = archive.getnames()
        assert names == ["manifest.json", *sorted(names[1:])]
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime, m.mode) for m in archive} == {
            (0, 0, "", "", 0, 0o644)
        }


def test_the_same_records_give_the_same_bytes(home, tmp_path):
    store, _ = home
    export(store, tmp_path / "one.tar.gz")
    for path in store.layout.cells.rglob("*"):
        os.utime(path, (1, 1))
    export(store, tmp_path / "two.tar.gz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    with pytest.raises(RecordError, match="exists already"):
        export(store, tmp_path / "one.tar.gz")


def test_rescorings_and_audits_travel_and_failures_do_not(home, tmp_path):
    from gzsl_bench.records.audits import OK, AuditStore

    store, suite = home
    one, two = (c.key for c in suite.cells[:2])
    raw = (store.layout.cell(one) / "record.json").read_bytes()
    checkpoints = json.loads(raw)["checkpoints"]
    checkpoints[0]["metrics"]["extra"] = 12.5
    rescored.write(store.layout, one, rescored.fingerprint(raw), rows_of(checkpoints), {})
    AuditStore(store.layout.out).write(two, {"outcome": OK, "reason": ""})
    commit(store, make_cell(), {"status": FAILED})
    edit(store.layout.cell(suite.cells[2].key), lambda c: c.update(status="good"))
    done = export(store, tmp_path / "a.tar", "small")
    assert (done.records, done.failed, len(done.damaged)) == (2, 0, 1)
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    found = merge(away, tmp_path / "a.tar")
    assert (found.added, found.rescored, found.audits) == (2, 1, 1)
    assert away.read(one).checkpoints[0].metrics["extra"] == 12.5
    assert AuditStore(away.layout.out).settled(two)


def test_partial_runs_of_one_suite_add_up_to_its_table(
    tmp_path, make_registry, resolve_text, run_inline
):
    made = (make_registry, resolve_text, run_inline)
    one, _ = train(tmp_path / "one", *made, seeds=[0, 1])
    two, _ = train(tmp_path / "two", *made, seeds=[2])
    whole, suite = train(tmp_path / "whole", *made)
    export(two, tmp_path / "two.tar")
    merge(one, tmp_path / "two.tar")
    assert [r.to_json() for r in rows(Results(recall(one.layout, "small"), one))] == [
        r.to_json() for r in rows(Results(suite, whole))
    ]
    # An edited suite of that name does not replace ours.
    other, _ = train(tmp_path / "other", *made, text=TEXT + "description: other\n")
    export(other, tmp_path / "other.tar")
    found = merge(one, tmp_path / "other.tar")
    assert list(found.differing)[-1] == "suites/small"
    assert recall(one.layout, "small").text == TEXT


def test_the_first_record_stays_and_what_differs_is_said(
    home, tmp_path, make_registry, resolve_text, run_inline, monkeypatch
):
    store, suite = home
    monkeypatch.setattr(Ridge, "shift", 0.5)
    away, _ = train(tmp_path / "away", make_registry, resolve_text, run_inline)
    keys = [c.key for c in suite.cells]
    assert [c.name for c in sorted(away.layout.cells.iterdir())] == sorted(keys)
    # The second has the same numbers, and came about elsewhere.
    for path in store.layout.cell(keys[1]).iterdir():
        (away.layout.cell(keys[1]) / path.name).write_bytes(path.read_bytes())
    edit(away.layout.cell(keys[1]), lambda c: c["provenance"].update(hardware={"cpu": "another"}))
    export(store, tmp_path / "a.tar")
    before = records(away)
    found = merge(away, tmp_path / "a.tar")
    assert (found.added, found.known) == (0, 0)
    assert records(away) == before
    mine = json.loads(before[f"{keys[0]}/record.json"])["checkpoints"][1]["metrics"]
    theirs = json.loads(records(store)[f"{keys[0]}/record.json"])["checkpoints"][1]["metrics"]
    name = min(n for n in mine if mine[n] != theirs[n])
    assert found.differing[keys[0]][0] == (
        f"the metrics: {name} at checkpoint 2 is {mine[name]} here, {theirs[name]} there"
    )
    assert found.differing[keys[1]] == ["how it came about (hardware)"]


def test_a_failure_gives_way_to_an_imported_success(home, tmp_path):
    store, suite = home
    away, key = RecordStore(tmp_path / "away"), suite.cells[0].key
    commit(away, suite.cells[0], {"status": FAILED})
    export(store, tmp_path / "a.tar")
    assert merge(away, tmp_path / "a.tar").added == 3
    assert away.finished(key)
    assert (away.layout.failed / f"{key}-1").is_dir()
    assert [e["event"] for e in journal.read(away.layout.journal)].count("imported") == 3


# What is no archive of ours ----------------------------------------------------------------------


def build(path: Path, members, manifest=None) -> Path:
    """An archive with the given members (``TarInfo``, bytes) behind a manifest that names them."""
    if manifest is None:
        manifest = {
            "format": FORMAT,
            "version": 1,
            "files": {
                i.name: {"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)}
                for i, c in members
            },
        }
    head = json.dumps(manifest).encode()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in [(tarfile.TarInfo("manifest.json"), head), *members]:
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


KEY = "0123456789abcdef01234567"
NAMES = [
    "/etc/passwd", "../outside", "cells/../../outside", f"cells/{KEY}/../../../outside",
    f"/cells/{KEY}/record.json", f"cells/{KEY}/record.json/../x", f"./cells/{KEY}/record.json",
    f"cells/{KEY}/other", f"cells/{KEY}", "cells/short/record.json", "suites/../x.json",
    "suites/.hidden.json", "suites/a/b.json", "journal.jsonl", "mlflow.db", ".lock", "",
    f"cells/{KEY}/record.json\n", f"cells\\{KEY}\\record.json", f"cells/{KEY.upper()}/record.json",
    "units/x.json", "tmp/x", f"suites/{'x' * 81}.json",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_no_record_has_are_refused(tmp_path, name):
    away = RecordStore(tmp_path / "deep" / "away")
    away.layout.out.mkdir(parents=True)
    path = build(tmp_path / "a.tar", [(member(name), b"x")])
    with pytest.raises(RecordError, match="is refused: .*(no name of a file|no plain file)"):
        merge(away, path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "away", "deep"]


KINDS = {
    "symbolic link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "folder": tarfile.DIRTYPE,
    "device": tarfile.CHRTYPE, "block device": tarfile.BLKTYPE, "pipe": tarfile.FIFOTYPE,
    "sparse": tarfile.GNUTYPE_SPARSE, "long name": tarfile.GNUTYPE_LONGNAME, "pax": b"x",
    "global pax": b"g",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_is_refused(tmp_path, kind):
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    name = f"cells/{KEY}/record.json"
    path = build(tmp_path / "a.tar", [(member(name, KINDS[kind], "/etc/passwd"), b"")])
    with pytest.raises(RecordError, match="no plain file"):
        merge(away, path)
    assert not away.layout.cells.exists()


def test_sizes_are_limited_before_anything_is_written(tmp_path, monkeypatch):
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    name = f"cells/{KEY}/log.txt"
    entry = {"sha256": "0" * 64, "size": 2**40}
    manifest = {"format": FORMAT, "version": 1, "files": {name: entry}}
    path = build(tmp_path / "a.tar", [(member(name), b"x")], manifest)
    with pytest.raises(RecordError, match="at most 16777216 are taken"):
        merge(away, path)
    many = {f"cells/{n:024x}/predictions.npz": {**entry, "size": 2**31} for n in range(10**4)}
    path = build(tmp_path / "b.tar", [], {**manifest, "files": many})
    with pytest.raises(RecordError, match="more than 200 times its size"):
        merge(away, path)
    monkeypatch.setattr(tarball, "MOST_RATIO", 2**60)
    with pytest.raises(RecordError, match="has room for"):
        merge(away, path)
    # More in the member than its manifest says.
    path = build(
        tmp_path / "c.tar", [(member(name), b"x" * 99)],
        {**manifest, "files": {name: {"sha256": "0" * 64, "size": 1}}},
    )  # fmt: skip
    with pytest.raises(RecordError, match="has 99 bytes, not 1"):
        merge(away, path)
    assert not away.layout.scratch.exists()
    assert not away.layout.cells.exists()


def test_an_archive_that_is_refused_leaves_nothing_of_itself(home, tmp_path):
    """The bad member comes last; before, the records in front of it stayed."""
    store, _ = home
    members = [(member(f"cells/{n}"), c) for n, c in sorted(records(store).items())]
    good = {
        info.name: {"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)} for info, c in members
    }
    last = {"suites/zz.json": {"sha256": "0" * 64, "size": 4}}
    manifest = {"format": FORMAT, "version": 1, "files": good | last}
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    ends = {
        "is not what the manifest says": [(member("suites/zz.json"), b"{  }")],
        "has 5 bytes, not 4": [(member("suites/zz.json"), b"{   }")],
        "no plain file": [(member("suites/zz.json", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        "is not in it": [],
    }
    for said, end in ends.items():
        with pytest.raises(RecordError, match=said):
            merge(away, build(tmp_path / "a.tar", [*members, *end], manifest))
        assert list(away) == []
        assert not list(away.layout.scratch.iterdir())
    assert merge(away, build(tmp_path / "a.tar", members)).added == len(list(store))


def test_a_packed_archive_may_not_unpack_to_hundreds_of_times_its_size(tmp_path):
    """32 MB of JSON each, a thousandth of it on the disk: of ten members nothing is kept."""
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    content = b"[" + b" " * (31 << 20) + b"]"
    members = [(member(f"audits/{n:024x}.json"), content) for n in range(3)]
    path = build(tmp_path / "a.tar", members)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(path.read_bytes(), 1, mtime=0))
    with pytest.raises(RecordError, match="unpacks to more than 200 times its size"):
        merge(away, tmp_path / "a.tar.gz")
    assert not away.layout.scratch.exists()
    assert not away.layout.audits.exists()


def test_members_are_not_kept_in_memory(tmp_path):
    """Sixteen members of 8 MB: what is held at once is one of them, not their sum."""
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    content = b"{" + b" " * (8 << 20) + b"}"
    path = build(
        tmp_path / "a.tar", [(member(f"audits/{n:024x}.json"), content) for n in range(16)]
    )
    tracemalloc.start()
    found = merge(away, path)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.refused) == 16
    assert held < 48 << 20


def test_json_of_more_values_than_any_file_has_is_refused_unread(home, tmp_path, monkeypatch):
    """31 MB of empty lists took 2.6 GB."""
    monkeypatch.setattr("gzsl_bench.records.merge._MOST_VALUES", 1000)
    crowd = b"[" + b"[]," * 1000 + b"0]"
    names = [f"cells/{KEY}/record.json", f"audits/{KEY}.json", "suites/x.json"]
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    found = merge(away, build(tmp_path / "a.tar", [(member(name), crowd) for name in names]))
    assert len(found.refused) == 3
    assert all("holds more than 1000 values" in said for said in found.refused)


def test_arrays_that_unpack_to_many_times_their_file_are_refused(home, tmp_path, monkeypatch):
    store, suite = home
    key = suite.cells[0].key
    monkeypatch.setattr("gzsl_bench.records.merge._ARRAYS_FROM", 1000)
    monkeypatch.setattr("gzsl_bench.records.merge._ARRAYS_RATIO", 1)
    members = [(member(f"cells/{n}"), c) for n, c in sorted(records(store).items())]
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    found = merge(away, build(tmp_path / "a.tar", members))
    assert found.added == 0
    assert any(f"cells/{key}: predictions.npz unpacks to" in said for said in found.refused)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cut short"),
        (b"no tar at all" * 100, "no tar of records"),
        (b"\0" * 1024, "does not begin with manifest"),
        (gzip.compress(b"manifest.json" + bytes(99), mtime=0)[:-9], "damaged|cut short"),
        (b"\x1f\x8bnonsense", "damaged"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, content, said):
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=said):
        merge(RecordStore(tmp_path), path)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"format": "x", "version": 1, "files": {}}, "it holds 'x'"),
        ({"format": FORMAT, "version": 2, "files": {}}, "of version 2"),
        ({"format": FORMAT, "version": 1, "files": [1]}, "cannot be read"),
        ({"format": FORMAT, "version": 1}, "cannot be read"),
        ([], "cannot be read"),
        (
            {"format": FORMAT, "version": 1,
             "files": {f"audits/{KEY}.json": {"sha256": "../x", "size": 1}}},
            "has no SHA-256",
        ),
        (
            {"format": FORMAT, "version": 1,
             "files": {f"audits/{KEY}.json": {"sha256": "0" * 64, "size": -1}}},
            "has -1 bytes",
        ),
    ],
)  # fmt: skip
def test_manifests_of_others_are_refused(tmp_path, manifest, said):
    path = build(tmp_path / "a.tar", [], manifest)
    with pytest.raises(RecordError, match=said):
        merge(RecordStore(tmp_path), path)


def test_a_record_that_is_not_what_it_claims_is_left_out_and_the_rest_is_merged(home, tmp_path):
    store, suite = home
    keys = sorted(c.key for c in suite.cells)
    edit(store.layout.cell(keys[0]), lambda c: c["identity"].update(seed=99))
    members = []
    for name, content in sorted(records(store).items()):
        members.append((member(f"cells/{name}"), content))
    members.append((member("suites/small.json"), b'{"name": "other"}'))
    members.append((member(f"audits/{keys[1]}.json"), b"[" * 100_000))
    members.append((member(f"rescored/{keys[1]}.json"), b"3"))
    away = RecordStore(tmp_path / "away")
    away.layout.out.mkdir()
    found = merge(away, build(tmp_path / "a.tar", members))
    assert found.added == 2
    assert [r.key for r in away] == keys[1:]
    assert len(found.refused) == 4
    assert "the key is not of this cell" in found.refused[0]


@settings(max_examples=60)
@given(data=st.data())
def test_a_changed_archive_is_refused_or_says_the_same(tmp_path_factory, archive, data):
    """Any byte changed, cut or doubled: a sentence, or records that are what they were."""
    original, wanted = archive
    raw = bytearray(original)
    what = data.draw(st.sampled_from(["flip", "cut", "double"]))
    where = data.draw(st.integers(0, len(raw) - 1))
    if what == "flip":
        raw[where] ^= 1 << data.draw(st.integers(0, 7))
    elif what == "cut":
        del raw[where:]
    else:
        start = where // 512 * 512
        raw[start:start] = raw[start : start + 512]
    folder = tmp_path_factory.mktemp("changed")
    (folder / "a.tar").write_bytes(raw)
    away = RecordStore(folder / "away")
    away.layout.out.mkdir()
    try:
        merge(away, folder / "a.tar")
    except RecordError as error:
        assert "refused" in str(error)
    got = records(away) if away.layout.cells.is_dir() else {}
    assert all(wanted[name] == content for name, content in got.items())


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Bytes of an archive of two small records made by hand, and the records."""
    folder = tmp_path_factory.mktemp("made")
    store = RecordStore(folder / "out")
    arrays = {
        "checkpoints": np.array([1]), "scored": np.array([1]), "labels": np.array([0, 1]),
        "seen": np.array([0]), "unseen": np.array([1]), "predicted": np.array([[0, 1]]),
        "predicted_seen": np.array([[0, 0]]), "predicted_unseen": np.array([[1, 1]]),
        "best_seen": np.zeros((1, 2)), "best_unseen": np.zeros((1, 2)),
    }  # fmt: skip
    for seed in (0, 1):
        row = {"number": 1, "metrics": {"harmonic_mean": 100.0}}
        commit(store, make_cell(seed), {"checkpoints": [row]}, arrays, "log\n")
    export(store, folder / "a.tar")
    return (folder / "a.tar").read_bytes(), records(store)


def test_names_fit_into_plain_headers():
    longest = f"suites/{'x' * 80}.json"
    assert merge_module._MEMBER.fullmatch(longest)
    assert len(longest) <= tarball.LONGEST_NAME
    assert Layout(Path("x")).suite("x" * 80).name == "x" * 80 + ".json"
