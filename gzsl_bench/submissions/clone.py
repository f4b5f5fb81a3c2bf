"""The clone of a results repository as git sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gzsl_bench.engine.git import ask, git
from gzsl_bench.errors import RecordError

#: What a host of git calls the state before the first one.
_NOTHING = "0" * 40
#: Seconds for adding files, which are hashed and packed.
_LONG = 600.0


def branch(name: str) -> str:
    """The branch that a submission is put on."""
    return f"submission/{name}"


def refuse_dirty(root: Path, name: str) -> None:
    """A submission's branch holds the submission and nothing else.

    Raises:
        RecordError: the folder is no clone, has changes outside of the submission, or is on the
            branch of another one.
    """
    top = ask(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        raise RecordError(f"{root} is no clone: `git clone` the results repository first")
    status = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    for line in status.split("\0"):
        if line and not line[3:].startswith(f"submissions/{name}/"):
            raise RecordError(
                f"the clone {root} has changes of its own ({line[3:]} is one): commit them, or put"
                " them aside with `git stash -u`"
            )
    there = ask(root, "branch", "--show-current") or ""
    if there.startswith(branch("")) and there != branch(name) and not _known(root, branch(name)):
        raise RecordError(
            f"the clone {root} is on the branch {there}, whose submission the new one would bring"
            " along: `git switch` to the main branch first"
        )


def commands(root: Path, name: str, *, committed: bool) -> list[list[str]]:
    """What is left to do for a pull request, once a submission lies in the clone."""
    where = ["git", "-C", str(root)]
    commit = [
        [*where, "switch", "-c", branch(name)],
        [*where, "add", "--", f"submissions/{name}"],
        [*where, "commit", "-m", f"Submission {name}"],
    ]
    return [*(() if committed else commit), [*where, "push", "-u", "origin", branch(name)]]


def commit(root: Path, name: str) -> bool:
    """Do so; False where the branch has it already.

    Raises:
        RecordError: git fails.
    """
    mine = branch(name)
    if ask(root, "branch", "--show-current") != mine:
        git(root, "switch", *(() if _known(root, mine) else ("-c",)), mine)
    place = f"submissions/{name}"
    git(root, "add", "--force", "--", place, seconds=_LONG)
    if not git(root, "status", "--porcelain", "--", place):
        return False
    git(root, "commit", "-m", f"Submission {name}", "--", place, seconds=_LONG)
    return True


def _known(root: Path, name: str) -> bool:
    return ask(root, "rev-parse", "--verify", "--quiet", f"refs/heads/{name}") is not None


def touched(root: Path, since: str) -> Iterator[tuple[str, str]]:
    """What was changed since a revision: ``submissions`` or ``checked``, and of which submission.

    Args:
        root: the clone.
        since: the revision; of a push that begins a branch, all zeros.

    Raises:
        RecordError: git knows no such revision.
    """
    if since == _NOTHING:
        names = git(root, "ls-files", "-z")
    else:
        # From where the two parted: what others added meanwhile is no change of this one.
        where = ("--no-renames", f"{since}...HEAD", "--")
        names = git(root, "diff", "--name-only", "-z", *where)
    for path in names.split("\0"):
        part, _, rest = path.partition("/")
        if part == "submissions" and rest:
            yield part, rest.partition("/")[0]
        elif part == "checked" and rest:
            yield part, rest.removesuffix(".json")
