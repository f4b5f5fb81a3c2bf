"""A record says which build of the program made it, and where it was started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import gzsl_bench
from gzsl_bench.cli.training import worker_settings
from gzsl_bench.engine.environment import provenance
from gzsl_bench.engine.program import checkout, installed_from, program, started_in
from gzsl_bench.suite.datasets import Place

ROOT = Path(gzsl_bench.__file__).parents[1]
WHO = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")


def git(folder, *arguments):
    done = subprocess.run(
        ["git", *WHO, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository with a package that is part of it and one that only lies in its folder."""
    folder = tmp_path / "project"
    for name in ("gzsl_bench", "env/site-packages/gzsl_bench"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("x = 1\n")
    (folder / ".gitignore").write_text("env\n__pycache__\n")
    (folder / "notes.txt").write_text("1\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def test_a_package_of_a_checkout_has_its_commit(repository):
    package = repository / "gzsl_bench"
    commit = git(repository, "rev-parse", "HEAD")
    assert checkout(package) == (commit, False)
    (repository / "notes.txt").write_text("2\n")  # no part of the program
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.pyc").write_text("")
    assert checkout(package) == (commit, False)
    (package / "new.py").write_text("")  # not added yet, imported all the same
    assert checkout(package) == (commit, True)
    (package / "new.py").unlink()
    (package / "__init__.py").write_text("x = 2\n")
    assert checkout(package) == (commit, True)


def test_an_environment_in_a_project_is_not_the_project(repository):
    assert checkout(repository / "env" / "site-packages" / "gzsl_bench") is None


def test_no_repository_and_one_without_a_commit(tmp_path):
    package = tmp_path / "gzsl_bench"
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert checkout(package) is None
    assert started_in(tmp_path) is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    assert checkout(package) is None
    assert started_in(tmp_path) is None
    assert started_in(tmp_path / "gone") is None


def test_git_is_not_needed(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert checkout(repository / "gzsl_bench") is None
    assert started_in(repository) is None


def test_the_place_of_a_command(repository, monkeypatch, tmp_path):
    commit = git(repository, "rev-parse", "HEAD")
    assert started_in(repository) == commit
    # Within a hook git says by the environment which repository is meant.
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert started_in(repository) == commit
    monkeypatch.delenv("GIT_DIR")
    (repository / "notes.txt").write_text("2\n")
    assert started_in(repository) == f"{commit}+"


class Installed(metadata.Distribution):
    """As pip leaves it."""

    def __init__(self, site: Path, origin: str | None) -> None:
        self.site, self.direct_url = site, origin

    def read_text(self, filename: str) -> str | None:
        return self.direct_url if filename == "direct_url.json" else None

    def locate_file(self, path) -> Path:
        return self.site / path


@pytest.mark.parametrize(
    ("origin", "commit"),
    [
        (json.dumps({"url": "x", "vcs_info": {"vcs": "git", "commit_id": "abc"}}), "abc"),
        (json.dumps({"url": "x", "dir_info": {}}), None),
        (json.dumps({"vcs_info": 3}), None),
        ("no json", None),
        (None, None),  # a wheel
    ],
)
def test_what_pip_installed(tmp_path, origin, commit):
    package = tmp_path / "gzsl_bench"
    assert installed_from(package, lambda name: Installed(tmp_path, origin)) == commit
    elsewhere = Installed(tmp_path / "other", origin)
    assert installed_from(package, lambda name: elsewhere) is None


def test_a_name_that_nobody_installed(tmp_path):
    def find(name):
        raise metadata.PackageNotFoundError(name)

    assert installed_from(tmp_path, find) is None


def test_this_program():
    assert program().version == gzsl_bench.__version__
    if (ROOT / ".git").exists() and shutil.which("git"):
        assert program().commit == git(ROOT, "rev-parse", "HEAD")


def test_a_wheel_in_a_project_of_the_user_has_no_commit(repository):
    """Started in a repository, from an environment in its folder: the two are told apart."""
    site = repository / "env" / "site-packages"
    shutil.rmtree(site / "gzsl_bench")
    shutil.copytree(ROOT / "gzsl_bench", site / "gzsl_bench")
    code = (
        "from pathlib import Path\n"
        "from gzsl_bench.engine.program import program, started_in\n"
        "print(program(), started_in(Path.cwd()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository / "env", env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    commit = git(repository, "rev-parse", "HEAD")
    assert done.stdout.strip() == f"{gzsl_bench.__version__} {commit}"


def test_it_reaches_the_record(repository, monkeypatch, tmp_path):
    """What a run tells its workers, and they their records."""
    monkeypatch.chdir(repository)
    settings = worker_settings(tmp_path / "out", Place(None, None), "cpu", 1, ())
    about = provenance(settings, "u", ["k"])
    assert about.program == program()
    assert about.started_in == git(repository, "rev-parse", "HEAD")
