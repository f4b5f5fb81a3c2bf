"""One suite and results folder in one store: finding its runs, writing and removing them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gzsl_bench.records.layout import Layout
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.tracking import views
from gzsl_bench.tracking.client import Store
from gzsl_bench.tracking.describe import CELL, FOLD, PREFIX, SUITE, TRIAL, Image
from gzsl_bench.tracking.names import plain_markdown, text

#: Limits of one call to ``log_batch``.
_ENTITIES, _PARAMS = 1000, 100
_CONTENT = f"{PREFIX}content"
_PARENT = "mlflow.parentRunId"


@dataclass
class Experiment:
    """The suite's experiment, seen from one results folder.

    Attributes:
        store: where it is.
        id: MLflow's.
        suite: what it mirrors.
        out: the results folder as its runs are tagged.
        restored: somebody had deleted it.
    """

    store: Store
    id: str
    suite: ResolvedSuite
    out: str
    restored: bool = False

    def runs(self) -> tuple[list[Any], list[Any]]:
        """Our runs: the suite's own, and those of cells, folds and trials; the oldest first."""
        found = [run for run in self._search() if run.data.tags.get(f"{PREFIX}out") == self.out]
        found.sort(key=lambda run: (run.info.start_time or 0, run.info.run_id))
        role = f"{PREFIX}role"
        return (
            [run for run in found if run.data.tags.get(role) == SUITE],
            [run for run in found if run.data.tags.get(role) in (CELL, FOLD, TRIAL)],
        )

    def _search(self) -> Iterator[Any]:
        # MLflow knows no way to escape a quotation mark; what slips through is sorted out above.
        quote = '"' if "'" in self.out else "'"
        wanted = f"tags.`{PREFIX}out` = {quote}{self.out}{quote}" if '"' not in self.out else ""
        token = None
        while True:
            page = self.store.client.search_runs(
                [self.id], filter_string=wanted, max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def of_key(self, key: str) -> list[Any]:
        """Our runs of one cell, fold or trial."""
        found = self.store.client.search_runs([self.id], f"tags.`{PREFIX}key` = '{key}'")
        return [run for run in found if run.data.tags.get(f"{PREFIX}out") == self.out]

    def create(self, image: Image, parent: str) -> str:
        """Write a cell's run; its status, set last, says that it is whole.

        Returns:
            The run's id.
        """
        from mlflow.entities import Dataset, InputTag, Metric, Param
        from mlflow.entities import DatasetInput as MlflowInput

        client = self.store.client
        tags = dict(image.tags) | {_CONTENT: image.digest, _PARENT: parent}
        run_id: str = client.create_run(
            self.id, start_time=image.started, tags=tags, run_name=image.name
        ).info.run_id
        # One moment for all values: writing them again changes nothing, and no clock is involved.
        metrics = [Metric(p.name, p.value, image.ended, p.step) for p in image.points]
        params = [Param(name, value) for name, value in image.params.items()]
        while metrics or params:
            some, params = params[:_PARAMS], params[_PARAMS:]
            room = _ENTITIES - len(some)
            client.log_batch(run_id, metrics=metrics[:room], params=some)
            metrics = metrics[room:]
        data = image.dataset
        dataset = Dataset(data.name, data.digest, "gzsl-bench", data.source, None, data.profile)
        context = InputTag("mlflow.data.context", "benchmark")
        client.log_inputs(run_id, [MlflowInput(dataset, [context])])
        for name, content in image.texts.items():
            client.log_text(run_id, content, name)
        client.set_terminated(run_id, image.status, image.ended)
        return run_id

    def remove(self, run: Any) -> None:
        """Delete a run (MLflow keeps it among the deleted ones until ``mlflow gc``)."""
        self.store.client.delete_run(run.info.run_id)

    def parent(self, found: list[Any], started: Callable[[], int]) -> Any:
        """The suite's own run: the oldest one there, or a new one."""
        for spare in found[1:]:
            self.remove(spare)
        if found:
            return found[0]
        tags = {
            f"{PREFIX}suite": self.suite.name,
            f"{PREFIX}out": self.out,
            f"{PREFIX}role": SUITE,
            "mlflow.source.name": "gzsl-bench",
            "mlflow.source.type": "LOCAL",
        }
        return self.store.client.create_run(
            self.id, start_time=started(), tags=tags, run_name=f"suite {self.suite.name}"
        )

    def status(self, parent: Any, status: str, ended: int | None = None) -> None:
        """Set the status of the suite's own run; it ends now, or at ``ended`` (milliseconds)."""
        client, run_id = self.store.client, parent.info.run_id
        if status == "RUNNING":
            client.update_run(run_id, status=status)
        elif parent.info.status != status:
            client.set_terminated(run_id, status, ended)

    def offer_views(self) -> None:
        """Give the experiment the views that its page is opened with, where MLflow has such."""
        from mlflow.version import VERSION

        client = self.store.client
        if not views.supported(VERSION):
            return
        found = client.get_experiment(self.id).tags
        for name, value in views.missing(self.suite, found).items():
            client.set_experiment_tag(self.id, name, value)

    def published(self, parent: Any, digest: str) -> bool:
        """Whether the suite's own run has what goes by this digest."""
        return bool(parent.data.tags.get(_CONTENT) == digest)

    def publish(
        self,
        parent: Any,
        texts: Mapping[str, str],
        note: str,
        numbers: Mapping[str, float],
        digest: str,
    ) -> None:
        """Put tables, files and headline into the suite's own run; last what says that it is whole.

        Args:
            parent: that run.
            texts: artifacts by file name.
            note: its description.
            numbers: its metrics; those of an earlier time are overwritten.
            digest: of all of it.
        """
        client, run_id = self.store.client, parent.info.run_id
        for name, content in texts.items():
            client.log_text(run_id, content, name)
        for name, value in numbers.items():
            client.log_metric(run_id, name, value)
        client.set_tag(run_id, f"{PREFIX}rule", self.suite.lead)
        client.set_tag(run_id, "mlflow.note.content", note)
        client.set_tag(run_id, _CONTENT, digest)


def matches(run: Any, image: Image, parent: str) -> bool:
    """Whether a run found in the store is as it should be."""
    tags = dict(image.tags) | {_CONTENT: image.digest, _PARENT: parent}
    return bool(
        run.info.status == image.status
        and all(run.data.tags.get(name) == value for name, value in tags.items())
        and run.data.params == image.params
        and run.data.metrics == image.latest()
    )


def open_experiment(store: Store, suite: ResolvedSuite, layout: Layout) -> Experiment:
    """The suite's experiment, created where it is missing."""
    from mlflow.exceptions import MlflowException

    client = store.client
    place = None if store.artifacts is None else str(store.artifacts)
    found, restored = client.get_experiment_by_name(suite.name), False
    if found is not None and _left_behind(found, store, place):
        # The results folder was moved, and an experiment's artifacts cannot be: start it afresh.
        client.rename_experiment(found.experiment_id, f"{suite.name} (moved {time.time_ns()})")
        client.delete_experiment(found.experiment_id)
        found = None
    if found is None:
        # Said outright, so that the UI need not guess whether this is about language models.
        tags = {
            f"{PREFIX}suite": suite.name,
            "mlflow.experimentKind": "custom_model_development",
        }
        if suite.description:
            tags["mlflow.note.content"] = text(plain_markdown(suite.description))
        if store.own:
            _without_default(client)
        try:
            number = client.create_experiment(suite.name, artifact_location=place, tags=tags)
        except MlflowException:
            # Another writer was faster, on a server; anything else fails again here.
            number = client.get_experiment_by_name(suite.name).experiment_id
    else:
        number = found.experiment_id
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(number)
            restored = True
    return Experiment(store, number, suite, str(layout.out.resolve()), restored)


def _without_default(client: Any) -> None:
    """Take the empty experiment that MLflow begins with off its lists, which then name suites."""
    found = client.get_experiment_by_name("Default")
    unused = found is not None and not client.search_runs([found.experiment_id], max_results=1)
    if unused and found.lifecycle_stage == "active":
        client.delete_experiment(found.experiment_id)


def _left_behind(found: Any, store: Store, place: str | None) -> bool:
    return bool(store.own and f"{PREFIX}suite" in found.tags and found.artifact_location != place)
