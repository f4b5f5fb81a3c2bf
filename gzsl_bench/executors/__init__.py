"""Ways to run units, by the names that ``--executor`` takes.

Another one is a module with ``chosen_device(request)`` and ``make_executor(request, registry,
workers)``, as those named here have them: a line below, or an entry point of any distribution in
the group ``gzsl_bench.executors``.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata

EXECUTORS = {
    "local": "gzsl_bench.executors.local",
    "inline": "gzsl_bench.executors.inline",
    "ray": "gzsl_bench.executors.ray.crew",
    "slurm": "gzsl_bench.executors.slurm.crew",
}
#: Entry points of others; a name that is taken stays what it is.
GROUP = "gzsl_bench.executors"


@cache
def executors() -> dict[str, str]:
    """Modules of all executors, ours and those that are installed, by name."""
    return {entry.name: entry.value for entry in metadata.entry_points(group=GROUP)} | EXECUTORS
