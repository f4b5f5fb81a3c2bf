"""``gzsl-bench sync`` and ``gzsl-bench ui``: MLflow made equal to the records, and looked at."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import debug_option, json_option, out_option
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.results.view import Results

_TRACKING = click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow store or server [default: MLFLOW_TRACKING_URI, or DIR/mlflow.db].",
)


@click.command("sync")
@click.argument("suite", required=False, shell_complete=complete.stored)
@out_option
@_TRACKING
@json_option
@debug_option
def sync_command(suite: str | None, out: Path, tracking_uri: str | None, as_json: bool) -> None:
    """Make MLflow show exactly the records of SUITE (a suite file, or a suite's name).

    Without SUITE: of the only one in the results folder.  Needs neither the data nor the plugins
    that made the records, and may be repeated at will: what is right stays, what is missing,
    half-written or out of date is written anew.
    """
    from gzsl_bench.errors import TrackingError
    from gzsl_bench.masking import masked
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import recall
    from gzsl_bench.results.view import Results
    from gzsl_bench.tracking import front, resolve_uri, sync

    store = RecordStore(out)
    resolved = recall(store.layout, suite)
    uri = resolve_uri(tracking_uri, store.layout)
    if uri is None:
        raise TrackingError("sync needs an MLflow store, but the tracking URI is none")
    results = Results(resolved, store)
    report = sync(uri, results)
    behind = front.refresh(uri, results)
    if as_json:
        put(json.dumps({**asdict(report), "uri": masked(uri), "suite": resolved.name}))
    cells = counted(len({c.key for c in resolved.cells}), "cell")
    say(
        f"MLflow at {masked(uri)} shows {report.mirrored} of {cells} of {resolved.name}:"
        f" {report.created} created, {report.repaired} repaired, {report.removed} removed,"
        f" {report.unchanged} unchanged"
    )
    if report.restored:
        say(
            f"the experiment {resolved.name} had been deleted in MLflow and is restored; to be rid"
            " of it, leave sync out"
        )
    if behind:
        say(f"warning: description and report in MLflow are not renewed: {behind}")


@click.command("ui")
@click.argument("suite", required=False, shell_complete=complete.stored)
@out_option
@_TRACKING
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True,
    help="Where to serve; 0 picks a free port.",
)  # fmt: skip
@click.option(
    "--host", default="127.0.0.1", show_default=True,
    help="Address to listen on; the page asks for no password.",
)  # fmt: skip
@debug_option
def ui_command(
    suite: str | None, out: Path, tracking_uri: str | None, port: int, host: str
) -> None:
    """Open MLflow on the results, at SUITE's experiment (or that of the only suite in DIR).

    Ctrl-C ends it.
    """
    from gzsl_bench.errors import TrackingError
    from gzsl_bench.masking import masked
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.tracking import resolve_uri, server
    from gzsl_bench.tracking.address import is_server

    layout = Layout(out)
    uri = resolve_uri(tracking_uri, layout)
    if uri is None:
        raise TrackingError("ui needs an MLflow store, but the tracking URI is none")
    name = _only_suite(layout) if suite is None else _suite_name(suite)
    if is_server(uri):
        page = server.experiment_page(uri, name) if name else None
        say(f"MLflow is at {masked(page or uri)}")
        return
    if host not in ("127.0.0.1", "localhost", "::1"):
        say(f"warning: whoever reaches {host} may read, change and delete everything in the store")
    stopped = _on_terminate()
    try:
        with server.serving(uri, layout, host, port) as (url, running):
            results = _results(layout, name) if name and uri == layout.tracking_store else None
            if results is not None:  # before the address: of a folder that was moved it changes
                _catch_up(uri, results)
            page = server.experiment_page(url, name) if name else None
            if name and page is None:
                say(f"The store has no experiment {name!r} yet: gzsl-bench sync")
            say(f"MLflow is at {page or url} (Ctrl-C ends it)")
            if page and results is not None:
                _renew(url, uri, results)
            status = running.wait()
        raise TrackingError(f"MLflow's server ended by itself with status {status}")
    except KeyboardInterrupt:
        say("MLflow's server has ended." if not stopped.is_set() else "Stopped.")


def _suite_name(suite: str) -> str:
    """A suite file's name, or the name itself."""
    from gzsl_bench.data.yamlfile import read_yaml

    path = Path(suite)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return str(read_yaml(path).content.get("name"))
    return suite


def _only_suite(layout: Layout) -> str | None:
    """The suite of a results folder that holds one."""
    from gzsl_bench.records.suites import known

    found = known(layout)
    return found[0] if len(found) == 1 else None


def _results(layout: Layout, name: str) -> Results | None:
    """What the folder knows of a suite; None of one that it does not keep, or that is at work."""
    from gzsl_bench.errors import GzslBenchError
    from gzsl_bench.records.folderlock import in_use
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import recall
    from gzsl_bench.results.view import Results

    if in_use(layout.lock):
        say("A run is at work in the folder: its cells appear as they end, the report at its end")
        return None
    try:
        return Results(recall(layout, name), RecordStore(layout.out))
    except GzslBenchError:
        return None  # an experiment of other origin


def _catch_up(uri: str, results: Results) -> None:
    """Bring runs of the folder's own store up to date with the records, as ``sync`` does."""
    from gzsl_bench.errors import TrackingError
    from gzsl_bench.tracking import stamp, sync

    if stamp.holds(uri, results):
        return
    say("Comparing MLflow with the records ...")
    try:
        done = sync(uri, results)
    except TrackingError as error:
        say(f"warning: what MLflow shows is older than the records: {error}")
        return
    if changed := done.created + done.repaired + done.removed:
        say(f"{counted(changed, 'run')} brought up to date with the records")


def _renew(url: str, uri: str, results: Results) -> None:
    """Likewise the description and the report, which take longer."""
    from gzsl_bench.tracking import front, stamp

    behind = front.refresh(url, results)
    if behind:
        say(f"warning: description and report are older than the records: {behind}")
    else:
        with contextlib.suppress(OSError):  # it only saves time
            stamp.leave(uri, results)


def _on_terminate() -> threading.Event:
    """Let SIGTERM end the server as Ctrl-C does: its processes must not outlive us."""
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        told.set()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
    return told
