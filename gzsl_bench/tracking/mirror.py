"""The mirror a run keeps up while it goes: it may fall behind, it never gets in the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gzsl_bench.errors import TrackingError
from gzsl_bench.masking import masked
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.record import Record
from gzsl_bench.records.suites import current
from gzsl_bench.results.view import Results
from gzsl_bench.tracking.address import checked, is_server
from gzsl_bench.tracking.client import connect, explain, probe_server, require, writing
from gzsl_bench.tracking.describe import Image, describe
from gzsl_bench.tracking.experiment import Experiment, open_experiment
from gzsl_bench.tracking.sync import cell_images, publish, reconcile, span

#: Seconds without an attempt after a fault; doubled by every further one.
_PAUSE = 30.0


class Mirror:
    """Shows the records of a run in MLflow as they come.  One per process, used by one thread.

    After a fault it rests a while, then catches up with all records at once: a store that comes
    back misses nothing, one that stays away costs a run a few seconds.

    Attributes:
        behind: what is wrong while MLflow does not show all records, else None; nothing is
            lost, and ``gzsl-bench sync`` brings it up to date.
    """

    def __init__(self, uri: str, results: Results) -> None:
        self.behind: str | None = None
        self._uri = uri
        self._results = results
        self._experiment: Experiment | None = None
        self._parent: Any = None
        self._index: dict[str, tuple[str, str]] = {}
        self._pause = _PAUSE
        self._rest_until = 0.0

    @property
    def _layout(self) -> Layout:
        return self._results.store.layout

    def cell(self, record: Record) -> None:
        """Show a committed record, complete or failed."""
        if self.behind is None and self._experiment is not None:
            self._guarded(lambda: self._show(self.image(record)))
        elif time.monotonic() >= self._rest_until:
            self._guarded(self.catch_up)

    def image(self, record: Record) -> Image | None:
        """What there is to show now that ``record`` was committed."""
        cells = self._results.cells.get(record.key)
        return None if cells is None else describe(self._results, cells, record)

    def images(self) -> Iterator[Image]:
        """What there is to show of all records."""
        return cell_images(self._results)

    def finish(self, table_markdown: str, rows: Sequence[Mapping[str, Any]], status: str) -> None:
        """Publish the table and close the suite's own run.

        Args:
            table_markdown: the table a person reads.
            rows: the table for programs.
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        """

        def close() -> None:
            # Whatever another writer or a fault left behind is put right at the end.
            self.catch_up()
            assert self._experiment is not None
            publish(self._experiment, self._parent, self._results, table_markdown, rows)
            self._offer_views(self._experiment)
            self._experiment.status(self._parent, status)

        self._guarded(close)

    def _offer_views(self, experiment: Experiment) -> None:
        experiment.offer_views()

    def catch_up(self) -> None:
        """Mirror all records, as ``gzsl-bench sync`` would; call through :func:`open_mirror`."""
        layout = self._layout
        if self.behind is not None and is_server(self._uri):
            probe_server(self._uri)
        self._follow()
        if self._experiment is None:
            self._experiment = open_experiment(
                connect(self._uri, layout), self._results.suite, layout
            )
        experiment = self._experiment
        experiment.suite = self._results.suite
        parents, children = experiment.runs()
        self._parent = experiment.parent(parents, lambda: span(self._results)[0])
        if self._parent.info.status != "RUNNING":
            experiment.status(self._parent, "RUNNING")
            self._parent = experiment.store.client.get_run(self._parent.info.run_id)
        _, self._index = reconcile(experiment, self._parent.info.run_id, children, self.images())

    def _follow(self) -> None:
        """Take note of cells that a run beside ours has added: its runs are not to be removed."""
        suite = self._results.suite
        if (now := current(self._layout, suite)) is not suite:
            self._results = self._results.of(now)

    def _show(self, image: Image | None) -> None:
        if image is None:
            return
        assert self._experiment is not None
        experiment = self._experiment
        if self._results.store.shared:
            # Another run may have caught up with this record before us.
            there = experiment.of_key(image.key)
            _, found = reconcile(experiment, self._parent.info.run_id, there, [image])
            self._index.update(found)
            return
        known = self._index.get(image.key)
        if known is not None and known[1] == image.digest:
            return
        if known is not None:
            experiment.store.client.delete_run(known[0])
            del self._index[image.key]
        run_id = experiment.create(image, self._parent.info.run_id)
        self._index[image.key] = (run_id, image.digest)

    def _guarded(self, work: Callable[[], None], *, opening: bool = False) -> None:
        """Do it as the only writer; a fault is remembered, not raised."""
        try:
            with writing(self._uri, self._layout):
                work()
        except Exception as error:
            if opening and isinstance(error, TrackingError):
                raise
            self.behind = f"{explain(error, self._uri)} ({masked(self._uri)})"
            self._rest_until = time.monotonic() + self._pause
            self._pause *= 2
        else:
            self.behind = None
            self._pause = _PAUSE

    def open(self) -> None:
        """Reach the store and put right what an earlier run left; once, later calls do nothing."""
        if self._experiment is None and self.behind is None:
            self._guarded(self.catch_up, opening=True)


def open_mirror(uri: str, results: Results, *, later: bool = False) -> Mirror:
    """The mirror of a run; one that cannot reach its store is behind from the start.

    Args:
        uri: from :func:`~gzsl_bench.tracking.address.resolve_uri`.
        results: of the suite merged with what earlier runs resolved (what
            ``records.suites.remember`` gives): runs of cells it does not list are removed.  The
            folder is held by the caller.
        later: leave a store of the results folder's own to the first call of :meth:`Mirror.open`:
            making its tables takes seconds in which workers can train.  Other stores are reached at
            once, for what is wrong with them is best said before anything trains.

    Raises:
        TrackingError: the URI makes no sense, or mlflow or a driver is not installed.
    """
    uri = checked(uri)
    require()
    mirror = Mirror(uri, results)
    if not (later and uri == results.store.layout.tracking_store):
        mirror.open()
    return mirror
