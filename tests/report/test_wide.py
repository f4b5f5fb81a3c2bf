"""Methods down, data sets across: what stands where, in every format, and that LaTeX can set it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from report_factory import row

from gzsl_bench.cli.main import run
from gzsl_bench.report.daggers import Daggers
from gzsl_bench.report.latex import _length
from gzsl_bench.report.table import render, render_wide
from gzsl_bench.report.wide import Value, grid, plain
from gzsl_bench.results.rows import HEADINGS, NO_RULE, Point, Row
from gzsl_bench.scoring.rules import Support
from gzsl_bench.scoring.summary import Summary

METHODS = ("ACMR", "CADA-VAE", "DeViSE", "ALE", "SJE", "ESZSL", "SAE", "DAP")
NONE = dict.fromkeys(HEADINGS)


def paper(*rules: str, datasets=("CUB", "FLO", "AWA1"), methods=METHODS) -> list[Row]:
    """Every method on every data set; DAP does not apply to the second, SJE failed on the third."""
    found = []
    for d, dataset in enumerate(datasets):
        for m, method in enumerate(methods):
            fate = {(1, "DAP"): "not applicable: no signs", (2, "SJE"): "failed: killed"}
            if why := fate.get((d, method)):
                found.append(row(dataset, method, NO_RULE, n=0, metrics=NONE, unavailable=why))
                continue
            n = 1 if method in ("ESZSL", "SAE", "DAP") else 3
            untold = Support(10, 10, 3, 0) if method == "CADA-VAE" else None
            for r, rule in enumerate(rules):
                h = 40 + (7 * m + 3 * d) % 31 + r
                found.append(row(dataset, method, rule, h=h, n=n, support=untold))
    return found


def test_the_grid_by_hand():
    table = [
        row("CUB", "A", "val", h=50.0), row("CUB", "B", "val", h=40.0, support=Support(3, 3, 2, 0)),
        row("SUN", "A", NO_RULE, n=0, metrics=NONE, unavailable="failed: killed"),
        row("SUN", "B", "val", h=30.0, n=1),
        row("SUN", "C", "val", n=0, metrics=NONE, unavailable="the folds have not run"),
        row("SUN", "B x=1", "val", h=99.0, sweep=Point("B", "x", 1.0)),
    ]  # fmt: skip
    daggers = Daggers("A", "val", {(1, "harmonic_mean"): 2}, ("harmonic_mean",), 1, 1, ())
    laid = grid(table, ["acc_seen", "harmonic_mean"], daggers)
    assert (laid.columns, laid.headings) == (("CUB", "SUN"), ("S", "H"))
    (lines,) = laid.blocks.values()
    # U is h, S h + 1, H h + 2, each with a deviation of 1.25, printed 1.2.
    assert [(line.who, line.groups) for line in lines] == [
        ("A", ((Value("51.0", "1.2", mark=1), Value("52.0", "1.2", mark=1)), "failed")),
        ("B", ((Value("41.0", "1.2", mark=2),
                Value("42.0", "1.2", mark=2, dagger=2, untold=True)),
               (Value("31.0"), Value("32.0")))),
        ("C", ("-", "-")),
    ]  # fmt: skip
    assert plain(lines[1].groups[0][1], {2: "*{}*"}) == "*42.0* ± 1.2‡ ≈"


def test_methods_stand_by_family_where_plugins_say_so():
    families = {"ACMR": "Generative", "ESZSL": "Linear maps", "CADA-VAE": "Generative"}
    table = [
        replace(row("CUB", name, "val", h=h), family=families.get(name, ""))
        for name, h in (("ACMR", 50.0), ("ESZSL", 40.0), ("CADA-VAE", 45.0), ("DAP", 20.0))
    ]
    order = ["Generative", "ACMR", "CADA-VAE", "Linear maps", "ESZSL", "Others", "DAP"]
    for fmt in ("github", "html", "latex"):
        text = render_wide(table, fmt).rpartition("toprule")[2]  # below LaTeX's comments
        places = [re.search(rf"\b{name}\b(?! x)", text).start() for name in order]
        assert places == sorted(places), fmt
    # One family needs no heading.
    assert "Generative" not in render_wide([table[0], table[2]], "github")


def test_rules_make_blocks_and_two_rows_of_one_name_two_lines():
    table = paper("val", "best_test", methods=("ACMR", "ALE"))
    laid = grid([*table, row("CUB", "ALE", "val", h=1.0)])
    assert list(laid.blocks) == ["val", "best_test"]
    assert [line.who for line in laid.blocks["val"]] == ["ACMR", "ALE", "ALE"]
    assert laid.blocks["val"][2].groups[1:] == ("-", "-")
    # The best of a rule is not set against that of another.
    groups = [x.groups[2] for lines in laid.blocks.values() for x in lines]
    best = [value.mark for group in groups if group != "-" for value in group]
    assert best.count(1) == 6


@pytest.mark.parametrize("fmt", ["github", "latex", "html"])
def test_every_format_has_every_method_with_its_fate(fmt):
    text = render_wide(paper("val"), fmt)
    lines = {m: next(x for x in text.splitlines()
                     if re.match(rf"(\| |<tr><th>)?{m}\b", x))
             for m in METHODS}  # fmt: skip
    assert "n/a" in lines["DAP"]
    assert "failed" in lines["SJE"]
    assert "by val" in text.lower()
    assert "T1" not in text
    assert "AUSUC" not in text
    for said in ("SJE on AWA1: failed: killed", "DAP on FLO: not applicable: no signs"):
        assert said in text
    if fmt == "html":
        assert text.count("<td") == 8 * 9 - 2 * 2  # a fate takes three columns
        assert text.count('<th colspan="3">') == 3


def test_a_label_is_escaped_on_pages():
    evil = "<script>"
    assert evil not in render_wide([replace(r, label=evil) for r in paper("val")], "html")


def test_a_terminal_gets_as_many_data_sets_as_fit_and_the_others_below():
    text = render_wide(paper("val"), width=80, terminal=True)
    assert max(len(re.sub("\x1b.*?m", "", line)) for line in text.splitlines()) <= 80
    assert [line.split("|")[2].strip() for line in text.splitlines() if "By val" in line] == [
        "CUB U", "FLO U", "AWA1 U",
    ]  # fmt: skip
    one = render_wide(paper("val"), metrics=["harmonic_mean"], width=80, terminal=True)
    assert "\x1b" not in render_wide(paper("val"), width=80)
    assert "| H by val | CUB" in one
    assert one.count("| ACMR") == 1
    assert "\x1b[1m" in one


CAPTION = (
    "Per-class accuracies in percent, mean and, as a subscript, sd over n = 3 seeds (one run of"
    " ESZSL, SAE, DAP): U unseen, S seen, H their mean (harmonic). val: checkpoint chosen on"
    " validation folds made of training classes, so the test set had no say. CUB, FLO, AWA1:"
    " features res101, class embedding att."
)


def test_the_caption_states_the_protocol_and_nothing_that_is_not_there():
    text = render_wide(paper("val"), "latex", name="GZSL: paper_1")
    caption = re.search(r"\\caption\{(.*)\}\n", text)[1]
    assert caption.startswith(CAPTION)
    assert "failed: no seed has numbers." in caption
    assert "best" in caption.split("res101")[1]
    assert "version" not in caption
    assert "\\label{tab:GZSL-paper-1}" in text
    alone = render_wide(paper("last"), "latex", ["harmonic_mean"])
    assert "H harmonic mean of those on unseen and on seen classes. last: last checkpoint" in alone


def test_published_numbers_stand_below_ours():
    table = paper("val")
    (ours,) = [r for r in table if (r.dataset, r.label) == ("CUB", "ACMR")]
    line = {"dataset": "CUB", "keys": list(ours.keys), "selection": "val", "published": "ACMR",
            "source": "A paper", "printed": {"U": "53.1", "S": "57.7", "H": "55.3"},
            "difference": None}  # fmt: skip
    laid = grid(table, printed=[line])
    mine, theirs, *_ = laid.blocks["val"]
    assert (mine.who, theirs.who, theirs.printed) == ("ACMR", "ACMR as printed [1]", True)
    assert [v.mean for v in theirs.groups[0]] == ["53.1", "57.7", "55.3"]
    assert theirs.groups[1:] == ("-", "-")
    text = render_wide(table, "latex", printed=[line])
    assert "[1]: A paper." in re.search(r"\\caption\{(.*)\}\n", text)[1]
    assert "55.3$^{\\ast}$" in text
    assert "measured otherwise than ours" in text
    fair = render_wide(table, "latex", printed=[line | {"difference": {"harmonic_mean": 1.0}}])
    assert "\\ast" not in fair


WIDE = {
    "the literature's": paper("val"),
    "three rules": paper("val", "val+gamma", "best_test"),
    "seven data sets": paper("val", datasets=("CUB", "FLO", "AWA1", "AWA2", "SUN", "APY", "INET")),
    "sixty methods": paper("val", methods=[f"method {k}" for k in range(60)]),
    "long names": paper("val", methods=["WMWMWMWM_MWMWMWMW & 50 %"], datasets=("CUB",)),
    "large spreads": [
        replace(r, metrics={n: Summary(88.8, 88.8, 3) for n in HEADINGS}) for r in paper("val")
    ],
    "intervals": [
        replace(r, metrics={n: Summary(88.8, 8.8, 3, 77.7, 99.9) for n in HEADINGS})
        for r in paper("val")
    ],
}  # fmt: skip


@pytest.mark.tex
@pytest.mark.parametrize("options", ["", "twocolumn"])
@pytest.mark.parametrize("kind", WIDE)
def test_latex_sets_it_without_an_overfull_box(kind, options, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    text = render_wide(WIDE[kind], "latex", name=kind)
    document = (
        f"\\documentclass[{options}]{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n"
        f"{text}\n\\end{{document}}\n"
    )
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    log = (tmp_path / "t.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in log
    assert "Float too large" not in log
    pages = int(re.search(r"Output written on t\.pdf \((\d+) page", log)[1])
    assert pages == {"sixty methods": 2}.get(kind, pages if kind == "seven data sets" else 1)


@pytest.mark.tex
@pytest.mark.parametrize("options", ["", "twocolumn"])
def test_a_long_table_breaks_over_pages_and_fits(options, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    text = render(paper("last", "val", "best_test"), "latex")
    assert text.startswith("% \\usepackage{booktabs, longtable}\n")
    document = (
        f"\\documentclass[{options}]{{article}}\n\\usepackage{{booktabs, longtable}}\n"
        f"\\begin{{document}}\n{text}\nAfter it.\n"
        "\\makeatletter\\typeout{After it: \\if@twocolumn two\\else one\\fi}\n\\end{document}\n"
    )
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    for _ in range(2):  # the second time columns are as wide as on all pages
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "t.log").read_text(encoding="utf-8", errors="replace")
    assert "Overfull" not in log
    # A class of two columns has them again, on a page of its own.
    assert ("After it: two" if options else "After it: one") in log
    assert ("(3 pages" if options else "(2 pages") in log


@pytest.mark.parametrize("kind", WIDE)
def test_no_table_is_wider_than_a_column_of_text(kind):
    """Without TeX: what its fonts take at least, by their own metrics."""
    text = render_wide(WIDE[kind], "latex")
    for size, body in re.findall(r"\\(\w+)\n\\setlength.*?\n(.*?)\\end\{table\*\}", text, re.S):
        scale = {"small": 0.9, "footnotesize": 0.8, "scriptsize": 0.7}[size]
        for line in body.split("\\midrule")[1].splitlines()[1:4]:
            plain_text = re.sub(r"\\\w+(\{\d\}\{c\})?|[{}$&\\^]|_\{[^}]*\}", "", line)
            assert scale * _length(plain_text) <= 345


def test_latex_is_whole():
    for kind, table in WIDE.items():
        text = render_wide(table, "latex")
        for body in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, re.S):
            columns = len(re.search(r"\{tabular\}\{(\w+)\}", body)[1])
            for line in body.splitlines():
                if line.endswith("\\\\"):
                    spans = sum(int(n) - 1 for n in re.findall(r"multicolumn\{(\d+)\}", line))
                    cells = re.sub(r"\\&", "", line).count("&") + 1 + spans
                    assert cells == columns, (kind, line)
        assert text.count("\\begin{table*}") == text.count("\\end{table*}")
        assert text.count("\\label{") == 1


# The command -------------------------------------------------------------------------------------

SUITE = """
name: wide
datasets: [digits, {use: digits, label: lamps, attributes: lamps}]
methods: [eszsl, {use: eszsl, label: other, config: {feature_penalty: 10.0}}]
selection: [best_test, last]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    (folder / "s.yaml").write_text(SUITE)
    where = [str(folder / "s.yaml"), "--out", str(folder / "out")]
    assert run(["run", *where, "--inline", "--tracking-uri", "none"]) == 0
    return where


def test_the_command_lays_out_and_selects(finished, capsys):
    def table(*options):
        assert run(["table", *finished, *options]) == 0
        return capsys.readouterr().out

    # LaTeX is wide and by the honest rule, though the suite names another first.
    text = table("--format", "latex")
    assert "\\begin{table*}" in text
    assert "By last & U & S & H & U & S & H" in text
    assert "best\\_test" not in text
    assert table().startswith("| By last | digits U |")
    assert table("--layout", "long").startswith("| Data set | Method")
    wide = table("--layout", "wide", "--metrics", "H,T1", "--dataset", "lamps", "--method", "other")
    assert wide.splitlines()[0].split("|")[1:-1] == [" By last ", " lamps H ", " lamps T1 "]
    assert "| eszsl" not in wide
    both = table("--layout", "wide", "--rule", "last", "--rule", "best_test")
    assert both.count("| By ") == 2
    assert "best_test" not in table("--rule", "last").split("\n\n")[0]
    assert "\\begin{table}" in table("--format", "latex", "--layout", "long")
    assert '<th colspan="3">lamps</th>' in table("--format", "html", "--layout", "wide")
    for options, sentence in (
        (["--rule", "val"], "unknown selection rule of this suite 'val'"),
        (["--dataset", "lamp"], "did you mean 'lamps'"),
        (["--method", "othr"], "did you mean 'other'"),
        (["--layout", "wide", "--format", "csv"], "csv has every row"),
        (["--metrics", "J"], "unknown metric 'J'"),
    ):
        assert run(["table", *finished, *options]) == 2
        assert sentence in capsys.readouterr().err
