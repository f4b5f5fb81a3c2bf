"""What a command asks of an executor, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from gzsl_bench.executors.early import Early
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.resources import Resources


@dataclass(frozen=True)
class Request:
    """Options of a command line; None where the user said nothing.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        limits: what a cell may take, and how often it is tried.
        jobs: most processes side by side.
        threads: of each of them.
        resources: what each asks of a cluster's scheduler.
        address: of the cluster.
        slurm: what jobs ask of Slurm.
        early: has a server for processes of this machine, perhaps.
    """

    device: str = "auto"
    limits: Limits = field(default_factory=Limits)
    jobs: int | None = None
    threads: int | None = None
    resources: Resources | None = None
    address: str | None = None
    slurm: tuple[str, ...] = ()
    early: Early | None = None

    def refuse_cluster(self) -> None:
        """On this machine nobody asks a scheduler.

        Raises:
            ValueError: options for a cluster were given.
        """
        if self.address is not None or self.resources is not None:
            raise ValueError("--ray-address and --resources need --executor ray or slurm")
        self.refuse_slurm()

    def refuse_slurm(self) -> None:
        """Nobody asks Slurm.

        Raises:
            ValueError: options for it were given.
        """
        if self.slurm:
            raise ValueError("--slurm needs --executor slurm")
