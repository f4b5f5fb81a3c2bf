"""The suites that come with the program: read by name wherever it is installed."""

from __future__ import annotations

from pathlib import Path

from gzsl_bench.errors import SuiteError, unknown_name


def shipped() -> dict[str, Path]:
    """Name -> file of the suites that come with the program, by name."""
    # In a checkout this folder is a link to the one at its top.
    folder = Path(__file__).parents[1] / "suites"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find_suite(given: Path) -> Path:
    """The file that ``given`` stands for: a file of that name, else a suite that is shipped.

    Raises:
        SuiteError: it is a bare name that no file and no shipped suite has, or Python.
    """
    if given.suffix == ".py":
        raise SuiteError(
            f"{given} is Python where a suite is expected: a plugin comes with --plugin {given}"
        )
    bare = not given.suffix and len(given.parts) == 1
    # A results folder may have the name of a suite that comes along.
    if bare and not given.is_file() and (found := shipped().get(given.name)):
        return found
    if given.exists() or not bare:
        return given
    if (file := given.with_suffix(".yaml")).is_file():
        raise SuiteError(f"there is no file {given}; did you mean {file}?")
    raise SuiteError(f"there is no file {given}; {_unknown(given.name)}")


def named(name: str) -> Path:
    """The file of the shipped suite ``name``.

    Raises:
        SuiteError: there is none.
    """
    if name not in shipped():
        raise SuiteError(_unknown(name))
    return shipped()[name]


def _unknown(name: str) -> str:
    return unknown_name("shipped suite", name, shipped())
