"""Planted changes, with no number raised: each fails a golden test or changes keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from golden_planted import PLANTS, ROOT


@pytest.fixture(scope="module")
def noticed():
    script = Path(__file__).with_name("planted.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_changes_stands_in_one_place():
    """Fails at once where code was rewritten: change the plant with it."""
    for name, change in PLANTS.items():
        files = (ROOT / change.where).rglob("*.py")
        assert sum(path.read_text().count(change.old) for path in files) == 1, name


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PLANTS if PLANTS[name].case])
def test_a_planted_change_fails_its_golden_test(noticed, name):
    found = noticed[name]
    assert found["code"] == 1, found["words"]
    assert "numbers changed: " in found["words"]
    section = PLANTS[name].case.partition("-")[0]
    asked = "update the golden numbers" if section in ("digits", "calibration") else "raise "
    assert asked in found["words"].split("numbers changed: ")[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PLANTS if not PLANTS[name].case])
def test_a_change_of_a_plugin_retrains_what_imports_it_and_an_unrelated_one_nothing(noticed, name):
    before, found = noticed["a table"]["sources"], noticed[name]
    changed = {method for method in before if before[method] != found["sources"][method]}
    assert changed == set(PLANTS[name].retrains)
    assert found.get("code", 0) == 0, found["words"]
