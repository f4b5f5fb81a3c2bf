"""Results of others: submitted, checked, and forged in every way that came to mind."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
import yaml
from records_factory import edit, put_predictions

from gzsl_bench.cli.main import cli, run
from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.engine.worker import Worker
from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.records.record import Record
from gzsl_bench.records.store import RecordStore, hash_of
from gzsl_bench.records.submissions import (
    AS_SUBMITTED,
    NOT_REPRODUCED,
    RECOMPUTED,
    REFUSED,
    REPRODUCED,
    Checked,
    Repository,
    Status,
)
from gzsl_bench.records.submit import submit
from gzsl_bench.records.unpacked import ABOUT
from gzsl_bench.records.verify import checked
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.submissions.check import Retraining, check
from gzsl_bench.suite.cells import digest

PLUGIN = """
import torch
from gzsl_bench import Method, MethodSpec, hookimpl

class Ridge(Method):
    def fit(self, task, run):
        x, y = task.features.double(), task.attributes.double()[task.labels]
        w = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
        for number in (1, 2):
            noise = torch.randn(w.shape, generator=run.generator(f"noise {number}")).double()
            mine = w + 0.05 * noise
            run.checkpoint(number, lambda v, m=mine: v.double() @ m @ task.attributes.double().T)

@hookimpl
def gzsl_bench_methods():
    return [MethodSpec("ridge", Ridge, citation="", fidelity="approximation")]
"""
SUITE = "name: ours\ndatasets: [digits]\nmethods: [ridge, eszsl]\nseeds: 2\nselection: [last]\n"
ABOUT_US = {"who": "A. Nyone", "contact": "https://example.org"}


class Home(NamedTuple):
    out: Path
    plugin: Path
    worker: Worker
    honest: Path


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    """A results folder, all that is needed to check it, and a repository with its submission."""
    folder = tmp_path_factory.mktemp("submissions")
    (folder / "ridge.py").write_text(PLUGIN)
    (folder / "ours.yaml").write_text(SUITE)
    arguments = ["--plugin", str(folder / "ridge.py"), "--out", str(folder / "out"), "--inline"]
    more = ["--device", "cpu", "--tracking-uri", "none"]
    assert run(["run", str(folder / "ours.yaml"), *arguments, *more]) == 0
    for place in (folder / "out" / "cells").iterdir():  # this program may be under change
        edit(place, lambda content: content["provenance"].update(program=None))
    registry = load_plugins(files=[folder / "ridge.py"])
    settings = WorkerSettings(folder, None, None, "cpu", 1)
    repository = Repository.create(folder / "repository")
    submit(RecordStore(folder / "out"), repository, "honest", **ABOUT_US)
    worker = Worker(registry, settings, lambda event: None)
    return Home(folder / "out", folder / "ridge.py", worker, repository.submission("honest"))


def seal(submission: Path) -> None:
    """Make hashes and summary right, as whoever forges would."""
    names = sorted(
        p.relative_to(submission).as_posix()
        for p in submission.rglob("*")
        if p.is_file() and p.name not in ("manifest.json", ABOUT)
    )
    content = json.loads((submission / "manifest.json").read_text())
    content["files"] = {
        name: {"sha256": hash_of(submission / name), "size": (submission / name).stat().st_size}
        for name in names
    }
    (submission / "manifest.json").write_text(json.dumps(content))
    about = json.loads((submission / ABOUT).read_text())
    about["records"] = len(list((submission / "cells").iterdir()))
    (submission / ABOUT).write_text(json.dumps(about))


def the(submission: Path, method: str, seed: int = 0) -> Record:
    found = map(checked, (submission / "cells").iterdir())
    return next(record for record in found if (record.method, record.seed) == (method, seed))


def rewrite(record: Record, **identity: Any) -> Path:
    """Another identity with the right key, as whoever forges would make it."""
    whole = {**record.identity, **identity}
    key = digest(whole)

    def change(content: dict[str, Any]) -> None:
        content.update(key=key, identity=whole, seed=whole["seed"], method=whole["method"]["name"])
        content["provenance"]["trained"] = [key]

    edit(record.path, change)
    return record.path.rename(record.path.with_name(key))


def give(home: Home, folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Other predictions, with hashes and every metric made right."""
    put_predictions(folder, arrays)
    metrics = home.worker.registry.metrics

    def change(content: dict[str, Any]) -> None:
        content["checkpoints"] = [
            {"number": int(n), "metrics": evaluate(kept_predictions(arrays, int(n)), metrics)}
            for n in arrays["checkpoints"]
        ]

    edit(folder, change)


# Each way to forge takes the folder of a submission and returns the keys that it is about ---------


def metrics(home: Home, place: Path) -> Path:
    folder = the(place, "ridge").path
    edit(folder, lambda c: c["checkpoints"][-1]["metrics"].update(harmonic_mean=99.0))
    return folder


def predictions_changed(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    arrays = record.predictions()
    wrong = np.flatnonzero(arrays["predicted"][-1] != arrays["labels"])[:50]
    for name, classes in (("predicted_seen", "seen"), ("predicted_unseen", "unseen")):
        rows = wrong[np.isin(arrays["labels"][wrong], arrays[classes])]
        arrays[name][-1, rows] = arrays["labels"][rows]
    arrays["predicted"][-1, wrong] = arrays["labels"][wrong]
    give(home, record.path, arrays)
    return record.path


def predictions_swapped_for_the_test_labels(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    arrays = record.predictions()
    for name, classes in (("predicted_seen", "seen"), ("predicted_unseen", "unseen")):
        mine = np.isin(arrays["labels"], arrays[classes])
        arrays[name][:, mine] = arrays["labels"][mine]
    arrays["predicted"][:] = arrays["labels"]
    give(home, record.path, arrays)
    return record.path


def predictions_for_labels(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    arrays = record.predictions()
    seen = np.isin(arrays["labels"], arrays["seen"])
    guessed = np.where(seen, arrays["predicted_seen"][-1], arrays["predicted_unseen"][-1])
    arrays["labels"] = guessed.astype(arrays["labels"].dtype)
    give(home, record.path, arrays)
    return record.path


def scores(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    arrays = record.predictions()
    arrays["best_unseen"] = arrays["best_unseen"] * 3 + 1
    give(home, record.path, arrays)
    return record.path


def key(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    edit(record.path, lambda c: c.update(key="0" * 24))
    return record.path.rename(record.path.with_name("0" * 24))


def version(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    return rewrite(record, method={**record.identity["method"], "version": "9.9"})


def code_digest(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    return rewrite(record, method={**record.identity["method"], "source": "0" * 16})


def another_split(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    return rewrite(record, dataset={**record.identity["dataset"], "fingerprint": "0" * 16})


def timings(home: Home, place: Path) -> Path:
    folder = the(place, "ridge").path
    edit(folder, lambda c: c["provenance"].update(seconds=1e-9))
    return folder


def renamed(home: Home, place: Path) -> Path:
    folder = the(place, "eszsl").path
    edit(folder, lambda c: c.update(method="mynet", label="MyNet"))
    return folder


def called_elsewhere(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    edit(record.path, lambda c: c["about"].update(fidelity="external"))
    return rewrite(record, preprocessing="external")


def renamed_with_its_key(home: Home, place: Path) -> Path:
    record = the(place, "eszsl")
    copy = Path(shutil.copytree(record.path, place / "cells" / ("0" * 24)))
    method = {**record.identity["method"], "name": "mynet", "config": {}}
    key = digest({**record.identity, "method": method})

    def change(content: dict[str, Any]) -> None:
        content.update(key=key, method="mynet", label="MyNet")
        content["identity"] = {**record.identity, "method": method}
        content["provenance"]["trained"] = [key]

    edit(copy, change)
    return copy.rename(copy.with_name(key))


def called_another(home: Home, place: Path) -> Path:
    folder = the(place, "ridge").path
    edit(folder, lambda c: c.update(label="ESZSL"))
    return folder


def called_alike(home: Home, place: Path) -> Path:
    folder = the(place, "ridge").path
    edit(folder, lambda c: c.update(label="E\u200bSZSL "))
    return folder


def fidelity(home: Home, place: Path) -> Path:
    folder = the(place, "ridge").path
    edit(folder, lambda c: c["about"].update(fidelity="paper"))
    return folder


def seeds_doubled(home: Home, place: Path) -> Path:
    one, other = the(place, "ridge", 0), the(place, "ridge", 1)
    arrays = one.predictions()
    arrays["best_seen"][:, :20] += 1e-6  # not quite the same file
    give(home, other.path, arrays)
    return other.path


def checkpoints_left_out(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    arrays = record.predictions()
    for name in ("checkpoints", "scored", "predicted", "predicted_seen", "predicted_unseen",
                 "best_seen", "best_unseen"):  # fmt: skip
        arrays[name] = arrays[name][:1]
    give(home, record.path, arrays)
    return record.path


def checkpoints_not_shown(home: Home, place: Path) -> Path:
    folder = the(place, "ridge").path
    edit(folder, lambda c: c["checkpoints"].pop())
    return folder


def own_audit(home: Home, place: Path) -> Path:
    record = the(place, "ridge")
    audit = {"audit_version": 1, "key": record.key, "outcome": "ok", "reason": ""}
    (place / "audits").mkdir()
    (place / "audits" / f"{record.key}.json").write_text(json.dumps(audit))
    return record.path


def device(home: Home, place: Path) -> Path:
    folder = predictions_swapped_for_the_test_labels(home, place)
    edit(folder, lambda c: c["provenance"]["hardware"].update(device="cuda:0"))
    return folder


def instructions(home: Home, place: Path) -> Path:
    folder = predictions_swapped_for_the_test_labels(home, place)
    edit(folder, lambda c: c["provenance"]["hardware"].update(instructions="ABACUS"))
    return folder


class Forged(NamedTuple):
    how: Callable[[Home, Path], Path]
    status: Status
    words: str
    only_a_rerun: bool = False


FORGED = [
    Forged(metrics, REFUSED, "but 99.0 is recorded"),
    Forged(predictions_changed, NOT_REPRODUCED, "H at the last checkpoint is", only_a_rerun=True),
    Forged(
        predictions_swapped_for_the_test_labels, NOT_REPRODUCED, "it differs in", only_a_rerun=True
    ),
    Forged(checkpoints_left_out, NOT_REPRODUCED, "checkpoints [2] are of one", only_a_rerun=True),
    Forged(scores, NOT_REPRODUCED, "scores are others"),
    Forged(predictions_for_labels, REFUSED, "labels beside its predictions are not those"),
    Forged(checkpoints_not_shown, REFUSED, "checkpoints are not those of its predictions"),
    Forged(key, REFUSED, "the key is not of this cell"),
    Forged(version, RECOMPUTED, "is not the one of the cell's key"),
    Forged(code_digest, RECOMPUTED, "is not the one of the cell's key"),
    Forged(another_split, REFUSED, "its fingerprint is '0000000000000000'"),
    Forged(device, RECOMPUTED, "it was trained on cuda, which rounds otherwise than cpu"),
    Forged(instructions, RECOMPUTED, "trained with ABACUS instructions, again with"),
    Forged(timings, REFUSED, "1e-09 s are recorded"),
    Forged(renamed, REFUSED, "its key is made from 'eszsl'"),
    Forged(renamed_with_its_key, RECOMPUTED, "to the last score, those of 'eszsl'"),
    Forged(called_another, REFUSED, "called 'ESZSL' and is of 'ridge'"),
    Forged(called_alike, REFUSED, "and is of 'ridge'"),
    Forged(called_elsewhere, REFUSED, "called 'ridge' and is of 'outside'"),
    Forged(fidelity, REFUSED, "its fidelity is 'paper'"),
    Forged(seeds_doubled, REFUSED, "seeds 0 and 1 have the same scores"),
    Forged(own_audit, REFUSED, "audits of others count for nothing"),
]


def test_the_page_names_what_only_a_training_shows():
    page = (Path(__file__).parents[2] / "docs" / "submissions.md").read_text(encoding="utf-8")
    named = page.split("**Three only a training shows**")[1].split("\n\n")[1]
    assert [line.split("**")[1] for line in named.splitlines()] == [
        forged.how.__name__.replace("_", " ") for forged in FORGED if forged.only_a_rerun
    ]


@pytest.fixture
def repository(home, tmp_path) -> Repository:
    """A repository with a copy of the honest submission, to be spoilt."""
    found = Repository.create(tmp_path / "repository")
    shutil.copytree(home.honest, found.submission("theirs"))
    return found


def look(home: Home, repository: Repository, seeds: int = 2) -> Checked:
    return check(repository, "theirs", home.worker, Retraining(seeds))


def test_an_honest_submission_is_reproduced(home, repository):
    found = look(home, repository)
    assert found.sound
    assert found.count(REPRODUCED) == len(found.records) == 3
    assert all(one.seconds is not None for one in found.records.values())
    # One seed of each row: of two seeds of ridge one.
    found = look(home, repository, seeds=1)
    assert (found.count(REPRODUCED), found.count(RECOMPUTED)) == (2, 1)
    # A verdict is about these bytes and no others.
    repository.write_checked("theirs", found)
    assert repository.checked("theirs") == found
    record = the(repository.submission("theirs"), "eszsl")
    edit(record.path, lambda c: c.update(label="other"))
    assert record.key not in repository.checked("theirs").records


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: forged.how.__name__)
def test_no_forged_record_is_reproduced(home, repository, forged):
    place = repository.submission("theirs")
    about = forged.how(home, place).name
    seal(place)
    if forged.only_a_rerun:  # nothing else could tell
        before = look(home, repository, seeds=0)
        assert before.sound
        assert before.records[about].status == RECOMPUTED
    found = look(home, repository)
    assert found.records[about].status == forged.status
    assert forged.words in found.records[about].why
    # The others are none the worse for it, but for the seed that was copied.
    others = {one.status for key, one in found.records.items() if key != about}
    assert others == ({REPRODUCED, REFUSED} if forged.how is seeds_doubled else {REPRODUCED})


def test_a_record_without_its_data_or_metrics_is_as_submitted(home, repository):
    place = repository.submission("theirs")
    for record in (the(place, "ridge", 0), the(place, "ridge", 1)):
        edit(record.path, lambda c: c["request"].update(use="../nowhere"))
        edit(record.path, lambda c: c.update(dataset="Nowhere"))
    one = the(place, "eszsl")
    edit(one.path, lambda c: [r["metrics"].update(mine=1.0) for r in c["checkpoints"]])
    seal(place)
    found = look(home, repository)
    assert found.sound
    assert found.count(AS_SUBMITTED) == 3
    assert "neither its fingerprint" in found.records[record.key].why
    assert "not computed again" in found.records[one.key].why


def test_whatever_a_key_names_is_answered(home, repository):
    """One submission of records whose identities make no sense, each with the right key."""
    place = repository.submission("theirs")
    fold = {"fold": 10**9, "seen_classes": 1, "unseen_classes": 1, "content": "", "code": 1}
    record, lacking = the(place, "ridge"), the(place, "ridge", 1)
    method = record.identity["method"]
    strange: dict[str, dict[str, Any]] = {
        "its key names what nobody has": {"preprocessing": "none such"},
        "KeyError: 'float1'": {"precision": "float1"},
        "neither the real one nor a fold": {"task": "test"},
        "fold 1000000000": {"task": fold},
        "its task {'fold': 0": {"task": {**fold, "fold": 0}},
        "its setting is 'transductive'": {"setting": "transductive"},
        "'ridge' on digits: the configuration cannot be used": {
            "method": {**method, "config": {"more": 1}}
        },
        "instead of \ufffd::error::, source": {"method": {**method, "version": "\n::error::"}},
    }
    wanted = {lacking.key: "its request names no use"}
    for words, identity in strange.items():
        whole = {**record.identity, **identity}
        copy = Path(shutil.copytree(record.path, record.path.with_name(digest(whole))))

        def change(content: dict[str, Any], whole: dict[str, Any] = whole) -> None:
            content.update(key=digest(whole), identity=whole)
            content["provenance"]["trained"] = [digest(whole)]

        edit(copy, change)
        wanted[copy.name] = words
    edit(lacking.path, lambda c: c["request"].pop("use"))
    seal(place)
    found = look(home, repository)
    assert found.count(REPRODUCED) == 2
    for key, words in wanted.items():
        assert found.records[key].status in (REFUSED, RECOMPUTED)
        assert words in found.records[key].why


def own_status(place: Path) -> None:
    (place / "checked.json").write_text('{"status": "reproduced"}')
    seal(place)


def leads_elsewhere(place: Path) -> None:
    content = json.loads((place / "manifest.json").read_text())
    entry = next(iter(content["files"].values()))
    content["files"]["cells/../../../checked/theirs.json"] = entry
    (place / "manifest.json").write_text(json.dumps(content))


def is_linked(place: Path) -> None:
    log = the(place, "ridge").path / "log.txt"
    log.unlink()
    log.symlink_to("/etc/hostname")


def is_endless(place: Path) -> None:
    record = the(place, "ridge").path / "record.json"
    record.unlink()
    record.symlink_to("/dev/zero")


def unlisted(place: Path) -> None:
    (place / "cells" / "more").write_text("")


def says_too_much(place: Path) -> None:
    content = json.loads((place / ABOUT).read_text())
    (place / ABOUT).write_text(json.dumps({**content, "programs": ["1.0"]}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (own_status, "'checked.json' is no name of a file in it"),
        (leads_elsewhere, "is no name of a file in it"),
        (is_linked, "is no plain file"),
        (is_endless, "is no plain file"),
        (unlisted, "does not name 'cells/more'"),
        (says_too_much, "submission.json says programs"),
        (lambda place: (place / ABOUT).unlink(), "submission.json cannot be read"),
        (lambda place: (place / ABOUT).write_text('{"status": "reproduced"}'), "cannot be read"),
    ],
)
def test_a_submission_that_is_not_what_it_should_be_is_refused(home, repository, spoil, words):
    spoil(repository.submission("theirs"))
    found = look(home, repository, seeds=0)
    assert not found.sound
    assert words in found.refused[0]
    assert str(repository.root) not in found.refused[0]
    whole = spoil is not says_too_much
    assert found.count(REFUSED) == len(found.records) * whole
    assert len(found.records) == 3


# On the command line ------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false",
         *arguments],
        cwd=folder, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def clone(tmp_path) -> Path:
    """A results repository under git, with nothing in it."""
    folder = tmp_path / "clone"
    assert run(["records", "init", str(folder)]) == 0
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "x")
    git(folder, "config", "user.email", "x@y")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "A results repository")
    return folder


def test_a_results_folder_becomes_no_repository(tmp_path, capsys):
    """Whoever reads it would then look for submissions in it, and find no record."""
    (tmp_path / "out" / "cells").mkdir(parents=True)
    assert run(["records", "init", str(tmp_path / "out")]) == 2
    assert "out is a results folder; a results repository is a folder of its own" in (
        capsys.readouterr().err
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cells"]


def test_from_results_to_verdicts(home, clone, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["records", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    mine = ("submit", str(home.out), "--to", str(clone), "--plugin", str(home.plugin))
    who = ("--name", "ours", "--who", "A. Nyone", "--contact", "mail@example.org")
    code, said, told = call(*mine, *who)
    assert (code, said.count("git -C")) == (0, 4)
    assert "3 records" in told
    # The same once more changes nothing, committed or not.
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in clone.rglob("submissions/**/*.*")}
    assert len(before) == 3 * 3 + 3
    assert "nothing has changed" in call(*mine, *who)[2]
    code, said, told = call(*mine, *who, "--commit")
    assert (code, said) == (0, f"git -C {clone} push -u origin submission/ours\n")
    assert "nothing to commit" in call(*mine, *who, "--commit")[2]
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    assert git(clone, "log", "--format=%s", "main..HEAD") == "Submission ours\n"
    # Another one would bring this one along.
    code, said, told = call(*mine, "--name", "more", *who[2:], "--commit")
    assert (code, said) == (2, "")
    assert "is on the branch submission/ours" in told
    assert not (clone / "submissions" / "more").exists()
    # Of a pull request: what changed since the main branch, and nothing is written.
    checks = ("check", str(clone), "--plugin", str(home.plugin), "--device", "cpu")
    code, said, told = call(*checks, "--since", "main", "--retrain", "1", "--json")
    verdicts = json.loads(said)["ours"]["records"].values()
    assert (code, sorted(v["status"] for v in verdicts)) == (0, [RECOMPUTED, *[REPRODUCED] * 2])
    assert not (clone / "checked").exists()
    # A verdict that comes along is named, and what is found takes its place.
    own = {"checked_version": 1, "records": {"0" * 24: {"status": "reproduced"}}}
    (clone / "checked").mkdir()
    (clone / "checked" / "ours.json").write_text(json.dumps(own))
    (clone / "checked" / "gone.json").write_text(json.dumps(own))
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "forged")
    code, said, told = call(*checks, "--since", "main", "--write")
    assert code == 1
    assert "checked/ours.json came along" in told
    found = Repository.at(clone).checked("ours")
    assert (found.count(RECOMPUTED), found.count(REPRODUCED)) == (3, 0)
    assert [p.name for p in (clone / "checked").iterdir()] == ["ours.json"]
    assert call(*checks, "--since", "HEAD")[0] == 0
    assert call(*checks, "--since", "nothing")[0] == 2
    (clone / "submissions" / "Not A Name").mkdir()
    code, said, told = call(*checks, "--since", "HEAD")
    assert (code, "submissions/Not A Name has no name" in told) == (1, True)
    # Bad input is one sentence.
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "verdicts")
    for arguments, words in (
        ((*mine, *who[:-1], "two\nlines"), "contact"),
        ((*mine, "--name", "../up", *who[2:]), "is no name of a submission"),
        ((*mine[:3], str(home.out), *who), "is no results repository"),
        ((*mine, *who, "--suite", "other"), "nothing of the suite 'other'"),
        (("init", str(clone)), "is there already"),
        ((*checks, "--only", "our"), "did you mean 'ours'"),
        ((*checks, "--data", str(clone / "checked")), "lies in the clone"),
    ):
        code, said, told = call(*arguments)
        assert (code, said, told.count("\n")) == (2, "", 1), told
        assert words in told
    assert "a submission has a --name" in call(*mine)[2]
    (clone / "notes").write_text("")
    assert "changes of its own (notes is one)" in call(*mine, *who)[2]


def test_what_is_contradictory_or_cannot_be_made_again_is_not_submitted(home, tmp_path, clone):
    out = Path(shutil.copytree(home.out, tmp_path / "out"))
    place = the(out, "ridge").path
    arguments = ["records", "submit", str(out), "--to", str(clone), "--name", "a", "--who", "b"]

    def refused(capsys: Any = None) -> str:
        with pytest.raises(RecordError) as error:
            run([*arguments, "--contact", "c", "--debug"])
        return str(error.value)

    original = (place / "record.json").read_bytes()
    edit(place, lambda c: c["checkpoints"][0]["metrics"].update(harmonic_mean=1.0))
    assert "cannot be submitted" in refused()
    (place / "record.json").write_bytes(original)
    build = {"version": "0.1.0", "commit": "0" * 40, "dirty": True}
    edit(place, lambda c: c["provenance"].update(program=build))
    assert "nobody can make that again" in refused()
    (place / "record.json").write_bytes(original)
    assert run([*arguments, "--contact", "c"]) == 0
    # It may grow, and keeps what it has.
    shutil.rmtree(place)
    assert "the results folder has not it" in refused()


@pytest.mark.parametrize("inside", [False, True])
def test_nothing_is_submitted_through_a_link(home, tmp_path, clone, inside):
    """It would have files replaced and removed wherever somebody's repository says."""
    precious = tmp_path / "precious" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")
    place = clone / "submissions" / "ours" / ("cells" if inside else "")
    place.parent.mkdir(parents=True)
    place.symlink_to(precious.parent)
    with pytest.raises(RecordError, match=r"submissions/ours is refused: .*(link|no plain file)"):
        submit(RecordStore(home.out), Repository.at(clone), "ours", **ABOUT_US)
    assert [p.name for p in precious.parent.iterdir()] == ["thesis.txt"]


def test_the_workflow_is_one(clone):
    text = (clone / ".github" / "workflows" / "check.yml").read_text()
    content = yaml.safe_load(text)
    assert set(content[True]) == {"pull_request", "push", "workflow_dispatch"}  # YAML's `on`
    assert content["permissions"] == {"contents": "read"}
    writing = {n for n, job in content["jobs"].items() if "permissions" in job}
    assert writing == {"keep"}
    commands = []
    for name, job in content["jobs"].items():
        for step in job["steps"]:
            said = step.get("run", "")
            # What others wrote (a branch's name, say) reaches no shell as part of a script.
            assert "${{" not in said
            if step.get("uses", "").startswith("actions/checkout") and name != "keep":
                assert step["with"]["persist-credentials"] is False
            plain = said.replace("\\\n", " ")
            commands += [(name, line) for line in plain.splitlines() if "gzsl-bench" in line]
    assert all(name != "keep" for name, _ in commands)
    assert any("--write" in line for name, line in commands if name == "judge")
    assert all("--write" not in line for name, line in commands if name == "proposed")
    for _, line in commands:
        # Data lie where no pull request can put its own.
        assert '--data "$RUNNER_TEMP/data"' in line
        words = line.split("gzsl-bench ")[1].split(";")[0].split()
        command: click.Command = cli
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        known = {option for parameter in command.params for option in parameter.opts}
        asked = {word.split("}")[0].removeprefix("${BEFORE:+") for word in words if "--" in word}
        assert asked <= known, line


def test_verdicts_of_two_runs_at_once_are_both_kept(clone, tmp_path):
    """Of two merges shortly after one another neither check has the other's verdicts."""
    jobs = yaml.safe_load((clone / ".github" / "workflows" / "check.yml").read_text())["jobs"]

    def step(job: str, beginning: str, folder: Path) -> None:
        (script,) = [s["run"] for s in jobs[job]["steps"] if beginning in s.get("name", "")]
        subprocess.run(["bash", "-e", "-c", script], cwd=folder, check=True, timeout=300)

    def copy(name: str) -> Path:
        git(tmp_path, "clone", "-q", str(tmp_path / "origin"), name)
        return tmp_path / name

    old, new = Checked(program="old"), Checked(program="new")
    for name in ("one", "two", "three"):
        (clone / "submissions" / name).mkdir(parents=True)
        (clone / "submissions" / name / "manifest.json").write_text("{}")
        Repository.at(clone).write_checked(name, old)
    Repository.at(clone).write_checked("gone", old)
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "three submissions")
    git(tmp_path, "clone", "-q", "--bare", str(clone), "origin")
    for name in ("one", "two"):
        judge = copy(f"judge-{name}")
        Repository.at(judge).write_checked(name, new)
        step("judge", "Set aside", judge)
    keeps = [copy(f"keep-{name}") for name in ("one", "two")]
    for name, keep in zip(("one", "two"), keeps, strict=True):
        shutil.copytree(tmp_path / f"judge-{name}" / "found", keep / "checked", dirs_exist_ok=True)
        step("keep", "Commit", keep)
    end = Repository.at(copy("end"))
    found = {name: end.checked(name) for name in ("one", "two", "three", "gone")}
    assert {name: one and one.program for name, one in found.items()} == {
        "one": "new", "two": "new", "three": "old", "gone": None,
    }  # fmt: skip
