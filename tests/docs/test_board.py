"""docs/board, the site of own runs: whole, small, of records that say what made them."""

from __future__ import annotations

import json
import re
from pathlib import Path

BOARD = Path(__file__).parents[2] / "docs" / "board"


def test_every_link_leads_somewhere_within_it():
    pages = list(BOARD.rglob("*.html"))
    assert len(pages) > 4
    for page in pages:
        for link in re.findall(r'(?:href|src)="([^"#]+)', page.read_text(encoding="utf-8")):
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
