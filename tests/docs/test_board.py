"""docs/board, reports and figures of own runs: whole, small, and they say what made them."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BOARD = DOCS / "board"
#: Folders of machines: what is shown of a run names none.
MACHINE = re.compile(r"/(?:home|root|tmp|work|mnt|Users)/")


def test_every_link_leads_somewhere_within_it():
    pages = list(BOARD.rglob("*.html"))
    assert len(pages) > 4
    for page in pages:
        for link in re.findall(r'(?:href|src)="?([^"#\s>]+)', page.read_text(encoding="utf-8")):
            if not link.startswith(("http", "data:", "mailto:")):
                target = (page.parent / link).resolve()
                assert target.is_file(), (page, link)
                assert BOARD in target.parents, (page, link)


def test_it_is_small_and_its_records_come_from_a_known_program():
    assert sum(path.stat().st_size for path in BOARD.rglob("*.html")) < 1_000_000
    for path in BOARD.glob("records/*/*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        program = record["provenance"]["program"]
        assert program["commit"], path
        assert program["dirty"] is False, path
        assert record["predictions_sha256"], path


def test_a_report_is_one_small_page_that_leads_nowhere_else():
    pages = [page for page in DOCS.glob("*/*.html") if page.parent != BOARD]
    assert len(pages) > 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert len(text.encode()) < 1_000_000, page
        assert "<script" not in text, page
        ids = set(re.findall(r'\bid="([^"]+)"', text))
        links = re.findall(r'(?:href|src)="([^"]*)"', text)
        assert sum(link.startswith("data:image/svg+xml,") for link in links) > 3
        for link in links:
            assert link.startswith("data:") or unescape(link.removeprefix("#")) in ids, (page, link)
        assert not MACHINE.search(text), page


def test_figures_say_what_was_measured():
    paths = list(DOCS.rglob("*.svg"))
    assert paths
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert len(text) < 200_000, path
        said = text.partition("<desc>")[2].partition("</desc>")[0]
        assert re.search(r"checkpoints by \w+, seeds \d.*: version .*, source ", said, re.S), path
        assert not MACHINE.search(text), path
