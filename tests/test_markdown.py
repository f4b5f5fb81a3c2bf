"""Tables in Markdown."""

from __future__ import annotations

from gzsl_bench import markdown


def test_a_bar_begins_no_cell_and_columns_are_as_wide_as_they_must_be() -> None:
    assert markdown.table(["a|b", "n"], [["x", 10], ["表", "y|"]]).splitlines() == [
        "| a\\|b | n   |",
        "|------|-----|",
        "| x    | 10  |",
        "| 表   | y\\| |",
    ]


def test_no_line() -> None:
    assert markdown.table(["a"], []) == "| a |\n|---|"
