"""A suite from options: ``run -d CUB -m 'eszsl[feature_penalty=10]'``, ``--set``, ``--smoke``.

What the options stand for is written as a suite file like any other, so that everything else (the
table, a second run, the person who edits it) starts from a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import Command
from gzsl_bench.errors import SuiteError
from gzsl_bench.terminal.streams import say

if TYPE_CHECKING:
    from gzsl_bench.records.layout import Layout

#: Most epochs (and iterations) of anything in a smoke test.
SMOKE_EPOCHS = 2

_OPTIONS = (
    click.option(
        "--smoke", is_flag=True,
        help="One seed of everything, trained as briefly as can be: does it run at all?",
    ),
    click.option(
        "--set", "changes", multiple=True, metavar="PATH=VALUE",
        help="Change the suite: seeds=3, methods.LABEL.config.epochs=10; may be repeated.",
    ),
    click.option(
        "--select", multiple=True, metavar="RULE", shell_complete=complete.rules,
        help="Selection rule of a suite made of -d and -m: last, val, best_test, or one along a"
        " single axis of checkpoints, as val.classifier_epoch; may be repeated.",
    ),
    click.option(
        "-m", "--method", "methods", multiple=True, metavar="NAME[KEY=VALUE,...]",
        shell_complete=complete.methods,
        help="Method, in place of SUITE: acmr, 'eszsl[feature_penalty=10]'; may be repeated.",
    ),
    click.option(
        "-d", "--dataset", "datasets", multiple=True, metavar="NAME[:FEATURES[:EMBEDDING]]",
        shell_complete=complete.datasets,
        help="Data set, in place of SUITE: CUB, FLO:mobilenetv2; may be repeated.",
    ),
)  # fmt: skip


def composing(command: Command) -> Command:
    """The options of this module."""
    for option in _OPTIONS:
        command = option(command)
    return command


@dataclass(frozen=True)
class Composed:
    """What the options ask for.

    Attributes:
        datasets: values of ``-d``.
        methods: values of ``-m``.
        select: values of ``--select``.
        changes: values of ``--set``.
        smoke: train everything as briefly as can be.
    """

    datasets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    smoke: bool = False

    def file(
        self, suite: Path | None, layout: Layout, plugins: Sequence[Path], undo: ExitStack
    ) -> Path:
        """The suite's file: the one given, or a new one in the results folder that is shown.

        Args:
            suite: the argument SUITE, if there is one.
            layout: of the results folder.
            plugins: plugin files besides those that the suite lists.
            undo: when it is closed, what was written here goes.

        Raises:
            UsageError: the options contradict one another or name nothing.
            SuiteError: the file given is none.
        """
        import yaml

        from gzsl_bench import atomic

        if suite is None:
            if not self.datasets or not self.methods:
                raise click.UsageError("give SUITE, or a data set with -d and a method with -m")
            content = self._from_names()
        elif self.datasets or self.methods or self.select:
            raise click.UsageError(f"give either {suite} or -d, -m and --select")
        elif not self.changes and not self.smoke:
            return suite
        else:
            content = _read(suite)
        if self.smoke:
            _shorten(content, plugins)
        for change in self.changes:
            _change(content, change)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        # Other options are another suite: its name says so.
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        content["name"] = f"{content['name'][:60]}-{digest}"
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        path = layout.composed(content["name"])
        for new in reversed([each for each in (path, *path.parents) if not each.exists()]):
            undo.callback(_remove, new)
        atomic.write_text(path, text)
        say(f"{path}:\n{text}")
        return path

    def _from_names(self) -> dict[str, Any]:
        datasets = [_dataset(text) for text in self.datasets]
        methods = [_method(text) for text in self.methods]
        plain = [re.sub(r"[^A-Za-z0-9_.]", "_", entry["use"]) for entry in (*datasets, *methods)]
        return {
            "name": "-".join(dict.fromkeys(plain)),
            "datasets": datasets,
            "methods": methods,
            "selection": list(self.select) or ["last"],
        }


def _remove(path: Path) -> None:
    """A file, or a folder in which nobody else left anything."""
    with suppress(OSError):
        path.unlink() if path.is_file() else path.rmdir()


def _read(suite: Path) -> dict[str, Any]:
    """The content of a suite file, with absolute plugin files."""
    from gzsl_bench.suite.load import load_suite
    from gzsl_bench.suite.shipped import find_suite

    loaded = load_suite(find_suite(suite))
    content: dict[str, Any] = loaded.file.content
    if loaded.plugins:
        content["plugins"] = [str(path) for path in loaded.plugins]
    for kind in ("datasets", "methods"):
        content[kind] = [{"use": e} if isinstance(e, str) else dict(e) for e in content[kind]]
    return content


def _dataset(text: str) -> dict[str, Any]:
    names = dict(zip(("use", "features", "attributes"), text.split(":"), strict=False))
    if text.count(":") > 2 or not all(names.values()):
        raise click.UsageError(
            f"-d {text!r} is not understood; write NAME, NAME:FEATURES or NAME:FEATURES:EMBEDDING"
        )
    _refuse_several("-d", text, text)
    label = re.sub(r"[^A-Za-z0-9_.-]", "_", text.replace(":", "-"))
    return names | ({"label": label} if ":" in text else {})


def _method(text: str) -> dict[str, Any]:
    found = re.fullmatch(r"([^\[\]]+)(?:\[(.*)\])?", text)
    if not found:
        raise click.UsageError(f"-m {text!r} is not understood; write NAME or NAME[KEY=VALUE,...]")
    name, inside = found.groups()
    _refuse_several("-m", text, name)
    if not inside:
        return {"use": name}
    config: dict[str, Any] = {}
    for part in _commas(inside):
        key, value = pair(part, f"-m {text!r}")
        if key in config:
            raise click.UsageError(f"-m {text!r} gives {key} twice; leave one of them out")
        config[key] = value
    return {"use": name, "label": f"{name} {inside}", "config": config}


def _refuse_several(option: str, text: str, name: str) -> None:
    """Names between commas, which other programs take."""
    if "," in name:
        raise click.UsageError(f"{option} {text!r} is several names; repeat {option} for each")


def _commas(text: str) -> list[str]:
    """Parts between commas that are in no bracket."""
    return [part for part in re.split(r",(?![^\[]*\])", text) if part.strip()]


def pair(text: str, where: str) -> tuple[str, Any]:
    """``key=value``, the value as YAML has it."""
    import yaml

    from gzsl_bench.data.yamlfile import yaml_value

    key, mark, value = text.partition("=")
    try:
        if not mark or not key.strip():
            raise ValueError
        return key.strip(), yaml_value(value)
    except SuiteError as error:
        raise click.UsageError(f"{where}: {error}") from None
    except (ValueError, yaml.YAMLError):
        raise click.UsageError(f"{where} is not understood at {text!r}; write KEY=VALUE") from None


def _change(content: dict[str, Any], text: str) -> None:
    """Put a value of ``--set`` in its place."""
    from gzsl_bench.errors import unknown_name

    path, value = pair(text, "--set")
    *way, last = path.split(".")
    place: Any = content
    for step in way:
        if isinstance(place, list):
            entries = {str(entry.get("label") or entry["use"]): entry for entry in place}
            if step not in entries:
                raise click.UsageError(f"--set {path}: {unknown_name('entry', step, entries)}")
            place = entries[step]
        elif isinstance(place, dict):
            place = place.setdefault(step, {})
    if not isinstance(place, dict):
        raise click.UsageError(
            f"--set {path} leads to no mapping; write KEY=VALUE or methods.LABEL.KEY=VALUE"
        )
    place[last] = value


def _shorten(content: dict[str, Any], plugins: Sequence[Path]) -> None:
    """One seed, and few epochs of every kind in every method."""
    from gzsl_bench.cli.validate import open_plugins

    methods = open_plugins([*map(Path, content.get("plugins", ())), *plugins]).methods
    content["seeds"] = 1
    for entry in (*content["datasets"], *content["methods"]):
        entry.pop("seeds", None)
    for entry in content["methods"]:
        if entry["use"] not in methods:
            continue  # the suite's check names it
        known = methods[entry["use"]].factory.Config.model_fields
        config = entry.setdefault("config", {})
        for name in known:
            if name.split("_")[-1] in ("epochs", "iterations"):
                asked = config.get(name)
                # What is no number is left to the suite's check.
                if asked is None or (isinstance(asked, int) and asked > SMOKE_EPOCHS):
                    config[name] = SMOKE_EPOCHS
