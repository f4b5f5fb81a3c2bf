"""Options that say where units are trained: in this process, on this machine, on a cluster."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import Command, Parsed
from gzsl_bench.errors import unknown_name
from gzsl_bench.executors import executors
from gzsl_bench.executors.resources import parse_resources

if TYPE_CHECKING:
    from gzsl_bench.executors.dispatcher import Executor
    from gzsl_bench.executors.request import Request
    from gzsl_bench.hooks.manager import Registry


def executor_options(command: Command) -> Command:
    """``--executor`` and what goes with it, for :func:`choose_executor`."""
    for option in (
        click.option(
            "--slurm",
            multiple=True,
            metavar="[METHOD:]KEY=VALUE,...",
            help="What jobs of Slurm ask for: cpu, gpu, memory, time, or options of sbatch as"
            " partition=NAME; of one method with its label before it; may be repeated.",
        ),
        click.option(
            "--resources",
            type=Parsed("resources", parse_resources),
            metavar="cpu=N,gpu=N,memory=SIZE",
            help="What a worker on a cluster asks for; fractions are fine on Ray [default: cpu=1,"
            " and gpu=1 with --device cuda].",
        ),
        click.option(
            "--ray-address",
            metavar="auto|HOST:PORT|local",
            help="The Ray cluster; auto finds the one that this machine is part of [default:"
            " RAY_ADDRESS, or local: one of this machine alone].",
        ),
        click.option(
            "--executor",
            metavar="local|inline|ray|slurm|NAME",
            shell_complete=complete.executors,
            default="local",
            show_default=True,
            help="Train in processes of this machine, in this one (--inline), on a Ray cluster"
            " (docs/cluster.md), as jobs of Slurm (docs/slurm.md), or by an installed executor of"
            " that name.",
        ),
    ):
        command = option(command)
    return command


def choose_executor(name: str, request: Request) -> str | None:
    """The device to train on; None where it is one of this machine.

    Raises:
        UsageError: no executor has that name, or options do not go together.
    """
    if name not in executors():
        raise click.UsageError(unknown_name("executor", name, executors()))
    try:
        device: str | None = import_module(executors()[name]).chosen_device(request)
    except ValueError as error:
        raise click.UsageError(f"{error}") from None
    return device


def open_executor(name: str, request: Request, registry: Registry, workers: int) -> Executor:
    """The executor of a name.

    Args:
        name: one of ``executors()``.
        request: what is asked of it.
        registry: the plugins.
        workers: side by side, on this machine.

    Raises:
        GzslBenchError: what it needs is not installed.
    """
    made: Executor = import_module(executors()[name]).make_executor(request, registry, workers)
    return made
