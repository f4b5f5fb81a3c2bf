"""Golden numbers: code that fixes numbers cannot change them without its number in the key.

To keep new numbers: raise the number that the failure names, then run ``pytest tests/golden`` with
``GOLDEN=write`` in the environment.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from golden_cases import CASES, NUMBERS, TOLERANCE

FILE = Path(__file__).with_name("numbers.json")
WRITE = os.environ.get("GOLDEN") == "write"


def kept() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def differences(found, golden, where=""):
    """Where two values of a case differ."""
    if isinstance(golden, dict) and isinstance(found, dict) and set(found) == set(golden):
        for name in golden:
            yield from differences(found[name], golden[name], f"{where}/{name}")
    elif isinstance(golden, list) and isinstance(found, list) and len(found) == len(golden):
        sizes = [abs(item) for item in golden if isinstance(item, float)]
        for place, (one, other) in enumerate(zip(found, golden, strict=True)):
            here = f"{where}/{place}"
            if isinstance(other, float) and isinstance(one, float | int):
                if not abs(one - other) <= TOLERANCE * max(sizes):
                    yield f"{here}: {one!r} instead of {other!r}"
            else:
                yield from differences(one, other, here)
    elif isinstance(golden, float) and isinstance(found, float):
        if not abs(found - golden) <= TOLERANCE * abs(golden):
            yield f"{where}: {found!r} instead of {golden!r}"
    elif found != golden or isinstance(found, bool) != isinstance(golden, bool):
        yield f"{where}: {found!r} instead of {golden!r}"


def advice(section: str) -> str:
    """What whoever changed the numbers has to do."""
    place, number = NUMBERS[section]
    if number is None:
        return (
            "numbers changed: update the golden numbers (GOLDEN=write) and say so in CHANGELOG.md"
        )
    return f"numbers changed: raise {place} (now {number()}) and update the golden numbers"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("section", "name"), CASES, ids=map("-".join, CASES))
def test_numbers_are_what_they_were(section, name, request):
    function = CASES[section, name]
    needs = function.__code__.co_varnames[: function.__code__.co_argcount]
    fixtures = {need: request.getfixturevalue(need) for need in needs if need != "name"}
    found = json.loads(json.dumps(function(**fixtures)))
    if WRITE:
        write(section, name, found)
    golden = kept()[section]
    changes = list(differences(found, golden["cases"].get(name)))
    assert not changes, f"{advice(section)}\n" + "\n".join(changes[:10])
    number = NUMBERS[section][1]
    if number is not None and number() != golden["number"]:
        pytest.fail(
            f"{NUMBERS[section][0]} is {number()}, but the golden numbers are those of"
            f" {golden['number']}: GOLDEN=write pytest tests/golden"
        )


def write(section: str, name: str, found) -> None:
    """Keep new numbers, unless the number in the key is still that of the old ones."""
    file, number = kept(), NUMBERS[section][1]
    entry = file.get(section)
    if entry is None or (number is not None and number() != entry["number"]):
        entry = file[section] = {"number": number and number(), "cases": {}}
    old = entry["cases"].get(name)
    if number is not None and old is not None:
        assert not list(differences(found, old)), advice(section)
    entry["cases"][name] = found
    FILE.write_text(json.dumps(file, indent=1, sort_keys=True) + "\n", encoding="utf-8")
