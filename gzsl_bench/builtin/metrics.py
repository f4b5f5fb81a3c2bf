"""Registers the metrics of :mod:`gzsl_bench.scoring.metrics` through the hook of third parties."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.hooks.specs import hookimpl
from gzsl_bench.scoring import metrics


@hookimpl
def gzsl_bench_metrics() -> Iterator[MetricSpec]:
    """U, S, H, T1, AUSUC, and how often the two parts are taken for one another."""
    made = partial(MetricSpec, version=str(metrics.NUMERICS))
    yield made(
        "acc_unseen", metrics.acc_unseen, summary="U: accuracy on unseen classes, per class."
    )
    yield made("acc_seen", metrics.acc_seen, summary="S: accuracy on seen classes, per class.")
    yield made("harmonic_mean", metrics.harmonic_mean, summary="H = 2US / (U + S).")
    yield made("zsl_acc", metrics.zsl_acc, summary="T1: accuracy among unseen classes only.")
    yield made(
        "ausuc",
        metrics.ausuc,
        needs_scores=True,
        summary="Area under the seen-unseen accuracy curve (Chao et al., ECCV 2016).",
    )
    yield made(
        "unseen_as_seen",
        metrics.unseen_as_seen,
        higher_is_better=False,
        in_table=False,
        summary="Share of unseen classes' images called a seen class, per class.",
    )
    yield made(
        "seen_as_unseen",
        metrics.seen_as_unseen,
        higher_is_better=False,
        in_table=False,
        summary="Share of seen classes' images called an unseen class, per class.",
    )
