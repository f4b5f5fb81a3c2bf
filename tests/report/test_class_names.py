"""Classes by their names, as a reader wants them."""

from __future__ import annotations

import pytest

from gzsl_bench.results.classes import called, class_names, readable


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("grizzly+bear", "grizzly bear"),
        ("7", "7"),
        ("3.5", "3.5"),
        ("_", "_"),
    ],
)
def test_names_are_readable(written: str, read: str) -> None:
    assert readable(written) == read


def test_what_has_no_names_has_numbers() -> None:
    known = [
        {"fingerprint": "a", "classes": ["001.Crow", "002.Emu"]},
        {"fingerprint": "b", "classes": []},
        {"fingerprint": "c"},  # kept by an earlier version
    ]
    assert called(1, class_names(known, "a")) == "Emu"
    assert [called(1, class_names(known, name)) for name in ("b", "c", "d")] == ["1"] * 3
