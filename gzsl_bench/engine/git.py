"""Asking git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gzsl_bench.errors import GzslBenchError, RecordError


def git(folder: Path, *arguments: str, seconds: float = 10) -> str:
    """What git prints about the repository around a folder.

    Args:
        folder: where.
        arguments: of git.
        seconds: it may take.

    Raises:
        RecordError: it fails; with what it says.
    """
    # Within a hook of git these name the repository that is being worked on.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder, env=clean, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise RecordError(f"git cannot be asked about {folder}: {error}") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise RecordError(f"git {arguments[0]} fails in {folder}: {said}")
    return done.stdout


def ask(folder: Path, *arguments: str) -> str | None:
    """The same without the last line's end; None where git fails."""
    try:
        return git(folder, *arguments).strip()
    except GzslBenchError:
        return None
