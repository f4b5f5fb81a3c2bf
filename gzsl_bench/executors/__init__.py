"""Ways to run units, by the names that ``--executor`` takes.

Another one is a module with ``chosen_device(request)`` and ``make_executor(request, registry,
workers)``, as those named here have them, and a line below.
"""

from __future__ import annotations

EXECUTORS = {
    "local": "gzsl_bench.executors.local",
    "inline": "gzsl_bench.executors.inline",
    "ray": "gzsl_bench.executors.ray.crew",
}
