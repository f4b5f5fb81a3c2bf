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


def test_csv_quotes_what_needs_it() -> None:
    text = markdown.csv_text([{"a": 'x,"y"', "b": 1}, {"b": None, "c": "é"}])
    assert text == 'a,b,c\n"x,""y""",1,\n,,é'
    assert markdown.csv_text([], ["a", "b"]) == "a,b"
