"""``python -m benchmarks.coverage``: how often the 95 % intervals cover what they should.

Classes and seeds are drawn from a population whose means are known: the logit of an accuracy is a
level plus a class, a seed and an interaction; seeds that are better on unseen classes are worse on
seen ones.  No data, no training.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from gzsl_bench import markdown
from gzsl_bench.scoring.intervals import intervals
from gzsl_bench.scoring.sample import Sample

#: Correlation of a seed's effects on unseen and seen classes.
_TRADE = -0.7


@dataclass(frozen=True)
class Population:
    """One setting.

    Attributes:
        name: what it stands for.
        seeds: drawn in each repetition.
        unseen: unseen classes drawn; four times as many seen ones are.
        levels: mean logit of unseen and seen classes.
        classes: standard deviation between classes, in logits.
        between_seeds: between seeds.
        both: of the interaction.
    """

    name: str
    seeds: int
    unseen: int
    levels: tuple[float, float]
    classes: float
    between_seeds: float
    both: float


POPULATIONS = (
    Population("10 unseen classes, 3 seeds", 3, 10, (0.0, 1.2), 1.1, 0.15, 0.3),
    Population("20 unseen classes, 5 seeds", 5, 20, (0.4, 1.0), 1.1, 0.1, 0.3),
    Population("2 seeds that dominate", 2, 50, (0.0, 0.8), 0.3, 0.5, 0.1),
    Population("50 unseen classes, 5 seeds", 5, 50, (-0.2, 0.2), 1.2, 0.1, 0.3),
    Population("10 unseen classes, 1 seed", 1, 10, (0.0, 1.2), 1.1, 0.0, 0.3),
    Population("2 seeds, classes dominate", 2, 12, (0.0, 1.0), 1.0, 0.05, 0.3),
)


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(100 / (1 + np.exp(-x)))


def _seeds(rng: np.random.Generator, count: int, scale: float) -> np.ndarray:
    """Effects [count, 2] on unseen and seen classes."""
    one, other = scale * rng.normal(size=(2, count))
    return np.stack([one, _TRADE * one + np.sqrt(1 - _TRADE**2) * other], 1)


def truth(population: Population) -> dict[str, float]:
    """U, S and H of the whole population, in percent."""
    rng = np.random.default_rng(1)
    effects = _seeds(rng, 4000, population.between_seeds)
    noise = np.hypot(population.classes, population.both) * rng.normal(size=1500)
    unseen, seen = (
        _logistic(population.levels[part] + effects[:, part, None] + noise).mean(1)
        for part in (0, 1)
    )
    harmonic = (2 * unseen * seen / (unseen + seen)).mean()
    return {"U": unseen.mean(), "S": seen.mean(), "H": harmonic}


def drawn(population: Population, rng: np.random.Generator) -> Sample:
    """One experiment."""
    effects = _seeds(rng, population.seeds, population.between_seeds)
    found = []
    for part, count in enumerate((population.unseen, 4 * population.unseen)):
        interaction = population.both * rng.normal(size=(population.seeds, count))
        classes = population.classes * rng.normal(size=count)
        found.append(
            _logistic(population.levels[part] + effects[:, part, None] + classes + interaction)
        )
    ids = np.arange(5 * population.unseen)
    return Sample(found[0], found[1], found[0], ids[: population.unseen], ids[population.unseen :])


def coverage(population: Population, repetitions: int) -> dict[str, float]:
    """Percent of the repetitions whose interval holds the truth, and H's median width."""
    rng = np.random.default_rng(7)
    wanted = truth(population)
    names = {"U": "acc_unseen", "S": "acc_seen", "H": "harmonic_mean"}
    hits, widths = dict.fromkeys(names, 0), []
    for _ in range(repetitions):
        found = intervals(drawn(population, rng))
        for short, name in names.items():
            hits[short] += found[name][0] <= wanted[short] <= found[name][1]
        widths.append(found["harmonic_mean"][1] - found["harmonic_mean"][0])
    return {n: 100 * h / repetitions for n, h in hits.items()} | {"width": float(np.median(widths))}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where a coverage lies outside 93 to 97 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=4000)
    repetitions = parser.parse_args(arguments).repetitions
    table, bad = [], False
    for population in POPULATIONS:
        found = coverage(population, repetitions)
        bad |= any(not 93 <= found[name] <= 97 for name in "USH")
        table.append(
            [population.name, *(f"{found[n]:.1f}" for n in "USH"), f"{found['width']:.1f}"]
        )
    print(markdown.table(["population", "U", "S", "H", "width of H"], table))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
