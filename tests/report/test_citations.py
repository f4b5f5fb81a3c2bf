"""BibTeX of a suite: the page's example, every shipped citation, odd ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from gzsl_bench.cli.main import run
from gzsl_bench.engine.outside.question import questions
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.report.citations import backbone, bibtex, works
from gzsl_bench.suite.datasets import Place, find_data
from gzsl_bench.suite.load import load_suite

PAGE = (Path(__file__).parents[2] / "docs" / "cite.md").read_text(encoding="utf-8")


def test_the_page(capsys, tmp_path):
    (command,) = re.findall(r"```sh\ngzsl-bench (.*?)\n```", PAGE)
    (example,) = re.findall(r"```bibtex\n(.*?)```", PAGE, re.S)
    assert run([*command.split(), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(example)
    assert re.findall(r"^@\w+\{(.+),$", said.out, re.M) == [
        "fang2022learning", "schonfeld2019generalized", "romera2015embarrassingly",
        "alpaydin1998optical", "gzsl-bench",
    ]  # fmt: skip
    assert "nobody says" not in said.err


def test_every_shipped_citation_is_understood():
    registry = load_plugins()
    lines = [("method " + s.name, s.citation) for s in registry.methods.values()]
    lines += [
        ("data set " + s.name, s.citation)
        for s in registry.datasets.values()
        if s.name != "synthetic"
    ]
    found = works(lines)
    text = bibtex(found)
    assert re.findall(r"@misc\{(.*),", text) == ["wah"]  # CUB was published nowhere but there
    keys = re.findall(r"^@\w+\{(.+),$", text, re.M)
    assert len(keys) == len(set(keys)) == len(found) + 1
    assert text.count("{") == text.count("}")
    # A split has an entry of its own, which all data sets share.
    (split,) = (w for w in found if w.citation.startswith("Xian et al., Zero-Shot Learning - the"))
    assert {"split of CUB", "split of SUN", "data set AWA2"} <= set(split.uses)


def test_journals_names_and_lines_of_no_form():
    lines = [
        ("method a", "Lampert, Nickisch and Harmeling, Of A & B, in 100 % of C_d, TPAMI 2014"),
        ("method b", "somebody's thesis"),
        ("method c", "somebody's thesis"),
        ("method d", "Lampert et al., Of Others, TPAMI 2014"),
        ("method e", ""),
    ]
    text = bibtex(works(lines))
    assert text.startswith(
        "% method a\n@article{lampert2014of,\n"
        "  author = {Lampert and Nickisch and Harmeling},\n"
        "  title = {{Of A \\& B, in 100 \\% of C\\_d}},\n"
        "  journal = {TPAMI},\n  year = {2014},\n}"
    )
    assert "% method b, method c\n@misc{somebody," in text
    assert "{lampert2014ofb," in text
    assert "method e" not in text
    assert "Deep Residual" in backbone("res101")
    assert backbone("pixels") == ""


def test_what_was_scored_is_cited_and_what_nobody_says_is_named(capsys, tmp_path, monkeypatch):
    suite = tmp_path / "s.yaml"
    suite.write_text("name: s\ndatasets: [digits]\nmethods: [eszsl]\n")
    (found,) = find_data(load_suite(suite), load_plugins(), Place(None, None))
    question = questions(found)[0]
    np.savez(tmp_path / "a.npz", task=question.name, scores=np.zeros((len(question.images), 10)))
    given = ["--suite", str(suite), "--out", str(tmp_path / "out")]
    for label, more in (("X", ["--citation", "Me et al., My Way, CVPR 2026"]), ("Y", [])):
        assert run(["score", str(tmp_path / "a.npz"), "--method", label, *given, *more]) == 0
    capsys.readouterr()
    assert run(["cite", str(suite), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "% method X\n@inproceedings{me2026my," in said.out
    assert said.err.endswith("note: nobody says what to cite for method Y\n")
    # The suite's file is gone, the records are not; ESZSL never ran. A folder of its name is none.
    suite.unlink()
    (tmp_path / "s").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(["cite", "s", "--out", str(tmp_path / "out")]) == 0
    again = capsys.readouterr()
    blocks = said.out.rstrip().split("\n\n")
    ran = [block for block in blocks if not block.startswith("% method eszsl")]
    assert len(ran) == len(blocks) - 1
    assert sorted(again.out.rstrip().split("\n\n")) == sorted(ran)
    assert again.err == said.err
