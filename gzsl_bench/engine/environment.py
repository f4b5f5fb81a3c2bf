"""Versions and hardware: what a record says about where its numbers came from."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from gzsl_bench.records.machine import usable_cores as usable_cores
from gzsl_bench.records.record import Provenance

if TYPE_CHECKING:
    import torch

    from gzsl_bench.engine.events import WorkerSettings

_PACKAGES = ("gzsl-bench", "torch", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Read once in a process: it takes longer than a small cell."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance(settings: WorkerSettings, unit: str, trained: Sequence[str]) -> Provenance:
    """What is known of a training as it begins; its end adds how long it took and what it held.

    Args:
        settings: of the worker.
        unit: name of the unit.
        trained: keys of the cells that are trained together.
    """
    return Provenance(
        started=datetime.now(UTC).replace(microsecond=0),
        seconds=0.0,
        unit=unit,
        trained=tuple(trained),
        versions=versions(),
        hardware=hardware(settings.device, settings.threads),
        command=settings.command,
        program=settings.program,
        started_in=settings.started_in,
    )


def hardware(device: str, threads: int) -> dict[str, str | int | None]:
    """The device that computed, and the processor beside it."""
    found: dict[str, str | int | None] = {
        "device": device,
        "processor": processor(),
        "instructions": instructions(),
        "cores": usable_cores(),
        "threads": threads,
        "system": system(),
    }
    if device.startswith("cuda"):
        import torch

        found["accelerator"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def instructions() -> str:
    """The widest instruction set that torch computes with, ``AVX512`` say.

    Sums are rounded by how many terms fit a register, so that the same training on two processors
    of one name may end otherwise: f-CLSWGAN on FLO with H 58.5 or 58.4.
    """
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def forget_peak_memory(device: torch.device) -> None:
    """Have :func:`peak_memory` begin anew, with what is held now."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # Linux has it
        Path("/proc/self/clear_refs").write_bytes(b"5")


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that this process has held, on the GPU where it computes there.

    Counted since :func:`forget_peak_memory`; where the system has no such thing, since its start.
    """
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) << 10
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) if sys.platform == "darwin" else 1024 * int(most)


def total_memory() -> int | None:
    """Bytes that this machine, or the control group we are in, has in all; None where unknown."""
    sizes = list(_group_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")))
    with contextlib.suppress(OSError, ValueError):
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min((size for size in sizes if size > 0), default=None)


def _group_limits(membership: Path, mount: Path) -> Iterator[int]:
    """Bytes that our control group and those around it may take: version 2, or 1 with controllers.

    Args:
        membership: file with a line ``number:controllers:path`` for each hierarchy.
        mount: where the hierarchies are shown.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, place = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            base, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Within a container the path may be that of the machine: then only its root is here.
        folder = base / place.strip("/")
        while True:
            with contextlib.suppress(OSError, ValueError):  # no limit is written as "max"
                yield int((folder / name).read_text(encoding="ascii"))
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent


@cache
def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def system() -> str:
    """``Linux x86_64``."""
    return f"{platform.system()} {platform.machine()}"
