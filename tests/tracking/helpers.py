"""What MLflow shows, seen as a user of its client sees it."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient

from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.results.view import Results

#: Seconds: only what hangs takes so long. MLflow alone would try again for two minutes and more.
HANGING = 100.0


def client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def runs(uri: str, suite: str, role: str = "cell") -> list[Any]:
    experiment = client(uri).get_experiment_by_name(suite)
    assert experiment is not None
    return list(
        client(uri).search_runs(
            [experiment.experiment_id], f"tags.`gzsl_bench.role` = '{role}'", max_results=1000
        )
    )


def parent(uri: str, suite: str) -> Any:
    (found,) = runs(uri, suite, "suite")
    return found


def by_key(uri: str, suite: str) -> dict[str, Any]:
    found = runs(uri, suite)
    keys = [run.data.tags["gzsl_bench.key"] for run in found]
    assert len(keys) == len(set(keys)), "a record has two runs"
    return dict(zip(keys, found, strict=True))


def assert_mirrors(uri: str, results: Results) -> None:
    """Every record has exactly one run that shows it, and there are no other runs."""
    suite = results.suite
    shown = by_key(uri, suite.name)
    records = {c.key: results.store.read(c.key) for c in suite.cells}
    expected = {key: record for key, record in records.items() if record is not None}
    assert shown.keys() == expected.keys()
    for key, record in expected.items():
        run = shown[key]
        assert run.info.status == ("FINISHED" if record.complete else "FAILED")
        assert run.data.tags["gzsl_bench.status"] == record.status
        assert run.data.tags["mlflow.parentRunId"] == parent(uri, suite.name).info.run_id
        if record.complete:
            last = record.checkpoints[-1].metrics
            prefix = "" if suite.lead == "last" else "last/"
            for name in ("acc_unseen", "acc_seen", "harmonic_mean"):
                shown_as = run.data.metrics[prefix + HEADINGS[name]]
                assert shown_as == round(last[name], 4)
