"""What the pages of a leaderboard say, and what they leave out."""

from __future__ import annotations

import re
import shlex
import zipfile
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from records_factory import edit, make_cell

from gzsl_bench.cli.main import run
from gzsl_bench.leaderboard.kept import MARK
from gzsl_bench.leaderboard.site import build
from gzsl_bench.records.store import RecordStore, hash_of
from gzsl_bench.records.submissions import Checked, Repository
from gzsl_bench.records.suites import recall
from gzsl_bench.report.cells import SIGN, gammas
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import rule_of
from gzsl_bench.suite.resolved import ResolvedSuite

from .conftest import finish, fold

#: A browser that ran it would call the page "broken".
EVIL = "<img src=x onerror=\"document.title='broken'\">"


class Page(HTMLParser):
    """The rows of a page's tables as texts, and where its links lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self._in = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = (self._in and tag != "script") or tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_endtag(self, tag: str) -> None:
        self._in = self._in and tag != "table"

    def handle_data(self, data: str) -> None:
        if self._in and self.rows and self.rows[-1]:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()


def test_every_kind_of_record_stands_where_it_belongs(made, tmp_path):
    site = build([made.repository, made.own], tmp_path / "site")
    places = sorted((tmp_path / "site" / "tables").iterdir(), key=lambda p: p.stat().st_size)
    alone, main = (
        [[re.sub(r" \[.*?\]", "", cell) for cell in row] for row in Page(place).rows]
        for place in places
    )
    assert (site.tables, site.entries, site.records) == (2, 4, 7)
    # One name, two contents: two tables.  First of one is no rank.
    assert [row[:3] for row in alone[2:]] == [["-", "Good", "50.0"]]
    assert main[1] == [f"By val: {rule_of('val').words}"]
    # Folds chose the first checkpoint, the test set the second: 2·80·90/170 is 84.7.
    # Scores that are all 0 tell no bias from another, and every tie is a seen class.
    assert main[2][:10] == ["-", "Good", "80.0 ± 0.0", "80.0 ± 0.0", "80.0 ± 0.0", "+4.7",
                            f"0.0 {SIGN} 0", "84.7", "84.7", "2"]  # fmt: skip
    assert main[2][10:] == ["90 s", "1.0 GiB", "reproduced", "paper", "lab-a also own"]
    assert main[3] == [f"By last: {rule_of('last').words}"]
    # Without folds nothing was chosen; these are ranked with one another alone.
    assert [row[:3] for row in main[4:]] == [["1", EVIL, "84.7"], ["2", "Mine", "70.0"]]
    assert {row[6] for row in main[4:]} == {"-"}  # nor can they be calibrated
    assert [row[12] for row in main[4:]] == ["as submitted", "recomputed"]
    page = places[1].read_text(encoding="utf-8")
    assert "<i>[" in page
    # 2,000 entries stay under 1 MB: one link stands for a row, and no cell says what its column is.
    written = re.findall("<tr><td>.*?(?=<tr|</tbody>)", page, re.S)
    assert len(written) == 3
    for line in written:
        assert len(line.encode()) - len(unescape(re.sub("<.*?>", "", line)).encode()) < 260
        assert line.count("href=../entries/") == 1
    left_out = "\n".join(site.left_out)
    for name, why in (
        ("refused", "refused by the repository's check: its data are others"),
        ("forged", "acc_unseen at checkpoint 1 is"),
        ("nameless", "its identity does not name the setting"),
    ):
        assert f"cells/{made.keys[name]}: {why}" in left_out
    assert "lab-b: Elsewhere on D was tested on other rows" in left_out
    # Alone nobody leads; who does is no surer than the intervals.
    said = unescape(re.sub(r"<.*?>| \[.*?\]", "", places[1].read_text(encoding="utf-8")))
    first = f"By last {EVIL} is first of 2 entries, H 84.7; next is Mine, H 70.0. Their"
    assert said.index(first) < said.index("By val there is one entry, Good, H 80.0: nothing")
    lines = {
        row[2].split(" [")[0]: row
        for row in Page(tmp_path / "site" / "index.html").rows
        if len(row) == 7
    }
    assert lines["84.7"][1].startswith(EVIL)
    assert lines["84.7"][3] == "last 2 entries"
    assert lines["50.0"][1] == "Good alone"
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert index.count("<li>") == len(site.left_out) == 4
    assert "1 failed" in index
    assert "The people of lab-a" in index


def test_links_are_relative_and_lead_to_the_records(made, tmp_path):
    out = tmp_path / "site"
    build([made.repository, made.own], out)
    seen = set()
    for path in out.rglob("*.html"):
        for link in Page(path).links:
            if link != "data:,":
                goal = (path.parent / link.partition("#")[0]).resolve() if link[0] != "#" else path
                assert goal.is_file(), (path, link)
                assert goal.is_relative_to(out.resolve())
                seen.add(goal)
    # Everything can be reached, and records are the very bytes.
    there = {path for path in out.resolve().rglob("*") if path.is_file()}
    data = set(out.resolve().glob("entries/*.json"))
    assert len(data) == len(list(out.glob("entries/*.html"))) == 4
    assert there - seen - data == {out.resolve() / MARK, out.resolve() / "records" / "left-out.txt"}
    key = made.keys["fold 2"]
    copied = (out / "records" / "lab-a" / f"{key}.json").read_bytes()
    assert (
        copied
        == (made.repository / "submissions" / "lab-a" / "cells" / key / "record.json").read_bytes()
    )
    text = "".join(path.read_text(encoding="utf-8") for path in out.rglob("*.html"))
    assert "<img" not in text


def test_the_command_names_what_is_left_out_and_replaces_its_own_sites_alone(
    made, tmp_path, capsys
):
    out = tmp_path / "site"
    assert run(["leaderboard", "build", str(made.own), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'index.html'}\n"
    assert len(list(out.glob("tables/*"))) == 1
    both = ["leaderboard", "build", str(made.own), str(made.repository), "--out", str(out)]
    assert run(both) == 1
    assert f"left out: lab-b: cells/{made.keys['forged']}" in capsys.readouterr().err
    assert len(list(out.glob("tables/*"))) == 2
    assert run(["leaderboard", "build", str(made.own), "--out", str(made.own)]) == 2
    assert "holds files and no leaderboard" in capsys.readouterr().err
    assert run(["leaderboard", "build", str(out), "--out", str(tmp_path / "other")]) == 2
    assert "is no results folder" in capsys.readouterr().err
    for more in ([], ["--keep"]):
        nothing = ["leaderboard", "build", "--out", str(tmp_path / "nothing"), *more]
        assert run(nothing) == 2
        assert "nothing to make a site of" in capsys.readouterr().err
    fresh = str(tmp_path / "fresh")
    assert run(["records", "init", fresh]) == 0
    assert run(["leaderboard", "build", fresh, "--out", str(tmp_path / "nothing")]) == 2
    assert f"{fresh} has no submission" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


def test_an_export_is_a_source_and_links_in_a_submission_are_not_followed(made, tmp_path):
    archive = tmp_path / "mine.tar.gz"
    assert run(["records", "export", str(archive), "--out", str(made.own)]) == 0
    secret = tmp_path / "secret"
    secret.write_text("{}")
    place = made.repository / "submissions" / "lab-b" / "cells" / made.keys["forged"]
    (place / "record.json").unlink()
    (place / "record.json").symlink_to(secret)
    site = build([archive, made.repository], tmp_path / "site")
    assert f"lab-b: cells/{place.name}: record.json is no plain file" in site.left_out
    entry = next((tmp_path / "site" / "entries").glob("*.html"))
    assert "mine" in {p.name for p in (tmp_path / "site" / "records").iterdir()}
    assert entry.is_file()


def test_who_chose_by_fewer_folds_than_others_is_named(made, tmp_path):
    """A fold that is left out for what it chose cannot be seen in what is left."""
    for cell in (make_cell(0, "Few"), fold(make_cell(0, "Few"), 2)):
        finish(made.own, cell, [9] * 6, [8] * 6)
    build([made.repository, made.own], tmp_path / "site")
    said = "".join(p.read_text() for p in (tmp_path / "site" / "tables").iterdir())
    assert said.count("chose by validation fold") == 1
    assert "Few of own chose by validation fold 2, where others have 1, 2:" in said


def test_what_a_source_says_of_the_data_stands_under_its_name(made, tmp_path):
    cell = make_cell(0, "Mine")
    about = {"label": "D", "features": "res101", "attributes": "att", "fingerprint": "fp-D",
             "provenance": {"notes": ["all others cheat"]}}  # fmt: skip
    (made.own / "suites").mkdir()
    suite = ResolvedSuite("s", "", ("last",), (cell,), (about,), "name: s\n")
    (made.own / "suites" / "s.json").write_bytes(TypeAdapter(ResolvedSuite).dump_json(suite))
    for places, said in (([made.repository, made.own], "own: all others"), ([made.own], "all o")):
        build(places, tmp_path / "site")
        text = "".join(p.read_text() for p in (tmp_path / "site" / "tables").iterdir())
        assert f"<li>{said}" in text


def test_no_file_that_a_link_leads_to_comes_into_the_site(made, tmp_path):
    """Nor is it read to its end, which a device has not; nor a rescoring of another record."""
    secret = tmp_path / "secret"
    secret.write_text("a password")
    folder = made.repository / "submissions" / "lab-b"
    (folder / "rescored").mkdir()
    (folder / "suites").mkdir()
    (folder / "suites" / "x.json").symlink_to("/dev/zero")
    for place in (folder / "cells").iterdir():
        (folder / "rescored" / f"{place.name}.json").symlink_to(secret)
    (folder / "cells" / made.keys["forged"] / "record.json").unlink()
    (folder / "cells" / made.keys["forged"] / "record.json").symlink_to("/dev/zero")
    mine = made.own / "rescored" / f"{made.keys['mine']}.json"
    mine.parent.mkdir()
    mine.write_text('{"of": "another record"}')
    build([made.repository, made.own], tmp_path / "site")
    assert (tmp_path / "site" / "records" / "own" / f"{made.keys['mine']}.json").is_file()
    assert not list((tmp_path / "site" / "records").rglob("*-rescored.json"))
    page = "".join(p.read_text() for p in (tmp_path / "site" / "entries").glob("*.html"))
    assert "rescored" not in page


def test_what_unpacks_to_too_much_is_left_out_unread(made, tmp_path):
    place = made.own / "cells" / made.keys["mine"]
    with (
        zipfile.ZipFile(place / "predictions.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("labels.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(2**20))
    edit(place, lambda c: c.update(predictions_sha256=hash_of(place / "predictions.npz")))
    (sentence,) = build([made.own], tmp_path / "site").left_out
    assert "unpacks to 314572800 bytes" in sentence


@pytest.mark.parametrize("status", ["reproduced", "recomputed"])
def test_a_verdict_counts_for_the_bytes_it_is_about(made, tmp_path, status):
    """A submission that was changed after its check is looked at again, and its verdict is gone."""
    place = made.repository / "submissions" / "lab-a" / "cells" / made.keys["good 0"]
    if status == "recomputed":
        record = place / "record.json"
        record.write_bytes(record.read_bytes() + b"\n")
    build([made.repository], tmp_path / "site")
    text = "".join(p.read_text(encoding="utf-8") for p in (tmp_path / "site" / "tables").iterdir())
    assert (">reproduced<" in text) == (status == "reproduced")
    assert ("1 of 2 reproduced" in text) == (status == "recomputed")


def test_the_example_of_the_page(tmp_path, monkeypatch, capsys):
    text = Path(__file__).parents[2].joinpath("docs", "leaderboard.md").read_text(encoding="utf-8")
    example = text[text.index("## A worked example") :].split("```")[1]
    commands = [shlex.split(line) for line in example.splitlines() if line.startswith("gzsl-bench")]
    assert len(commands) == 3
    monkeypatch.chdir(tmp_path)
    for command in commands:
        assert run(command[1:]) == 0, capsys.readouterr().err
    assert "1 table, 1 entry, 4 records" in capsys.readouterr().err
    (page,) = Path("site", "tables").iterdir()
    assert "also mine-2" in page.read_text(encoding="utf-8")
    # Calibrated as the tables of a suite are.
    store = RecordStore(Path("mine"))
    suite = replace(recall(store.layout, None), calibration=True)
    (row,) = (row for row in rows(Results(suite, store)) if row.selection == "val+gamma")
    heading, *_, line = Page(page).rows
    shown = line[heading.index(f"H +{SIGN}")]
    assert shown == f"{row.summary().mean:.1f} {SIGN} {gammas(row)}"
    assert row.gamma[0] != 0
    (entry,) = Path("site", "entries").glob("*.html")
    lines = {line[0]: line for line in Page(entry).rows if line}
    assert lines["val+gamma"][-2:] == [gammas(row), "1"]


def test_a_submission_that_is_none_or_was_refused_as_a_whole_shows_nothing(made, tmp_path):
    submissions = made.repository / "submissions"
    (submissions / "Bad Name").mkdir()
    (submissions / "empty").mkdir()
    (submissions / "link").symlink_to(made.own)
    clone = Repository.at(made.repository)
    clone.write_checked("lab-b", Checked(refused=("its manifest cannot be read",)))
    site = build([made.repository], tmp_path / "site")
    said = "\n".join(site.left_out)
    assert "Bad-Name: 'Bad Name' is no name of a submission" in said
    assert "empty: submissions/empty/submission.json cannot be read" in said
    assert "link: submissions/link" in said
    assert "lab-b: its manifest cannot be read" in said
    assert {entry.name for entry in (tmp_path / "site" / "records").glob("*/")} == {"lab-a"}
