"""``python -m benchmarks.end_to_end``: whole trainings of plugin and plain loop, and their H.

Real features, released configuration, one seed, equal threads.  Both draw the same random numbers,
so besides time the run compares what they learnt: losses of every epoch, predictions, U, S and H.
They take turns, an epoch each, so that what disturbs the machine disturbs both.  Processor time
stands beside wall time, for machines that are not idle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import click
import numpy as np
import torch

from benchmarks.plain_loop import train_plain
from benchmarks.plugin_runs import METHODS, configure, train_timed
from benchmarks.turns import in_turns
from gzsl_bench import DatasetRequest, Task
from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.data.tasks import Prepared, prepare
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.predict import EmbeddingCache, TestSet


@click.command()
@click.option("--method", default="acmr", type=click.Choice(list(METHODS)), show_default=True)
@click.option("--dataset", default="CUB", show_default=True, help="In $GZSL_BENCH_DATA.")
@click.option("--features", default="res101", show_default=True, help="Feature set.")
@click.option("--threads", default=1, show_default=True, help="CPU threads.")
@click.option("--seed", default=0, show_default=True)
@click.option("--epochs", default=0, help="VAE epochs [default: the released number].")
@click.option("--classifier-epochs", default=0, help="Classifier epochs [default: the released].")
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(
    method: str,
    dataset: str,
    features: str,
    threads: int,
    seed: int,
    epochs: int,
    classifier_epochs: int,
    out: Path,
) -> None:
    """Train one run to its end with the plain loop and with the plugin, on a CPU."""
    torch.set_num_threads(threads)
    root = os.environ.get("GZSL_BENCH_DATA")
    if root is None:
        raise click.ClickException("GZSL_BENCH_DATA must name the folder of the data sets")
    spec = load_plugins().datasets[dataset]
    data = spec.load(DatasetRequest(dataset, Path(root), features, spec.attributes))
    ready = prepare(data, "minmax")
    changes = {"epochs": epochs, "classifier_epochs": classifier_epochs}
    config = configure(method, dataset, **{n: v for n, v in changes.items() if v})

    def task() -> Task:
        return Task(
            features=torch.from_numpy(ready.train_features.copy()),
            labels=torch.from_numpy(ready.train_labels.copy()),
            attributes=torch.from_numpy(data.attributes.astype(np.float32)),
            seen=torch.from_numpy(data.seen.copy()),
            unseen=torch.from_numpy(data.unseen.copy()),
        )

    def plain(after_epoch: Callable[[], None]) -> Learnt:
        trace = train_plain(task(), config, seed, after_epoch=after_epoch)
        return Learnt(trace.losses, trace.scorer)

    def plugin(after_epoch: Callable[[], None]) -> Learnt:
        found = train_timed(method, task(), config, [seed], after_epoch=after_epoch)
        return Learnt(found.losses[0], found.scorers[0])

    result: dict[str, Any] = {"method": method, "dataset": dataset, "features": features,
                              "threads": threads, "seed": seed}  # fmt: skip
    predicted, losses = {}, {}
    names, settings = ("plain", "plugin"), cast("Any", config)
    for name, turn in zip(names, in_turns([plain, plugin], threads), strict=True):
        assert turn.result is not None
        assert turn.result.scorer is not None
        losses[name] = np.array(turn.result.losses)
        predicted[name], metrics = judge(turn.result.scorer, ready, data.seen, data.unseen)
        stages = turn.wall[: settings.epochs], turn.wall[settings.epochs :]
        result[name] = {
            "wall": sum(turn.wall),
            "cpu": sum(turn.cpu),
            "vae_wall": sum(stages[0]),
            "classifier_wall": sum(stages[1]),
            **{short: metrics[long] for short, long in _SHOWN.items()},
        }
    for kind in ("wall", "cpu", "vae_wall", "classifier_wall"):
        result[f"faster_{kind}"] = result["plain"][kind] / result["plugin"][kind]
    apart = np.abs(losses["plugin"] / losses["plain"] - 1)
    result["losses_apart"] = float(apart.max())
    result["losses_apart_in_ten_epochs"] = float(apart[:10].max())
    result["predictions_equal"] = float((predicted["plain"] == predicted["plugin"]).mean())
    click.echo(json.dumps(result, indent=1))
    out.mkdir(parents=True, exist_ok=True)
    name = f"end_to_end_{method}_{dataset.lower()}.json"
    (out / name).write_text(json.dumps(result, indent=1), encoding="utf-8")


class Learnt(NamedTuple):
    """What a training left: the mean loss of every VAE epoch, and its last scorer."""

    losses: list[float]
    scorer: ScoreFunction | None


_SHOWN = {"U": "acc_unseen", "S": "acc_seen", "H": "harmonic_mean"}


def judge(
    scorer: ScoreFunction, ready: Prepared, seen: Any, unseen: Any
) -> tuple[Any, dict[str, float]]:
    """Predicted classes of the test rows, and the metrics."""
    rows = torch.arange(len(ready.test_labels))
    test = TestSet(torch.from_numpy(ready.test_features), ready.test_labels, seen, unseen, rows)
    with torch.no_grad():
        found = test.predict(scorer, EmbeddingCache())
    return found.predicted, evaluate(found, {m.name: m for m in gzsl_bench_metrics()})


if __name__ == "__main__":
    main()
