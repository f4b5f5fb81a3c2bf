"""One picture of a measurement: what a step takes, where its time must go, and how it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAMES = {"acmr": "ACMR", "cada_vae": "CADA-VAE"}
COLOURS = {"acmr": "#0b5394", "cada_vae": "#b45f06"}
MARKS = {"acmr": "o", "cada_vae": "s"}


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw ``result`` of ``python -m benchmarks`` as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(1.25, 1))
    for step in result["step"]:
        method, colour = step["method"], COLOURS[step["method"]]
        runs = [s["runs"] for s in step["stacks"]]
        values = [1e3 * s["per_run"] for s in step["stacks"]]
        left.plot(
            runs, values, marker=MARKS[method], color=colour, label=f"{NAMES[method]}, stacked"
        )
        left.axhline(
            1e3 * step["plain"], color=colour, linestyle="--", label=f"{NAMES[method]}, plain loop"
        )
        left.axhline(
            1e3 * step["roofline_per_run"],
            color=colour,
            linestyle=":",
            label=f"{NAMES[method]}, roofline",
        )
    left.set_xscale("log")
    left.set_xticks(runs, [str(r) for r in runs])
    left.set_ylim(bottom=0)
    left.set_xlabel("runs trained as one")
    left.set_ylabel("time of a VAE step, per run (ms)")
    left.set_title("A training step beside its bound")
    left.legend(fontsize=8)
    left.grid(alpha=0.3)

    groups: dict[str, dict[str, float]] = {}
    for step in result["step"]:
        for phase in step["phases"]:
            name = groups.setdefault(phase["name"], {})
            name[step["method"]] = name.get(step["method"], 0.0) + 1e3 * phase["seconds"]
    height = 0.38
    for offset, step in zip((height / 2, -height / 2), result["step"], strict=False):
        method = step["method"]
        right.barh(
            [i + offset for i in range(len(groups))],
            [group.get(method, 0.0) for group in groups.values()],
            height=height,
            color=COLOURS[method],
            hatch="" if method == "acmr" else "//",
            edgecolor="white",
            label=NAMES[method],
        )
    right.set_yticks(range(len(groups)), list(groups))
    right.invert_yaxis()
    right.set_xlabel("least time in a step of one run (ms)")
    right.set_title("What the roofline is made of")
    right.legend(fontsize=8)
    right.grid(axis="x", alpha=0.3)

    hardware = result["hardware"]
    where = (
        hardware.get("accelerator") or f"{hardware['processor']}, {hardware['threads']} thread(s)"
    )
    width, attributes, classes = result["shape"]
    figure.suptitle(
        f"{where}; {result['dataset']}: {width}-d features, {attributes}-d embeddings,"
        f" {classes} classes; torch {result['versions'].get('torch', '?')}",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
