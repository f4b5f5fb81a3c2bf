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


def test_a_cell_is_one_line_and_no_formula() -> None:
    """Labels of others' records may be anything."""
    assert markdown.table(["a"], [["x\ny"]]).splitlines()[2:] == ["| x y |"]
    for text in ("=HYPERLINK(1)", "@SUM(1)", "-1+cmd|' /C calc'!A0", "+f(\n)"):
        assert markdown.csv_text([{"a": text}]).splitlines()[1].strip('"').startswith("'")
    for text in ("-", "-1.5", "+0.3", "a=b", -1.5):
        assert markdown.csv_text([{"a": text}]) == f"a\n{text}"


def test_long_cells_go_on_below_broken_between_words():
    text = markdown.fitted(["name", "about it"], [["eszsl", "a " * 30 + "end"]], 40)
    assert all(len(line) == 40 or len(line) < 41 for line in text.splitlines())
    assert text.splitlines()[1].startswith("|-------|---")
    assert "".join(line.split("|")[2].strip() + " " for line in text.splitlines()[2:]).split() == [
        *["a"] * 30,
        "end",
    ]
    assert markdown.fitted(["name"], [["x" * 90]], None).count("x") == 90


def test_what_is_too_wide_for_a_table_is_a_paragraph():
    line = ["CUB", "0123456789abcdef" * 2, "5 of 7", "att"]
    text = markdown.fitted(["set", "hash", "done", "embedding"], [line], 44)
    assert text.startswith("CUB: hash 0123456789abcdef")
    assert "done 5 of 7; embedding att" in " ".join(text.split())
    assert all(len(line) <= 44 for line in text.splitlines())
