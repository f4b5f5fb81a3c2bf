"""Which build of the program is at work, and, apart from that, where it was started."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

from gzsl_bench.engine.git import ask
from gzsl_bench.records.record import Program
from gzsl_bench.version import __version__


@cache
def program() -> Program:
    """This very build, by the place of its own files."""
    package = Path(__file__).parents[1]
    commit, dirty = checkout(package) or (installed_from(package), False)
    return Program(__version__, commit, dirty)


def checkout(package: Path) -> tuple[str, bool] | None:
    """Commit of the repository that a package is part of, and whether its files differ from it.

    None where the package is no part of one, though its folder may lie within some repository: an
    environment in a project's folder is not that project.
    """
    if ask(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = ask(package, "rev-parse", "--verify", "HEAD")
    changed = ask(package, "status", "--porcelain", "--", ".")
    return None if commit is None or changed is None else (commit, bool(changed))


def installed_from(
    package: Path, find: Callable[[str], metadata.Distribution] = metadata.distribution
) -> str | None:
    """The commit that pip installed a package from (PEP 610), if it was a repository.

    Args:
        package: the package's folder.
        find: the distribution of a name.
    """
    try:
        dist = find("gzsl-bench")
        if Path(str(dist.locate_file(package.name))).resolve() != package.resolve():
            return None  # another one than is at work
        origin = json.loads(dist.read_text("direct_url.json") or "{}")
        commit = origin.get("vcs_info", {}).get("commit_id")
    except (metadata.PackageNotFoundError, OSError, ValueError, AttributeError):
        return None
    return commit if isinstance(commit, str) else None


def started_in(folder: Path) -> str | None:
    """Commit of the repository that a command was started in, marked ``+`` where files differ.

    It says which state of the user's own project a run belongs to, and nothing of the program.
    """
    commit = ask(folder, "rev-parse", "--verify", "HEAD")
    changed = ask(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changed is None else commit + ("+" if changed else "")
