"""Options that say where units are trained: in this process, on this machine, on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gzsl_bench.cli.options import Command, Parsed
from gzsl_bench.engine.executors.resources import Resources, parse_resources

if TYPE_CHECKING:
    from gzsl_bench.engine.executors.dispatcher import Executor
    from gzsl_bench.engine.executors.limits import Limits
    from gzsl_bench.hooks.manager import Registry


def executor_options(command: Command) -> Command:
    """``--executor``, ``--ray-address`` and ``--resources``, for :func:`parse_cluster`."""
    for option in (
        click.option(
            "--resources",
            type=Parsed("resources", parse_resources),
            metavar="cpu=N,gpu=N,memory=SIZE",
            help="What a worker on Ray asks for; fractions are fine [default: cpu=1, and gpu=1 with"
            " --device cuda].",
        ),
        click.option(
            "--ray-address",
            metavar="auto|HOST:PORT|local",
            help="The Ray cluster; auto finds the one that this machine is part of [default:"
            " RAY_ADDRESS, or local: one of this machine alone].",
        ),
        click.option(
            "--executor",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Train in processes of this machine, or on a Ray cluster (docs/cluster.md).",
        ),
    ):
        command = option(command)
    return command


def parse_cluster(
    executor: str,
    address: str | None,
    resources: Resources | None,
    device: str,
    inline: bool,
    threads: int | None = None,
) -> Resources | None:
    """What a worker asks of the cluster; None where there is no cluster.

    Raises:
        UsageError: options that do not go together.
    """
    if executor != "ray":
        if address is not None or resources is not None:
            raise click.UsageError("--ray-address and --resources need --executor ray")
        return None
    if inline:
        raise click.UsageError("--inline trains in this process; leave it or --executor ray out")
    if threads is not None:
        raise click.UsageError(
            "--threads is for workers of this machine; on Ray a worker computes with as many"
            " threads as it asks for cores: --resources cpu=N"
        )
    if device not in ("auto", "cpu", "cuda"):
        raise click.UsageError(
            f"--device {device}: on Ray the scheduler chooses the GPU; use auto, cpu or cuda"
        )
    wanted = resources or Resources(gpu=1.0 if device == "cuda" else 0.0)
    if (device == "cpu" and wanted.gpu) or (device == "cuda" and not wanted.gpu):
        raise click.UsageError(f"--device {device} and --resources {wanted} contradict each other")
    return wanted


def open_executor(
    registry: Registry,
    *,
    inline: bool,
    jobs: int,
    asked_jobs: int | None,
    limits: Limits,
    cluster: Resources | None,
    address: str | None,
) -> Executor:
    """The executor that the options ask for.

    Args:
        registry: the plugins.
        inline: no processes.
        jobs: worker processes of this machine.
        asked_jobs: what the user said about that, if anything.
        limits: of the workers.
        cluster: what a worker asks of the cluster; None for this machine.
        address: of the cluster.

    Raises:
        GzslBenchError: Ray is needed and not installed.
    """
    if inline:
        from gzsl_bench.engine.executors.inline import InlineExecutor

        return InlineExecutor(registry)
    if cluster is None:
        from gzsl_bench.engine.executors.local import LocalExecutor

        return LocalExecutor(jobs, limits)
    from gzsl_bench.engine.executors.ray.crew import RayExecutor

    return RayExecutor(registry, cluster, address=address, jobs=asked_jobs, limits=limits)
