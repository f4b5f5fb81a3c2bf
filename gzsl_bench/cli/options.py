"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gzsl_bench.errors import DataError
from gzsl_bench.executors.limits import parse_duration, parse_size
from gzsl_bench.suite.datasets import Filter, Place
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.suite.schema import MOST_SEEDS

Command = TypeVar("Command", bound=Callable[..., Any])

out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("gzsl-results"),
    show_default=True,
    metavar="DIR",
    help="Results folder.",
)
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder with one folder per data set [default: GZSL_BENCH_DATA, or a per-user folder].",
)
#: ``main`` reads it: a command that has it takes no parameter for it.
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
seeds_option = click.option(
    "--seeds",
    metavar="N|LIST",
    callback=lambda _context, _option, text: parse_seeds(text),
    help="Replace the suite's seeds: a number, or a list as 0,3,7.",
)
only_option = click.option(
    "--only",
    metavar="KEY=VALUE,...",
    multiple=True,
    callback=lambda _context, _option, texts: parse_only(texts),
    help="Part of the suite: dataset=CUB,method=acmr; may be repeated.",
)

plugin_option = click.option(
    "--plugin",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    multiple=True,
    help="Plugin that is not installed: a Python file or a package folder; may be repeated.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where to compute.",
)
JOBS, THREADS, RETRIES = click.IntRange(1, 256), click.IntRange(1, 1024), click.IntRange(0, 100)
jobs_option = click.option(
    "--jobs", type=JOBS,
    help="Worker processes side by side, which share the CPU cores out among them"
    " [default: 1 on a GPU; on a CPU as many as there are units, cores and 2 GiB of memory].",
)  # fmt: skip
threads_option = click.option(
    "--threads", type=THREADS,
    help="CPU threads of each worker; without --jobs as many workers as then fit the cores"
    " [default: the cores over the workers].",
)  # fmt: skip
tracking_option = click.option(
    "--tracking-uri",
    metavar="URI|none",
    help="MLflow store or server [default: MLFLOW_TRACKING_URI, or DIR/mlflow.db].",
)
rule_option = click.option(
    "--rule",
    metavar="RULE",
    help="Selection rule [default: val where the suite has it, else last].",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def format_option(*formats: str, text: str = "How to print it.") -> Callable[[Command], Command]:
    """``--format``, handed on as ``fmt``; the first one is the default."""
    kinds = click.Choice(formats)
    return click.option(
        "--format", "fmt", type=kinds, default=formats[0], show_default=True, help=text
    )


inline_option = click.option(
    "--inline", is_flag=True, help="Train in this process, without isolation (for debuggers)."
)


def chosen_rule(suite: ResolvedSuite, asked: str | None) -> str:
    """The rule that ``--rule`` names, or the honest one.

    Raises:
        SuiteError: the suite does not select by it.
    """
    from gzsl_bench.errors import SuiteError, unknown_name

    if asked is None:
        return suite.lead
    # As papers write it.
    rule = asked.replace("+\N{GREEK SMALL LETTER GAMMA}", "+gamma")
    if rule not in suite.rules:
        raise SuiteError(unknown_name("selection rule of this suite", rule, suite.rules))
    return rule


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """An option's value as a function reads it."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read text; a default may have been read already."""
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}", param, ctx)


def limits_options(command: Command) -> Command:
    """The options ``--timeout``, ``--memory-limit`` and ``--retries``."""
    for option in (
        click.option(
            "--retries",
            type=RETRIES,
            default=0,
            show_default=True,
            metavar="N",
            help="Try a failed cell again up to N times, each time in a fresh worker.",
        ),
        click.option(
            "--memory-limit",
            type=Parsed("size", parse_size),
            metavar="SIZE",
            help="Memory that a worker and its children may hold, as 8GiB; a cell that takes more"
            " fails.",
        ),
        click.option(
            "--timeout",
            type=Parsed("duration", parse_duration),
            metavar="DURATION",
            help="Time that a cell (or a stack of cells trained as one) may take, as 90s, 15m or"
            " 2h; a cell that takes longer fails.",
        ),
    ):
        command = option(command)
    return command


def parse_seeds(text: str | None) -> list[int] | None:
    """``5`` means 0 to 4; ``0,3,7`` (or ``7,``) is a list."""
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or "_" in text:
        raise click.UsageError(f"--seeds {text!r} is neither a number nor a list such as 0,3,7")
    if min(numbers) < 0 or max(numbers) >= 2**31:
        raise click.UsageError(f"--seeds {text!r}: a seed must lie between 0 and {2**31 - 1}")
    if len(set(numbers)) < len(numbers):
        raise click.UsageError(f"--seeds {text!r} lists a seed twice")
    if "," in text:
        return numbers
    if not 1 <= numbers[0] <= MOST_SEEDS:
        raise click.UsageError(
            f"--seeds must lie between 1 and {MOST_SEEDS}; for seed 0 alone write '0,'"
        )
    return list(range(numbers[0]))


def parse_only(texts: tuple[str, ...]) -> Filter:
    """``("dataset=CUB,method=acmr",)`` -> a filter; several values of a key add up."""
    found: dict[str, set[str]] = {"dataset": set(), "method": set()}
    for text in texts:
        if not text.strip(" ,"):
            raise click.UsageError(
                f"--only {text!r} names nothing; write dataset=NAME or method=LABEL"
            )
    for part in (part for text in texts for part in text.split(",") if part.strip()):
        key, mark, value = part.partition("=")
        if key.strip() not in found or not mark or not value.strip():
            raise click.UsageError(
                f"--only {part!r} is not understood; write dataset=NAME or method=LABEL"
            )
        found[key.strip()].add(value.strip())
    return Filter(frozenset(found["dataset"]), frozenset(found["method"]))


def check_folder(folder: Path, option: str) -> None:
    """Refuse a folder that cannot be made or written to, before anything is computed.

    Raises:
        DataError: names the option and what is in the way.
    """
    whole = folder.absolute()
    there = next(above for above in (whole, *whole.parents) if above.exists())
    if not there.is_dir():
        raise DataError(f"{option} {folder}: {there} is a file where a folder is expected")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"{option} {folder}: nothing can be written to {there}; name another place")


def place(data: Path | None) -> Place:
    """Where data and their converted copies are on this machine."""
    from gzsl_bench.data.cache import default_cache
    from gzsl_bench.data.places import resolve_root

    return Place(resolve_root(data), default_cache())


def choose_device(asked: str) -> str:
    """The device to train on; ``auto`` takes a GPU where there is one."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise click.UsageError(
            f"--device {asked!r} is not understood; use auto, cpu, cuda or cuda:N"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        remedy = (
            "this build of torch has no CUDA; install one that has, for the driver that nvidia-smi"
            " names (docs/gpu.md)"
            if torch.version.cuda is None
            else "see what nvidia-smi and CUDA_VISIBLE_DEVICES say (docs/gpu.md)"
        )
        raise click.UsageError(
            f"--device {asked} is not there: torch sees {torch.cuda.device_count()} CUDA devices;"
            f" {remedy}"
        )
    return asked
