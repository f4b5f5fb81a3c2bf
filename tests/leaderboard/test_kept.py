"""A site outlives its sources: what it keeps of them, and what takes its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from records_factory import edit, make_cell

from gzsl_bench.cli.main import run
from gzsl_bench.errors import RecordError
from gzsl_bench.leaderboard import kept as kept_module
from gzsl_bench.leaderboard import site as site_module
from gzsl_bench.leaderboard.kept import MARK
from gzsl_bench.leaderboard.site import build

from .conftest import finish, fold


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def table(out: Path) -> str:
    return "".join(p.read_text(encoding="utf-8") for p in sorted(out.glob("tables/*.html")))


def test_a_site_is_made_again_of_itself_byte_for_byte(made, tmp_path):
    """Every kind of entry, its records, what was left out and who sent it."""
    out = tmp_path / "site"
    first = build([made.own, made.repository], out)
    before = contents(out)
    shutil.rmtree(made.repository)
    shutil.rmtree(made.own)
    assert build([], out, keep=True) == first
    assert contents(out) == before


def test_what_is_given_anew_takes_the_place_of_what_was_kept(made, tmp_path, capsys):
    out = tmp_path / "site"
    command = ["leaderboard", "build", "--keep", "--out", str(out)]
    assert run([*command, str(made.own)]) == 0  # the first time there is nothing to keep
    # Another seed of a method that is there, and a method that is not.
    more = tmp_path / "more"
    shutil.copytree(made.own / "cells" / made.keys["mine"], more / "cells" / made.keys["mine"])
    finish(more, make_cell(1, "Mine"), [6] * 6, [7] * 6)
    finish(more, make_cell(0, "New"), [9] * 6)
    shutil.rmtree(made.own)
    assert run([*command, str(more)]) == 0
    said = capsys.readouterr().err
    assert "1 table, 3 entries, 7 records" in said
    assert "warning" not in said
    assert ">Good<" in table(out)
    assert len(list(out.glob("entries/*.html"))) == 3  # of Mine one: its one seed is among the two
    assert {p.name for p in (out / "records").iterdir()} == {"own", "more"}
    assert len(list(out.glob("records/own/*.json"))) == 4
    # A folder of the same name is what it is now: what it no longer has is gone.
    finish(made.own, make_cell(0, "Newest"), [9] * 6)
    assert run([*command, str(made.own)]) == 0
    assert "warning: 1 of the entries kept of own ended with this build" in capsys.readouterr().err
    assert ">Good<" not in table(out)
    assert {">Newest<", ">New<", ">Mine<"} == {
        name for name in (">Newest<", ">New<", ">Mine<") if name in table(out)
    }
    # Without --keep it is replaced whole.
    assert run(["leaderboard", "build", str(made.own), "--out", str(out)]) == 0
    assert "1 table, 1 entry, 1 record;" in capsys.readouterr().err.splitlines()[-1]
    assert len(list(out.glob("entries/*"))) == 2
    assert len(list(out.glob("records/*/*"))) == 1


def test_nobody_displaces_what_is_kept_by_claiming_its_keys(made, tmp_path):
    """Keys can be computed by anybody, and a copy does not have what was said of the original."""
    out, claimed, copied = tmp_path / "site", tmp_path / "claimed", tmp_path / "copied"
    build([made.repository], out)
    assert ">reproduced<" in table(out)
    for name in ("good 0", "good 1", "fold 1", "fold 2"):
        key = made.keys[name]
        shutil.copytree(made.own / "cells" / key, copied / "cells" / key)
    for seed in (0, 1, 2):
        # Copies and one more; and other numbers under the same keys, as many seeds and one more.
        finish(claimed, make_cell(seed, "Good"), [8] * 6, [9] * 6)
    for number in (1, 2):
        finish(claimed, fold(make_cell(0, "Good"), number), [9] * 6, [8] * 6)
    finish(copied, make_cell(2, "Good"), [8] * 6, [9] * 6)
    shutil.rmtree(made.repository)
    for more in (claimed, copied):
        build([more], out, keep=True)
        assert ">reproduced<" in table(out)
        assert len(list(out.glob("records/lab-a/*.json"))) == 6
    # Nor where no verdict is at stake: other numbers under the key of a record that is kept.
    own, other = tmp_path / "site of own", tmp_path / "other"
    build([made.own], own)
    for seed in (0, 1):
        finish(other, make_cell(seed, "Mine"), [9] * 6, [9] * 6)
    shutil.rmtree(made.own)
    build([other], own, keep=True)
    assert (own / "records" / "own" / f"{made.keys['mine']}.json").is_file()


def test_a_build_that_is_broken_off_takes_nothing_away(made, tmp_path, monkeypatch):
    out = tmp_path / "site"
    build([made.own], out)
    before = contents(out)
    more = tmp_path / "more"
    finish(more, make_cell(0, "New"), [9] * 6)

    class Full(site_module._Pour):
        def page(self, name, template, **context):
            if name == "methods.html":
                raise OSError(28, "No space left on device")
            super().page(name, template, **context)

    with monkeypatch.context() as patch:
        patch.setattr(site_module, "_Pour", Full)
        with pytest.raises(RecordError, match="No space left"):
            build([more], out, keep=True)
    assert {name: raw for name, raw in contents(out).items() if name.startswith("records/own")} == {
        name: raw for name, raw in before.items() if name.startswith("records/own")
    }
    build([], out, keep=True)
    assert contents(out) == before


@pytest.mark.parametrize("until", ["write", "remember", "settle"])
def test_a_changed_record_is_kept_with_its_entry_wherever_a_build_is_broken_off(
    made, tmp_path, monkeypatch, until
):
    """The source is gone when the next build comes; it must not find half of each."""
    out = tmp_path / "site"
    build([made.own], out)
    edit(made.own / "cells" / made.keys["mine"], lambda c: c["provenance"].update(seconds=7.5))

    def broken(*arguments):
        raise OSError(28, "No space left on device")

    def half(site):
        if (site / ".next" / MARK).is_file():
            record = next((site / ".next").glob("records/*/*.json"))
            shutil.move(record, site / record.relative_to(site / ".next"))
            broken()

    with monkeypatch.context() as patch:
        if until == "write":
            patch.setattr(site_module, "_write", broken)
        elif until == "remember":
            patch.setattr(kept_module, "remember", broken)
        else:
            patch.setattr(kept_module, "settle", half)
        with pytest.raises(RecordError, match="No space left"):
            build([made.own], out, keep=True)
    shutil.rmtree(made.own)
    build([], out, keep=True)
    (record,) = out.glob(f"records/own/{made.keys['mine']}.json")
    assert ("7.5" in record.read_text()) == (until == "settle")
    assert not (out / ".next").exists()
    fresh = tmp_path / "fresh"
    shutil.copytree(out, fresh)
    build([], fresh, keep=True)
    assert contents(fresh) == contents(out)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda out: _edit(out / MARK, sources=None), "made by a program that kept no entries"),
        (lambda out: (out / MARK).write_text("{"), "leaderboard.json cannot be read"),
        (lambda out: _edit(_first(out), id="../../x"), "holds no entry of that name"),
        (lambda out: _edit(_first(out), source="../x"), "holds no entry of that name"),
        (lambda out: _edit(_first(out), status="excellent"), "cannot be read: status"),
        (lambda out: _first(out).write_bytes(b"\xff"), "cannot be read"),
        (lambda out: _record(out).write_bytes(b"{}"), "has changed since"),
        (lambda out: _record(out).unlink(), "has lost a record"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_is_touched(made, tmp_path, capsys, spoil, why):
    out = tmp_path / "site"
    build([made.own], out)
    spoil(out)
    before = contents(out)
    assert run(["leaderboard", "build", "--keep", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert why in said
    assert "Traceback" not in said
    assert contents(out) == before


def _first(out: Path) -> Path:
    return sorted(out.glob("entries/*.json"))[0]


def _record(out: Path) -> Path:
    return sorted(out.glob("records/*/*.json"))[0]


def _edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
