from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tracking_factory import commit, grid, make_suite
from tracking_helpers import assert_mirrors, parent

from gzsl_bench.cli.sync import ui_command
from gzsl_bench.errors import TrackingError
from gzsl_bench.records.store import FAILED, RecordStore
from gzsl_bench.records.suites import remember
from gzsl_bench.tracking import SyncReport, sync

_COMMAND = "from gzsl_bench.cli.sync import ui_command; ui_command()"


@pytest.fixture
def ui(store: RecordStore) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``gzsl-bench ui`` on a finished suite, and the address it printed."""
    cells = grid(1)
    suite = remember(store.layout, make_suite(cells))
    for cell in cells[1:]:
        commit(store, cell)
    commit(store, cells[0], status=FAILED)
    sync(store.layout.tracking_store, suite, store)
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "small", "--out", str(store.layout.out), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    try:
        yield process, process.stderr.readline()
    finally:
        if process.poll() is None:
            process.kill()


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


@pytest.mark.slow
def test_the_page_opens_and_ends(
    store: RecordStore, uri: str, ui: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, line = ui
    found = re.search(r"MLflow is at (http://127.0.0.1:\d+)/#/experiments/(\d+)/runs", line)
    assert found, line
    url, number = found.groups()
    assert number == parent(uri, "small").info.experiment_id
    api = f"{url}/api/2.0/mlflow"
    shown = json.loads(_get(f"{api}/experiments/get?experiment_id={number}"))
    assert shown["experiment"]["name"] == "small"
    # The table is an artifact that the page can show.
    table = _get(f"{url}/get-artifact?path=table.md&run_uuid={parent(uri, 'small').info.run_id}")
    assert b"| CUB" in table

    # The same server as a tracking server of another results folder, artifacts of its own choice.
    other = RecordStore(tmp_path / "other")
    cells = grid(1)
    suite = make_suite(cells, "remote")
    for cell in cells:
        commit(other, cell)
    assert sync(url, suite, other) == SyncReport(created=4)
    assert sync(url, suite, other) == SyncReport(unchanged=4)
    assert_mirrors(url, suite, other)

    port = int(url.rsplit(":", 1)[1])
    taken = CliRunner().invoke(ui_command, ["--out", str(store.layout.out), "--port", str(port)])
    assert isinstance(taken.exception, TrackingError)
    assert f"port {port}" in str(taken.exception)

    children = _children(process.pid)
    assert children
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 0, rest
    assert "ended" in rest
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def _children(pid: int) -> list[int]:
    """All descendants of a process."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = [line.split() for line in listed.splitlines()]
    parents = {int(child): int(above) for child, above in pairs}
    found, front = [], [pid]
    while front:
        front = [child for child, above in parents.items() if above in front]
        found += front
    return [child for child in found if child != os.getpid()]


def test_no_store_yet(tmp_path: Path) -> None:
    done = CliRunner().invoke(ui_command, ["--out", str(tmp_path)])
    assert isinstance(done.exception, TrackingError)
    assert "there is no MLflow store" in str(done.exception)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_server_needs_no_server(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        ui_command, ["--out", str(tmp_path), "--tracking-uri", "http://me:pw@127.0.0.1:9"]
    )
    assert done.exit_code == 0
    assert "MLflow is at http://***@127.0.0.1:9" in done.stderr
