"""``python -m benchmarks.ten_seeds``: how long ten seeds of everything take, by the real command.

``gzsl-bench run suites/ps_synthetic.yaml`` in a process of its own, with a fresh results folder and
a fresh cache, so that generating the data counts.  Wall time is cut at two entries of the results
folder's journal; the time of each data set and method is read off its records, which keep one
number for a stack of runs: its two stages are timed apart by ``python -m benchmarks``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from gzsl_bench import markdown

if TYPE_CHECKING:
    from benchmarks.roofline import Rates

SUITE = Path(__file__).parents[1] / "suites" / "ps_synthetic.yaml"
#: The bar and the aim beyond it: seconds of the whole suite on one H200.
BAR, AIM = 480.0, 360.0
#: Fields of a configuration that ``--scale`` multiplies, and the least value of each.
SHRUNK = {
    "epochs": 1, "classifier_epochs": 2, "seen_samples": 1, "unseen_samples": 1,
    "visual_encoder_hidden": 1, "visual_decoder_hidden": 1, "attribute_encoder_hidden": 1,
    "attribute_decoder_hidden": 1, "iem_hidden": 1,
}  # fmt: skip


def shrunken(suite: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """The suite with epochs, samples and hidden units of every configuration times ``scale``.

    Each method gets an entry per data set, with the whole configuration that it has there.
    """
    from gzsl_bench import DatasetInfo
    from gzsl_bench.hooks.manager import load_plugins
    from gzsl_bench.suite.resolve import resolve_config

    methods, entries = load_plugins().methods, []
    for entry in suite["methods"]:
        for data in suite["datasets"]:
            if data["label"] not in entry.get("datasets", [data["label"]]):
                continue
            info = DatasetInfo(data["use"], data["features"], "attributes")
            given = entry.get("config", {})
            config = resolve_config(entry["use"], methods[entry["use"]].factory, info, given)
            for name, least in SHRUNK.items():
                if name in config:
                    config[name] = max(least, round(scale * config[name]))
            entries.append({**entry, "datasets": [data["label"]], "config": config})
    return {**suite, "name": f"{suite['name']}_shrunk", "methods": entries}


def run(suite: Path, records: Path, options: Iterable[str]) -> tuple[float, float]:
    """Run ``suite`` by the command line; when it began and ended, in seconds since 1970.

    Raises:
        ClickException: it did not end well.
    """
    command = [sys.executable, "-m", "gzsl_bench", "run", str(suite)]
    command += ["--out", str(records), *options]
    environment = {**os.environ, "GZSL_BENCH_CACHE": str(records.parent / "cache")}
    begun = time.time()
    code = subprocess.run(command, env=environment, check=False).returncode
    ended = time.time()
    if code:
        raise click.ClickException(f"gzsl-bench run ended with code {code}: no times")
    return begun, ended


def read(records: Path, begun: float, ended: float) -> dict[str, Any]:
    """What a results folder says about its only run, which took from ``begun`` to ``ended``.

    Returns:
        ``wall`` seconds and its three parts ``before`` (the program's start, generating data),
        ``training`` (workers at work, all they do beside training included) and ``after`` (tables);
        ``trainings``, one for each data set and method; the hardware and versions of the records.
    """
    from gzsl_bench.records import journal
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.records.record import Provenance
    from gzsl_bench.records.store import RecordStore

    store = RecordStore(records)
    at = {
        event["event"]: datetime.fromisoformat(event["time"]).timestamp()
        for event in journal.read(Layout(records).journal)
    }
    stacks: dict[tuple[str, str], dict[tuple[str, ...], list[float]]] = {}
    about: Provenance | None = None
    for folder in sorted(Layout(records).cells.iterdir()):
        record = store.read(folder.name)
        assert record is not None
        about = record.provenance
        place = record.dataset, record.method
        stacks.setdefault(place, {}).setdefault(about.trained, []).append(about.seconds)
    assert about is not None
    trainings: list[dict[str, Any]] = []
    for (dataset, method), found in sorted(stacks.items()):
        # The last record of a stack holds the time of all of it.
        seconds = sum(max(values) for values in found.values())
        runs = sum(len(values) for values in found.values())
        trainings.append(
            {
                "dataset": dataset, "method": method, "runs": runs, "stacks": len(found),
                "seconds": seconds, "seconds_per_run": seconds / runs,
            }
        )  # fmt: skip
    runs = sum(each["runs"] for each in trainings)
    return {
        "wall": ended - begun,
        "before": at["started"] - begun,
        "training": at["ended"] - at["started"],
        "after": ended - at["ended"],
        "trainings": trainings,
        "seconds_of_trainings": sum(each["seconds"] for each in trainings),
        "runs": runs,
        "runs_per_hour": 3600 * runs / (ended - begun),
        "hardware": dict(about.hardware),
        "versions": dict(about.versions),
    }


def bound(trainings: Iterable[Mapping[str, Any]], rates: Rates) -> float:
    """The least seconds of all VAE steps at the device's rates; see :mod:`benchmarks.roofline`."""
    from benchmarks.bars import step_counts
    from benchmarks.measure import SHAPES
    from benchmarks.plugin_runs import configure
    from benchmarks.roofline import least_seconds, phases

    total = 0.0
    for each in trainings:
        shape, method = each["dataset"].removeprefix("synthetic-"), each["method"]
        width, attributes, seen, unseen, _ = SHAPES[shape]
        found = phases(configure(method, shape), width, attributes, seen + unseen)
        steps = step_counts(method, shape)[0]
        total += steps * least_seconds(found, rates, each["runs"])
    return total


def verdict(wall: float, hardware: Mapping[str, Any]) -> dict[str, Any]:
    """The bar, the aim, and how far ``wall`` seconds are from either; below 1 is within."""
    return {
        "bar": BAR,
        "aim": AIM,
        "of_bar": wall / BAR,
        "of_aim": wall / AIM,
        "met": wall < BAR,
        "aim_met": wall < AIM,
        "accelerator": hardware["accelerator"],
        "its_card": "H200" in hardware["accelerator"],
    }


def text(result: Mapping[str, Any]) -> str:
    """The measurement for a terminal."""
    hardware = result["hardware"]
    where = hardware.get("accelerator") or f"{hardware['processor']}, {hardware['cores']} core(s)"
    table = markdown.table(
        ["data set", "method", "runs", "stacks", "s", "s a run"],
        [
            [
                each["dataset"],
                each["method"],
                each["runs"],
                each["stacks"],
                f"{each['seconds']:.1f}",
                f"{each['seconds_per_run']:.2f}",
            ]
            for each in result["trainings"]
        ],
    )
    lines = [
        table,
        "",
        f"{result['wall']:.1f} s in all: {result['before']:.1f} until training begins (data are"
        f" generated), {result['training']:.1f} training ({result['seconds_of_trainings']:.1f} by"
        f" the records, over {result['jobs']} worker(s)), {result['after']:.1f} after it",
        f"{result['runs']} runs, {result['runs_per_hour']:.1f} an hour; {where},"
        f" torch {result['versions'].get('torch', '?')}",
        "the records keep one time a stack; `python -m benchmarks` times its two stages apart",
    ]
    if least := result.get("bound"):
        lines.append(f"all VAE steps at the device's rates: at least {least:.0f} s")
    if result["part"]:
        lines.append(f"{result['part']}: no verdict on the bar")
    if judged := result.get("verdict"):
        for name, met in (("bar", "met"), ("aim", "aim_met")):
            lines.append(
                f"{name} {judged[name]:.0f} s: {'met' if judged[met] else 'missed'},"
                f" {100 * judged[f'of_{name}']:.0f} % of it"
            )
        if not judged["its_card"]:
            lines.append(f"the bar is one H200's; this is {judged['accelerator']}")
    return "\n".join(lines)


def part_of_it(seeds: int, scale: float, only: tuple[str, ...]) -> str:
    """In words, how this run is less than the suite; empty where it is all of it."""
    less = []
    if scale < 1:
        less.append(f"epochs, samples and hidden units times {scale:g}")
    if seeds != 10:
        less.append(f"{seeds} seed{'s' if seeds > 1 else ''} instead of 10")
    if only:
        less.append(f"only {' '.join(only)}")
    return "shrunk: " + "; ".join(less) if less else ""


def workers(hardware: Mapping[str, Any]) -> int:
    """How many worker processes there were at most, where nobody said: see the records."""
    on_gpu = hardware["device"].startswith("cuda")
    return 1 if on_gpu else max(1, int(hardware["cores"]) // int(hardware["threads"]))


@click.command()
@click.option("--device", default="auto", show_default=True, help="As of `gzsl-bench run`.")
@click.option("--seeds", default=10, show_default=True, type=click.IntRange(1), help="Seeds.")
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Shrink the suite for a trial: epochs, samples and hidden units are multiplied by this.",
)
@click.option("--only", multiple=True, metavar="KEY=VALUE,...", help="As of `gzsl-bench run`.")
@click.option("--jobs", type=click.IntRange(1), help="As of `gzsl-bench run`.")
@click.option("--tracking-uri", metavar="URI|none", help="As of `gzsl-bench run`.")
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(
    device: str,
    seeds: int,
    scale: float,
    only: tuple[str, ...],
    jobs: int | None,
    tracking_uri: str | None,
    out: Path,
) -> None:
    """Time ten seeds of ACMR and CADA-VAE on generated data in four true shapes."""
    from gzsl_bench.cli.options import choose_device

    chosen = choose_device(device)
    options = ["--device", chosen, "--seeds", str(seeds)]
    options += [word for each in only for word in ("--only", each)]
    options += ["--jobs", str(jobs)] if jobs else []
    options += ["--tracking-uri", tracking_uri] if tracking_uri else []
    part = part_of_it(seeds, scale, only)
    if part:
        click.echo(part, err=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        suite, records = SUITE, Path(name) / "records"
        if scale < 1:
            content = shrunken(yaml.safe_load(SUITE.read_text(encoding="utf-8")), scale)
            suite = Path(name) / f"{content['name']}.yaml"
            suite.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        result = {
            "suite": SUITE.stem,
            "part": part,
            "seeds": seeds,
            "scale": scale,
            "only": list(only),
            "tracking_uri": tracking_uri,
            **read(records, *run(suite, records, options)),
        }
        result["jobs"] = jobs or workers(result["hardware"])
    if chosen.startswith("cuda") and not part:
        import torch

        from benchmarks.roofline import Kernels

        result["bound"] = bound(result["trainings"], Kernels(torch.device(chosen)).rates())
        result["verdict"] = verdict(result["wall"], result["hardware"])
    out.mkdir(parents=True, exist_ok=True)
    (out / "ten_seeds.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    click.echo(text(result))


if __name__ == "__main__":
    main()
