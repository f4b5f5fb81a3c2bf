"""``gzsl-bench records``: exit codes, what is printed, and that nothing that counts is touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from records_factory import commit, edit, make_cell, put_predictions

from gzsl_bench.cli.main import run
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.leases import Leases
from gzsl_bench.records.presence import Presence
from gzsl_bench.records.record import FAILED
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import digest

SUITE = "name: mini\ndatasets: [digits]\nmethods: [eszsl]\nselection: [last]\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A results folder with the one cell of the suite."""
    folder = tmp_path_factory.mktemp("mini")
    (folder / "mini.yaml").write_text(SUITE)
    arguments = ["--out", str(folder / "out"), "--device", "cpu", "--inline"]
    assert run(["run", str(folder / "mini.yaml"), *arguments, "--tracking-uri", "none"]) == 0
    return folder / "out"


@pytest.fixture
def out(trained, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "out"))


@pytest.fixture
def call(capsys):
    def go(*arguments: str) -> tuple[int, str, str]:
        code = run(["records", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return go


def test_verify(out, call):
    code, said, told = call("verify", "--deep", "--out", str(out))
    assert (code, said) == (0, "")
    assert told == (
        "1 record: 1 complete, 0 failed, 0 not applicable; 0 problems\n"
        "whether a method gives these predictions, `records reproduce KEY` shows\n"
    )
    assert "not computed again: ausuc (--deep does that)" in call("verify", "--out", str(out))[2]
    (cell,) = (out / "cells").iterdir()
    raw = bytearray((cell / "predictions.npz").read_bytes())
    raw[100] ^= 1
    (cell / "predictions.npz").write_bytes(raw)
    code, said, _ = call("verify", "--out", str(out))
    assert code == 1
    assert said.startswith(f"cells/{cell.name}: predictions.npz of cell")
    code, said, _ = call("verify", "--out", str(out), "--suite", "mini", "--json")
    found = json.loads(said)
    assert (code, found["records"], len(found["problems"])) == (1, 1, 1)
    code, _, told = call("verify", "--out", str(out), "--suite", "other")
    assert (code, told.count("\n")) == (2, 1)
    code, _, told = call("verify", "--out", str(out / "nowhere"))
    assert (code, told.count("\n")) == (2, 1)


@pytest.mark.parametrize("what", [("verify",), ("gc",), ("export", "a.tar"), ("reproduce", "ab")])
def test_a_folder_without_records_is_no_folder_in_order(tmp_path, call, what):
    (tmp_path / "notes.txt").write_text("mine")
    code, _, told = call(*what, "--out", str(tmp_path))
    assert (code, told.count("\n")) == (2, 1)
    assert f"{tmp_path} holds no records; name a results folder with --out" in told


def test_gc_lists_and_removes_nothing_that_counts(out, call):
    layout, cell = Layout(out), make_cell()
    key = cell.key
    before = {p: p.read_bytes() for p in (out / "cells").rglob("*") if p.is_file()}
    store = RecordStore(out)
    commit(store, cell, {"status": FAILED})
    commit(store, cell, {"status": FAILED})
    gone = Presence(layout)
    gone.enter()
    Leases(gone).take(key)
    layout.draft(gone.run, key).mkdir(parents=True)
    (out / "rescored").mkdir()
    (out / "rescored" / f".{key}.json.{'a' * 12}.tmp").write_text("{")
    # While it lives, nothing of it may go.
    code, said, _ = call("gc", "--out", str(out))
    assert (code, said) == (0, f"draft: rescored/.{key}.json.{'a' * 12}.tmp\n")
    code, _, told = call("gc", "--out", str(out), "--yes")
    assert code == 2
    assert told.startswith("gzsl-bench: a run is at work in the results folder")
    gone.give_up(gone.run, gone.me, "it died")
    code, said, told = call("gc", "--out", str(out), "--failed")
    assert [line.split(":")[0] for line in said.splitlines()] == [
        "draft",
        "draft",
        "lost run",
        "lease",
        "earlier failure",
    ]
    assert "would be removed by --yes" in told
    code, listed, _ = call("gc", "--out", str(out), "--failed", "--json")
    code, removed, _ = call("gc", "--out", str(out), "--failed", "--json", "--yes")
    assert json.loads(removed) == json.loads(listed)
    assert call("gc", "--out", str(out), "--failed")[1] == ""
    assert {p: p.read_bytes() for p in before} == before
    assert store.read(key) is not None


def test_a_table_on_another_machine(out, call, tmp_path, capsys):
    archive, away = str(tmp_path / "mini.tar.gz"), str(tmp_path / "away")
    code, _, told = call("export", archive, "--out", str(out), "--suite", "mini")
    assert code == 0
    assert "1 record and the suites mini" in told
    code, said, told = call("import", archive, "--out", away, "--json")
    assert (code, json.loads(said)["added"]) == (0, 1)
    assert "1 record added, 0 there before" in told
    code, _, told = call("import", archive, "--out", away)
    assert (code, "0 records added, 1 there before" in told) == (0, True)
    assert f"next: gzsl-bench table mini --out {away}" in told
    tables = []
    for folder in (str(out), away):
        assert run(["table", "mini", "--out", folder]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] != ""
    # Bad input is one sentence.
    for arguments in (
        ("export", archive, "--out", str(out)),
        ("export", str(tmp_path / "x.tar"), "--out", str(tmp_path)),
        ("import", str(tmp_path / "nowhere.tar"), "--out", away),
        ("import", __file__, "--out", away),
    ):
        code, _, told = call(*arguments)
        assert (code, told.count("\n"), "Traceback" in told) == (2, 1, False), told


def test_a_table_names_numbers_that_were_only_believed(out, call, tmp_path, capsys):
    archive, away = str(tmp_path / "a.tar"), str(tmp_path / "away")
    call("export", archive, "--out", str(out))
    assert call("import", archive, "--out", away, "--no-recompute")[0] == 0
    assert run(["table", "mini", "--out", away]) == 0
    assert "of 1 imported records were never computed again here" in (capsys.readouterr().err)
    assert run(["rescore", "mini", "--out", away]) == 0
    capsys.readouterr()
    assert run(["table", "mini", "--out", away]) == 0
    assert "imported" not in capsys.readouterr().err


def lines_of(out: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_a_cell_is_trained_again_and_compared(out, call):
    before = lines_of(out)
    (cell,) = (out / "cells").iterdir()
    code, said, _ = call("reproduce", cell.name[:6], "--out", str(out), "--device", "cpu")
    assert (code, said.split(": ", 1)[1].startswith("equal bit for bit")) == (0, True)
    assert lines_of(out) == before
    edit(cell, lambda c: c["provenance"].update(trained=[cell.name, "1" * 24]))
    told = call("reproduce", cell.name, "--out", str(out), "--device", "cpu")[2]
    assert "note: the record was trained as one with 1 more, now alone" in told
    assert "training digits · eszsl · seed 0 again: done in" in told
    edit(cell, lambda c: c["provenance"]["hardware"].update(instructions="ABACUS"))
    told = call("reproduce", cell.name, "--out", str(out), "--device", "cpu")[2]
    assert "note: trained with ABACUS instructions, again with " in told
    # A record whose scores are others in the last digit, and one of other predictions.
    arrays = RecordStore(out).read(cell.name).predictions()
    arrays["best_seen"][0, 0] = np.nextafter(arrays["best_seen"][0, 0], np.inf)
    put_predictions(cell, arrays)
    code, said, _ = call("reproduce", cell.name, "--out", str(out), "--device", "cpu")
    assert (code, "equal predictions; 1 scores are rounded otherwise" in said) == (0, True)
    arrays["predicted"][0, :3] = (arrays["predicted"][0, :3] + 1) % 2
    put_predictions(cell, arrays)
    code, said, _ = call("reproduce", cell.name, "--out", str(out), "--device", "cpu", "--json")
    found = json.loads(said)
    assert (code, found["equal"], found["differing"]) == (1, False, 3)
    # H set by hand is no H of this training.
    edit(cell, lambda c: c["checkpoints"][0]["metrics"].update(harmonic_mean=74.0))
    code, said, _ = call("reproduce", cell.name, "--out", str(out), "--device", "cpu", "--json")
    assert "harmonic_mean" in json.loads(said)["metrics"]


def test_what_cannot_be_reproduced_is_one_sentence(out, call):
    (cell,) = (out / "cells").iterdir()
    one = RecordStore(out).read(cell.name)
    other = dict(one.identity) | {"seed": 1}
    for change, words in (
        ({"method": {**one.identity["method"], "version": "0.9"}}, "is not the one of the cell"),
        ({"dataset": {**one.identity["dataset"], "fingerprint": "0"}}, "are not those of the key"),
        ({"code": {**one.identity["code"], "streams": 99}}, "is not that of the cell's key"),
        ({"method": {**one.identity["method"], "name": "own"}}, "no plugin here offers the method"),
    ):
        identity = {**other, **change}
        place = out / "cells" / digest(identity)
        shutil.copytree(cell, place)
        named = {"identity": identity, "key": place.name, "seed": 1}
        named["method"] = identity["method"]["name"]
        edit(place, lambda c, n=named: c.update(n))
        edit(place, lambda c, k=place.name: c["provenance"].update(trained=[k]))
        code, said, told = call("reproduce", place.name, "--out", str(out), "--device", "cpu")
        assert (code, said, told.count("\n")) == (2, "", 1)
        assert words in told
    for key, words in (("zz", "holds no record"), ("", "several records"), ("../x", "no record")):
        code, _, told = call("reproduce", "--out", str(out), "--", key)
        assert (code, words in told) == (2, True)
