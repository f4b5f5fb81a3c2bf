"""docs/tutorial.md at its word: its files are written, its commands run, its table compared.

What is not literal: the virtual environment is the one that runs the tests, which has what the
first block installs, and ``pip install`` of the packaged plugin goes to a folder of its own without
the network (``--no-index --no-deps --no-build-isolation --target``).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")

#: Fenced blocks in order: language, title (the file to save it as, or empty), content.
BLOCKS = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', PAGE, re.S | re.M)
COMMANDS = [
    line for language, _, body in BLOCKS if language == "sh" for line in body.splitlines() if line
]


def test_from_nothing_to_a_row_in_at_most_five_commands_and_under_forty_lines() -> None:
    first_run = next(i for i, line in enumerate(COMMANDS) if line.startswith("gzsl-bench run"))
    assert first_run + 1 <= 5
    files = {name: body for _, name, body in BLOCKS if name}
    assert len(files["ridge.py"].splitlines()) < 40
    assert set(files) == {"ridge.py", "mine.yaml", "gzsl-bench-ridge/tests/test_ridge.py"}


def test_the_first_block_installs_what_is_there() -> None:
    venv, activate, install = BLOCKS[0][2].splitlines()
    assert venv == "python3 -m venv .venv"
    assert activate == ". .venv/bin/activate"
    assert install.startswith("pip install -c constraints.txt '.[mlflow]' ")
    for part in re.findall(r"\./(\S+)", install):
        assert (ROOT / part / "pyproject.toml").is_file()


def rows(text: str) -> list[list[str]]:
    """Cells of a table's rows, without its heading and rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def programs(folder: Path, packages: Path) -> None:
    """``pytest`` and ``pip`` of the environment that runs the tests."""
    install = f"install --quiet --no-index --no-deps --no-build-isolation --target '{packages}'"
    scripts = {
        "pytest": f"exec '{sys.executable}' -m pytest -q \"$@\"",
        "pip": f'[ "$1" = install ] && shift && exec \'{sys.executable}\' -m pip {install} "$@"',
    }
    folder.mkdir()
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)


def arguments(command: str) -> list[str]:
    """What the script of that name would start, which tests need not start from nothing."""
    program, *rest = shlex.split(command)
    if program == "gzsl-bench":
        return [sys.executable, "-m", "gzsl_bench", *rest]
    return ["bash", "-c", command]


@pytest.mark.slow
def test_the_tutorial(tmp_path: Path) -> None:
    work, packages = tmp_path / "work", tmp_path / "packages"
    work.mkdir()
    programs(tmp_path / "bin", packages)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{packages}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "GZSL_BENCH_DATA": "",
    }
    printed = ""
    tables = 0
    for language, name, body in BLOCKS[1:]:
        if name:
            (work / name).write_text(body, encoding="utf-8")
        elif language == "text":
            shown, found = rows(body), rows(printed)
            assert [r[:4] for r in shown] == [r[:4] for r in found]
            for one, other in zip(shown, found, strict=True):
                numbers = [[float(cell) for cell in row[4:]] for row in (one, other)]
                # Another processor may decide a few images otherwise.
                assert numbers[0] == pytest.approx(numbers[1], abs=1.0), (one, other)
            tables += 1
        else:
            assert language == "sh", language
            for command in body.splitlines():
                ended = subprocess.run(
                    arguments(command),
                    cwd=work,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=600,
                )
                assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
                printed = ended.stdout
    assert tables == 1
    # The last command ran the installed package: it has a version, where the file had a digest.
    # Families of methods have rows of their own.
    named = {row[0] for row in rows(printed) if not row[0].startswith("*")}
    assert named == {"ridge", "ridge 100", "eszsl"}
    assert "ridge: version 0.1.0" in printed
