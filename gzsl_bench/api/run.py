"""Suites run and results opened from Python."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

from gzsl_bench import atomic
from gzsl_bench.api.results import Results
from gzsl_bench.cli import options
from gzsl_bench.cli.executors import choose_executor
from gzsl_bench.cli.launch import Launch
from gzsl_bench.cli.training import open_view
from gzsl_bench.errors import SuiteError
from gzsl_bench.executors.limits import Limits, parse_duration, parse_size
from gzsl_bench.executors.request import Request
from gzsl_bench.executors.run import run_units
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import recall, remember
from gzsl_bench.results import view
from gzsl_bench.suite.datasets import Filter
from gzsl_bench.suite.resolve import resolve

#: Of a suite that was given as a mapping without a usable name.
_NAMELESS = "suite"

T = TypeVar("T")


def run(
    suite: str | Path | Mapping[str, Any],
    *,
    out: str | Path = "gzsl-results",
    data: str | Path | None = None,
    plugins: str | Path | Sequence[str | Path] = (),
    seeds: int | str | Iterable[int] | None = None,
    datasets: str | Sequence[str] = (),
    methods: str | Sequence[str] = (),
    device: str = "auto",
    executor: str = "local",
    slurm: str | Sequence[str] = (),
    jobs: int | None = None,
    threads: int | None = None,
    timeout: float | str | None = None,
    memory_limit: int | str | None = None,
    retries: int = 0,
    progress: bool = True,
) -> Results:
    """Run a suite as ``gzsl-bench run`` does; finished cells are left alone, nothing is mirrored.

    A cell that fails stops nothing: its row says so, and ``Results.cells()`` has its cause.

    Args:
        suite: a file, the name of a suite that comes along, or what such a file says, as a mapping;
            the latter is written to ``OUT/composed``, paths of its plugins are relative to the
            working folder.
        out: the results folder.
        data: the folder with a folder per data set; by default ``GZSL_BENCH_DATA``, or a per-user
            folder.
        plugins: files or package folders of plugins that are not installed, or one.
        seeds: replaces the suite's: a number, a list, or a text as ``--seeds`` has it.
        datasets: labels to limit the run to, or one.
        methods: labels to limit the run to, or one.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        executor: where to train, as ``--executor`` has it, or ``inline``: in this process.
        slurm: what jobs ask of Slurm, as ``--slurm`` has it.
        jobs: worker processes side by side.
        threads: CPU threads of each.
        timeout: seconds that a cell may take, or ``2h``.
        memory_limit: bytes that a worker and its children may hold, or ``8GiB``.
        retries: how often a failed cell is tried again.
        progress: say on standard error how far it is.

    Raises:
        GzslBenchError: bad input, missing data, plugins that cannot be used, in a sentence.
        KeyboardInterrupt: it was interrupted; the same call goes on where it stopped.
    """
    place = Path(out)
    with _in_our_words():
        limits = Limits(
            _asked("timeout", timeout, parse_duration),
            _asked("memory_limit", memory_limit, parse_size),
            _asked("retries", retries, _reader(options.RETRIES)) or 0,
        )
        request = Request(
            device,
            limits,
            _asked("jobs", jobs, _reader(options.JOBS)),
            _asked("threads", threads, _reader(options.THREADS)),
            slurm=_several(slurm),
        )
        chosen = choose_executor(executor, request) or options.choose_device(device)
        numbers = None if seeds is None else options.parse_seeds(_listed(seeds))
    launch = Launch(
        suite=_written(suite, Layout(place)) if isinstance(suite, Mapping) else Path(suite),
        out=place,
        plugin=tuple(map(Path, _several(plugins))),
        only=Filter(frozenset(_several(datasets)), frozenset(_several(methods))),
        device=chosen,
        where=options.place(None if data is None else Path(data)),
        uri=None,
        executor=executor,
        request=request,
        command="gzsl_bench.run",
    )
    return _launched(launch, numbers, progress)


def _launched(launch: Launch, seeds: Sequence[int] | None, progress: bool) -> Results:
    """What was asked for, checked, is trained as far as it is not finished."""
    loaded, registry = launch.open_suite()
    resolved = resolve(loaded, registry, launch.where, seeds=seeds, only=launch.only)
    for sentence in resolved.warnings:
        warnings.warn(sentence, stacklevel=3)
    units = launch.plan(resolved.cells, registry)
    with launch.training(loaded, registry, len(units)) as training:
        store = training.store
        remember(store.layout, resolved)
        with contextlib.ExitStack() as stack:
            heard = None
            if progress:
                heard = stack.enter_context(open_view(resolved, units, store)).hear
            outcome = run_units(
                store,
                resolved.cells,
                units,
                training.executor,
                training.settings,
                heard or (lambda event: None),
            )
    if outcome.interrupted:
        raise KeyboardInterrupt
    return Results(view.Results(resolved, RecordStore(launch.out)))


def load(suite: str | Path, *, out: str | Path = "gzsl-results") -> Results:
    """What a results folder holds of a suite; needs neither data nor plugins.

    Args:
        suite: the suite's name, or its file.
        out: the results folder.

    Raises:
        RecordError: the folder holds nothing of that suite.
    """
    store = RecordStore(Path(out))
    return Results(view.Results(recall(store.layout, str(suite)), store))


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    """What the command line says of its options, as an error of ours."""
    try:
        yield
    except click.UsageError as error:
        raise SuiteError(error.message) from None


def _asked(name: str, given: Any, read: Callable[[str], T]) -> T | None:
    """What was given, as the command line would read it.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return None if given is None else read(str(given))
    except (ValueError, click.UsageError) as error:
        said = error.message if isinstance(error, click.UsageError) else f"{error}"
        raise click.UsageError(f"{name}: {said}") from None


def _reader(kind: Any) -> Callable[[str], int]:
    return lambda text: int(kind.convert(text, None, None))


def _several(given: Any) -> tuple[Any, ...]:
    """One text or path stands for itself, not for its letters."""
    return (given,) if isinstance(given, str | os.PathLike) else tuple(given)


def _listed(seeds: Any) -> str:
    """As ``--seeds`` has it."""
    several = isinstance(seeds, Iterable) and not isinstance(seeds, str)
    return "".join(f"{seed}," for seed in seeds) if several else str(seeds)


def _plain(given: Any) -> Any:
    """Numbers and arrays of numpy, and paths, as a YAML file has them."""
    if isinstance(given, Mapping):
        return {key: _plain(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [_plain(value) for value in given]
    if isinstance(given, os.PathLike):
        return os.fspath(given)
    return given.tolist() if hasattr(given, "tolist") else given


def _written(content: Mapping[str, Any], layout: Layout) -> Path:
    """The file of a suite that was given as a mapping.

    Raises:
        SuiteError: it holds what no YAML file could.
    """
    plain = _plain(content)
    if isinstance(plugins := plain.get("plugins"), list | tuple):
        plain["plugins"] = [str(Path(path).resolve()) for path in plugins]
    try:
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    except yaml.YAMLError as error:
        raise SuiteError(
            f"the suite holds what no YAML file can ({error.args[0]}: {error.args[1:]}); use"
            " numbers, texts, lists and mappings"
        ) from None
    name = plain.get("name")
    usable = isinstance(name, str) and name.isprintable() and not {"/", "\0"} & set(name)
    path = layout.composed(str(name) if usable else _NAMELESS)
    atomic.write_text(path, text)
    return path
