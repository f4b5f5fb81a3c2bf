"""Predictions made elsewhere: equal numbers for equal predictions, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import gzsl_bench
from gzsl_bench.cli.main import run
from gzsl_bench.engine.outside.question import questions
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.report.cells import Table
from gzsl_bench.report.html.gather import grounds
from gzsl_bench.results.rows import rows
from gzsl_bench.suite.datasets import Place, find_data
from gzsl_bench.suite.load import load_suite

PAGE = (Path(__file__).parents[2] / "docs" / "outside.md").read_text(encoding="utf-8")
NAME = {"use": "acmr", "label": "ACMR"}
SUITE = {
    "name": "s",
    "datasets": ["digits"],
    "methods": [NAME | {"config": {"epochs": 10, "classifier_epochs": 8}}],
    "selection": ["val", "last", "best_test"],
    "calibration": True,
    "folds": 2,
    "seeds": 1,
}
NUMBERS = ["acc_unseen_mean", "acc_seen_mean", "harmonic_mean_mean", "harmonic_mean_sd",
           "zsl_acc_mean", "ausuc_mean", "gamma", "checkpoints", "support_tied"]  # fmt: skip


class Bench:
    """ACMR on digits, with folds, and its tasks."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.results = gzsl_bench.run(SUITE, out=out, executor="inline", progress=False)
        self.suite = out / "suites" / "s.yaml"
        (found,) = find_data(load_suite(self.suite), load_plugins(), Place(None, None))
        self.asked = questions(found)

    def files(self, folder: Path, folds: bool = True) -> list[Path]:
        """Predictions of its own records, as somebody else would hand them in."""
        made = []
        for cell in self.results.view.suite.cells:
            if cell.fold and not folds:
                continue
            arrays = self.results.view.record(cell.key).predictions()
            path = folder / f"{cell.fold}-{cell.seed}.npz"
            question = self.asked[cell.fold]
            np.savez(path, task=question.name, images=question.images, seed=cell.seed, **arrays)
            made.append(path)
        return made

    def score(self, out: Path, *arguments: object) -> int:
        return run(["score", *map(str, arguments), "--suite", str(self.suite), "--out", str(out)])


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("outside"))


def test_acmrs_own_predictions_give_acmrs_numbers(bench, tmp_path, capsys):
    files = bench.files(tmp_path)
    assert bench.score(bench.out, *files, "--method", "SVIP") == 0
    found = gzsl_bench.load("s", out=bench.out)
    table = found.table().set_index(["label", "selection"])
    ours, theirs = table.loc["ACMR"][NUMBERS], table.loc["SVIP"][NUMBERS]
    assert len(ours) == 5  # by three rules; val and last with calibration, too
    assert ours.astype(str).to_dict() == theirs.astype(str).to_dict()
    classes = found.per_class().set_index(["label", "seed", "class"])["accuracy"]
    assert classes["ACMR"].equals(classes["SVIP"])

    # The kept predictions are the same, and the record is as good as any.
    by_place = {(c.label, c.fold, c.seed): c.key for c in found.view.suite.cells}
    assert len(by_place) == 6
    for (label, *place), key in by_place.items():
        arrays = found.view.record(key).predictions()
        twin = found.view.record(by_place["SVIP", *place]).predictions()
        assert label == "SVIP" or all(np.array_equal(arrays[n], twin[n]) for n in arrays)
    assert run(["records", "verify", "--deep", "--out", str(bench.out)]) == 0

    # Every table says what it is.
    capsys.readouterr()
    for layout in (["--format", "github"], ["--format", "html"], ["--format", "latex"],
                   ["--layout", "wide"]):  # fmt: skip
        assert run(["table", "s", "--out", str(bench.out), *layout]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "trained elsewhere, selection not audited: SVIP" in said
        assert re.search(r"SVIP (\[|\{\[\})external", said)
    assert (table["fidelity"] == "external").tolist() == ["SVIP" in place for place in table.index]

    # The same files are the same cells.
    assert bench.score(bench.out, *files, "--method", "SVIP") == 0
    assert ", 0 new;" in capsys.readouterr().err


def test_without_folds_nothing_is_chosen(bench, tmp_path):
    assert bench.score(tmp_path / "o", *bench.files(tmp_path, folds=False), "--method", "X") == 0
    table = gzsl_bench.load("s", out=tmp_path / "o").table().set_index("selection")
    assert np.isfinite(table.loc["last", "harmonic_mean_mean"])
    for rule in ("val", "val+gamma", "last+gamma"):
        assert "no predictions of folds came along" in table.loc[rule, "unavailable"]


def test_classes_alone_give_all_but_what_needs_scores(bench, tmp_path, capsys):
    question = bench.asked[0]
    cell = next(c for c in bench.results.view.suite.cells if not c.fold)
    arrays = bench.results.view.record(cell.key).predictions()
    classes = {n: arrays[n][-1] for n in ("predicted", "predicted_seen", "predicted_unseen")}
    np.savez(tmp_path / "a.npz", task=question.name, images=question.images, **classes)
    out = tmp_path / "o"
    assert bench.score(out, tmp_path / "a.npz", "--method", "X") == 0
    found = gzsl_bench.load("s", out=out)
    (row,) = found.table("last").to_dict("records")
    final = bench.results.view.record(cell.key).checkpoints[-1].metrics
    assert row["harmonic_mean_mean"] == final["harmonic_mean"]
    assert row["zsl_acc_mean"] == final["zsl_acc"]
    assert row["ausuc_mean"] is None or np.isnan(row["ausuc_mean"])
    (row,) = found.table("last+gamma").to_dict("records")
    assert row["unavailable"]
    assert len(found.per_class("last")) == 10
    # A single checkpoint: without folds nobody knows by what it was chosen.
    (row,) = found.table("val").to_dict("records")
    assert "no predictions of folds came along" in row["unavailable"]

    # No other command stumbles over it.
    assert run(["records", "verify", "--deep", "--out", str(out)]) == 0
    assert run(["rescore", "s", "--out", str(out), "--tracking-uri", "none"]) == 0
    (ground,) = grounds(found.view, Table(rows(found.view)), "last")
    assert ground.left_out == (
        "X [external]: predicted classes without scores, so there is no curve.",
        "X [external]: a single checkpoint, so there is no curve over checkpoints.",
    )
    (key,) = row["keys"]
    assert run(["records", "reproduce", key, "--out", str(out)]) == 2
    assert "made elsewhere" in capsys.readouterr().err


def test_the_order_of_rows_does_not_matter(bench, tmp_path, capsys):
    question = bench.asked[0]
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(len(question.images), question.classes))
    order, task = rng.permutation(len(scores)), question.name
    back = np.argsort(question.order)  # the exported row of each test row
    for name, content in {
        "images": {"images": question.images, "scores": scores},
        "shuffled": {"images": question.images[order], "scores": scores[order]},
        "rows": {"rows": back, "scores": scores},
        "exported": {"scores": scores[question.order]},
    }.items():
        np.savez(tmp_path / f"{name}.npz", task=task, **content)
        assert bench.score(tmp_path / "o", tmp_path / f"{name}.npz", "--method", "X") == 0
        assert (", 1 new;" in capsys.readouterr().err) == (name == "images")


def broken(question, how):
    """A file that ought to be refused."""
    images, rows = question.images, len(question.images)
    good = {"task": question.name, "images": images, "scores": np.zeros((rows, 10))}
    classes = {n: np.zeros(rows, int) for n in ("predicted", "predicted_seen")}
    train = np.setdiff1d(np.arange(1797), images)
    return {
        "missing": good | {"images": images[:-1], "scores": good["scores"][:-1]},
        "doubled": good
        | {"images": np.append(images, images[3]), "scores": np.zeros((rows + 1, 10))},
        "doubled for missing": good | {"images": np.append(images[:-1], images[3])},
        "other split": good | {"images": np.append(images[1:], train[0])},
        "other task": good | {"task": "0123456789abcdef"},
        "nan": good | {"scores": np.full((rows, 10), np.nan)},
        "narrow": good | {"scores": np.zeros((rows, 9))},
        "no answer": {"task": question.name, "images": images},
        "half": good | {"scores": np.zeros((rows - 1, 10))},
        "two classes": {"task": question.name, **classes},
        "unseen as seen": {
            "task": question.name, **classes, "predicted_unseen": np.zeros(rows, int),
        },
        "contradiction": {
            "task": question.name, **classes, "predicted": np.full(rows, 1),
            "predicted_unseen": np.full(rows, 2),
        },
        "labels": good | {"labels": np.zeros(rows, int)},
        "unknown": good | {"probabilities": np.zeros(3)},
        "pickle": good | {"seed": np.array([{}], dtype=object)},
        "seed": good | {"seed": -1},
        "checkpoints": good | {"checkpoints": [1, 2]},
        "descending": good
        | {"scores": np.stack([good["scores"], good["scores"]]), "checkpoints": [2, 1]},
        "descending without a sign": good
        | {
            "scores": np.stack([good["scores"], good["scores"]]),
            "checkpoints": np.array([2, 1], np.uint8),
        },
        "below 0": good | {"checkpoints": [-5]},
        "no place": {"scores": good["scores"]},
    }[how]  # fmt: skip


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", r"of the \d+ test rows of digits it lacks 1 \(the first is image \d+\)$"),
        ("doubled", r"rows of digits it has 1 more than once \(the first is image \d+\)$"),
        (
            "doubled for missing",
            r"it lacks 1 \(the first is image \d+\) and has 1 more than once \(the first is im",
        ),
        ("other split", r"1 of its images are no test rows of digits .*another split"),
        ("other task", "none of this suite: it is of another data set"),
        ("nan", "scores holds NaN or infinite values"),
        ("narrow", r"shape \(1, \d+, 9\) where \(1, \d+, 10\) is expected"),
        ("no answer", "it needs scores of all classes"),
        ("half", r"scores has the shape"),
        ("two classes", "has no 'predicted_unseen'"),
        ("unseen as seen", "predicted_unseen holds what is no id of the unseen classes"),
        ("contradiction", "contradict themselves"),
        ("labels", "labels are not those of the test rows"),
        ("unknown", "'probabilities', which means nothing here"),
        ("pickle", "holds Python objects"),
        ("seed", "seed has to be one number from 0 on"),
        ("checkpoints", "checkpoints has to be a list of 1 whole numbers"),
        ("descending", "checkpoints has to ascend from 0 or more, as `last` takes the last one"),
        ("descending without a sign", "checkpoints has to ascend from 0 or more"),
        ("below 0", "checkpoints has to ascend from 0 or more"),
        ("no place", "says neither which task it answers"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(bench, tmp_path, capsys, how, said):
    np.savez(tmp_path / "a.npz", **broken(bench.asked[0], how))
    assert bench.score(tmp_path / "o", tmp_path / "a.npz", "--method", "X") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error), error
    assert not (tmp_path / "o").exists()


def test_files_that_do_not_go_together_and_options(bench, tmp_path, capsys):
    (file, *_) = bench.files(tmp_path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    for arguments, said in (
        ([file, file, "--method", "X"], "both answer digits with seed 0"),
        ([file], "say with --method"),
        ([file, "--method", "ACMR"], "choose another label"),
        ([tmp_path / "none.npz", "--method", "X"], "none.npz does not exist"),
        ([tmp_path, "--method", "X"], "is a folder"),
        ([tmp_path / "one.npy", "--method", "X"], "one.npy is no .npz archive"),
        ([tmp_path / "text.npz", "--method", "X"], "text.npz holds Python objects"),
        (
            ["new", tmp_path / "t.npz", "--fold", 7],
            "(digits), and a --fold that it has (0, 1, 2)",
        ),
        (
            ["new", tmp_path / "t.npz", "--dataset", "nope"],
            "gzsl-bench: unknown data set of this suite 'nope'; available: digits",
        ),
    ):
        assert bench.score(tmp_path / "o", *arguments) == 2
        error = capsys.readouterr().err
        assert said in error
        assert "allow_pickle" not in error
    # A template is refused until it is filled in, and never written over.
    assert bench.score(tmp_path / "o", "new", tmp_path / "t.npz") == 0
    assert bench.score(tmp_path / "o", tmp_path / "t.npz", "--method", "X") == 2
    assert "has to be filled" in capsys.readouterr().err
    content = dict(np.load(tmp_path / "t.npz"))
    content["scores"] = np.zeros_like(content["scores"])
    np.savez(tmp_path / "t.npz", **content)
    assert bench.score(tmp_path / "o", "new", tmp_path / "t.npz") == 2
    assert "t.npz is there already" in capsys.readouterr().err
    assert bench.score(tmp_path / "o", tmp_path / "t.npz", "--method", "X") == 0


def test_a_later_call_takes_the_place_of_an_earlier_one_and_says_what_left(bench, tmp_path, capsys):
    """One call, one row: rows of one name that nothing tells apart would be two sets of answers."""
    (file, *folds) = bench.files(tmp_path)
    other = dict(np.load(file)) | {"seed": np.array(1)}
    np.savez(tmp_path / "other.npz", **other)
    out = tmp_path / "o"

    def seeds():
        found = gzsl_bench.load("s", out=out)
        return [(row.label, row.seeds) for row in rows(found.view) if row.selection == "last"]

    assert bench.score(out, file, *folds, "--method", "X") == 0
    assert "warning" not in capsys.readouterr().err
    assert bench.score(out, tmp_path / "other.npz", "--method", "X") == 0
    said = capsys.readouterr().err
    assert "warning: digits · X · seed 0, digits · X · fold 1 · seed 0, " in said
    assert "name those files beside these to have them in the row" in said
    assert seeds() == [("X", (1,))]
    assert bench.score(out, file, tmp_path / "other.npz", *folds, "--method", "X") == 0
    assert "warning" not in capsys.readouterr().err
    assert seeds() == [("X", (0, 1))]


def test_data_sets_of_one_label_are_refused(bench, tmp_path, capsys):
    suite = tmp_path / "two.yaml"
    two = "[{use: digits, attributes: strokes}, {use: digits, attributes: lamps}]"
    suite.write_text(f"name: two\ndatasets: {two}\nmethods: [eszsl]\n")
    (file, *_) = bench.files(tmp_path)
    for command in (["export-task", tmp_path / "t"], ["score", file, "--method", "X"]):
        assert run([*map(str, command), "--suite", str(suite)]) == 2
        error = capsys.readouterr().err
        assert "two data sets are called 'digits', so tasks and answers of one could" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "t").exists()


def test_features_are_exported_as_the_entry_says_and_leaks_are_named(tmp_path, capsys):
    suite = tmp_path / "s.yaml"
    text = (
        "name: s\ndatasets: [{use: digits, preprocessing: minmax}]\nmethods: [eszsl]\n"
        "selection: [last]\n"
    )
    suite.write_text(text)

    def export(name, *more):
        assert run(["export-task", str(tmp_path / name), "--suite", str(suite), *more]) == 0
        with np.load(tmp_path / name / "digits" / "task.npz") as task:
            return task["features"], capsys.readouterr().err

    assert export("entry")[0].max() == 1
    assert export("asked", "--preprocessing", "none")[0].max() > 1
    assert (
        "score the answers with --setting transductive"
        in (export("leak", "--preprocessing", "minmax_refit_on_test")[1])
    )
    suite.write_text(text.replace("[last]", "[val]"))
    arguments = ["--suite", str(suite), "--preprocessing", "minmax_refit_on_test"]
    assert run(["export-task", str(tmp_path / "folds"), *arguments]) == 2
    error = capsys.readouterr().err
    assert "cannot be combined with the validation folds of digits" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "folds").exists()


def test_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (suite,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (tmp_path / "outside.yaml").write_text(suite)
    first, second = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    for part in (first, None, second):
        for line in (part or "").splitlines():
            arguments = line.removeprefix("gzsl-bench ").split()
            more = ["--inline", "--tracking-uri", "none"] if arguments[0] == "run" else []
            assert run([*arguments, *more]) == 0, capsys.readouterr().err
        if part is None:
            exec(compile(code, "outside.md", "exec"), {})
    assert "[external]: trained elsewhere" in capsys.readouterr().out
    table = gzsl_bench.load("outside").table().set_index(["label", "selection"])
    assert table.loc["means", "val"]["harmonic_mean_mean"] > 10

    # What is exported tells nothing of the test rows' classes.
    with np.load(tmp_path / "tasks" / "digits" / "task.npz") as task:
        assert set(task.files) == {
            "task", "features", "labels", "attributes", "seen", "unseen", "test_features"
        }  # fmt: skip
        (found,) = find_data(
            load_suite(tmp_path / "outside.yaml"), load_plugins(), Place(None, None)
        )
        question = questions(found)[0]
        assert np.array_equal(
            task["test_features"], found.data.features[question.images[question.order]]
        )
        from_unseen = np.isin(question.labels, question.unseen)[question.order]
        # Neither block comes first: among the first and the last hundred there are both.
        assert all(0 < part.mean() < 1 for part in (from_unseen[:100], from_unseen[-100:]))
