"""What the benchmark of leaderboards writes is a results repository that can be shown."""

from __future__ import annotations

import pytest

from benchmarks import leaderboard
from gzsl_bench.leaderboard.site import build


@pytest.mark.parametrize("checked", [True, False])
def test_the_made_up_repository_is_shown_whole(tmp_path, monkeypatch, checked):
    small = {
        "SOURCES": 2,
        "DATA": 1,
        "DRAWN": 2,
        "SEEDS": 2,
        "FOLDS": 1,
        "FOLD_SEEDS": 2,
        "EACH": 4,
    }
    for name, value in small.items():
        monkeypatch.setattr(leaderboard, name, value)
    site = build([leaderboard.write(tmp_path, 8, checked)], tmp_path / "site")
    assert (site.tables, site.entries, site.records, site.left_out) == (1, 2, 8, ())
