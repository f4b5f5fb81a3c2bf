"""MLflow that is away: at the start, in mid-run, slow, broken, full.  Results never wait for it."""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import http.server
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tracking_factory import commit, grid, make_cell, make_store, make_suite
from tracking_helpers import HANGING, assert_mirrors, by_key, parent, runs

from gzsl_bench.errors import TrackingError
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import SyncReport, impatience, open_mirror, server, sync
from gzsl_bench.tracking import client as room

# a server that is there, and wrong ---------------------------------------------------------------


@contextlib.contextmanager
def answering(status: int) -> Iterator[str]:
    """A server that answers everything with one status, and wants to be asked again in an hour."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{made.server_port}"
        made.shutdown()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """A server that takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    yield "127.0.0.1:9"


AWAY: dict[str, tuple[Callable[[], Any], str]] = {
    "nobody": (nobody, "the server does not answer"),
    "silent": (silent, "the server does not answer"),
    "500": (lambda: answering(500), "the server answers with the error 500"),
    "503": (lambda: answering(503), "the server answers with the error 503"),
    "401": (lambda: answering(401), "the server answers with the error 401"),
}


@pytest.mark.parametrize("kind", AWAY)
def test_a_server_that_is_away_costs_seconds(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, sentence = AWAY[kind]
    store = make_store(tmp_path / "out")
    cells = grid(2)
    suite = make_suite(cells)
    with make() as address:
        uri = f"http://user:secret-word@{address}"
        begun = time.monotonic()
        mirror = open_mirror(uri, Results(suite, store))
        for cell in cells:
            mirror.cell(commit(store, cell))
        mirror.finish("", [], "FINISHED")
        spent = time.monotonic() - begun
        with pytest.raises(TrackingError, match=sentence) as caught:
            sync(uri, Results(suite, store))
    # Asked at the start and at the end, however many cells there are.
    assert spent < HANGING
    assert mirror.behind == f"{sentence} (http://***@{address})"
    said = "".join(capfd.readouterr()) + str(caught.value)
    assert "secret-word" not in said
    assert len(list((store.layout.cells).iterdir())) == len(cells)


@contextlib.contextmanager
def echoing() -> Iterator[str]:
    """A server that complains about each request and repeats its headers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = f"not like this: {self.headers['Authorization']}"
            body = json.dumps({"error_code": "INVALID", "message": said}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{made.server_port}"
        made.shutdown()


def test_a_server_that_repeats_headers_gives_no_password_away(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "out")
    with echoing() as address:
        mirror = open_mirror(
            f"http://user:secret%2Dword@{address}", Results(make_suite(grid(1)), store)
        )
    assert mirror.behind is not None
    header = base64.b64encode(b"user:secret-word").decode()
    said = "".join(capfd.readouterr()) + mirror.behind
    assert "not like this" in said  # the server's words are shown
    for secret in ("secret-word", "secret%2Dword", header):
        assert secret not in said


@contextlib.contextmanager
def endless(answer: Callable[[Any], None]) -> Iterator[str]:
    """A server that goes on and on."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with contextlib.suppress(OSError):
                answer(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.daemon_threads, made.block_on_close = True, False
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{made.server_port}"
        made.shutdown()


def slow_headers(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        handler.wfile.write(b"a")
        time.sleep(0.2)


def slow_body(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        handler.wfile.write(b"a")
        time.sleep(0.2)


def fast_body(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"a" * 2**20)


@functools.cache
def packed_zeros() -> bytes:
    """256 MB in a quarter of a megabyte."""
    return gzip.compress(bytes(2**28))


def bomb(handler: Any) -> None:
    packed = packed_zeros()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    handler.wfile.write(head.encode() + packed)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (slow_headers, "the server does not answer"),
        (slow_body, "the server does not answer"),
        (fast_body, "the server's answer has more than 1 MB"),
        (bomb, "the server's answer is packed (gzip)"),
    ],
)
def test_a_server_that_never_ends_costs_seconds_and_megabytes(
    answer: Callable[[Any], None], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impatience, "WHOLE", 2.0)
    monkeypatch.setattr(impatience, "MOST", 2**20)
    store = make_store(tmp_path / "out")
    packed_zeros()  # takes longer than the client waits
    with endless(answer) as address:
        begun = time.monotonic()
        mirror = open_mirror(f"http://{address}", Results(make_suite(grid(1)), store))
        spent = time.monotonic() - begun
        if answer is bomb:
            tracemalloc.start()
            try:
                open_mirror(f"http://{address}", Results(make_suite(grid(1)), store))
                assert tracemalloc.get_traced_memory()[1] < 2**27
            finally:
                tracemalloc.stop()
    assert spent < HANGING
    assert mirror.behind is not None
    assert sentence in mirror.behind


# a server that goes away and comes back ----------------------------------------------------------


@dataclass
class Flaky:
    """MLflow's own server in this process, with something wrong from some request on.

    Attributes:
        url: where it is.
        fault: ``500``, ``cut`` (the connection closes without an answer), or None.
        after: requests that are answered before.
        asked: requests so far.
    """

    url: str = ""
    fault: str | None = None
    after: int = 0
    asked: list[str] = field(default_factory=list)

    def break_after(self, requests: int, fault: str) -> None:
        self.after, self.fault = len(self.asked) + requests, fault

    def answer(self, application: Any, environment: Any, start: Any) -> Any:
        self.asked.append(environment["PATH_INFO"])
        if self.fault is not None and len(self.asked) > self.after:
            if self.fault == "500":
                start("500 Internal Server Error", [("Content-Length", "0")])
                return [b""]
            environment["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return application(environment, start)


@pytest.fixture(scope="module")
def flaky_server(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flaky]:
    room.require()
    from mlflow.server import app, handlers
    from werkzeug.serving import make_server

    folder = tmp_path_factory.mktemp("flaky")
    shutil.copy(empty_mlflow, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    found = Flaky()
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", uri)
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder / "artifacts"))
        handlers.initialize_backend_stores(uri, uri, str(folder / "artifacts"))
        made = make_server(
            "127.0.0.1", 0, lambda env, start: found.answer(app, env, start), threaded=True
        )
        threading.Thread(target=made.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{made.server_port}"
        yield found
        made.shutdown()


@pytest.fixture
def flaky(flaky_server: Flaky, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flaky]:
    # It shares the machine with other tests and takes its time; what is wrong with it says so.
    monkeypatch.setattr(room, "HURRY", HANGING)
    monkeypatch.setattr(impatience, "WHOLE", HANGING)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(HANGING)))
    flaky_server.fault = None
    flaky_server.asked.clear()
    yield flaky_server
    flaky_server.fault = None


def test_nothing_of_mlflow_reaches_standard_output(
    flaky: Flaky, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints "View run ... at: http://user:password@..." for every run that ends."""
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")  # the user's wish
    store = make_store(tmp_path / "out")
    cells = grid(1)
    uri = flaky.url.replace("http://", "http://user:secret-word@")
    capfd.readouterr()
    mirror = open_mirror(uri, Results(make_suite(cells, "silent"), store))
    mirror.cell(commit(store, cells[0]))
    mirror.finish("table", [], "FINISHED")
    assert mirror.behind is None
    sync(uri, Results(make_suite(cells, "silent"), store))
    out, err = capfd.readouterr()
    assert out == ""
    assert "secret-word" not in err


@pytest.mark.parametrize("fault", ["500", "cut"])
def test_lost_at_any_request_and_repaired(
    flaky: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """After the n-th request the server is gone; sync makes whatever it left whole, once."""
    name = f"flaky-{fault}"
    store = make_store(tmp_path / "out")
    cells = grid(1)
    suite = make_suite(cells, name)
    begun = time.monotonic()
    mirror = open_mirror(flaky.url, Results(suite, store))
    opened = len(flaky.asked)
    mirror.cell(commit(store, cells[0]))
    each = len(flaky.asked) - opened
    assert each > 3  # a run is made of several requests, and each of them may be the last
    for number, cell in enumerate(cells[1:]):
        flaky.break_after(1 + number * (each - 2) // 2, fault)
        mirror.cell(commit(store, cell))
        assert mirror.behind is not None
        assert "the server" in mirror.behind
        flaky.fault = None
        if number == 0:  # it comes back while the run goes on
            mirror._rest_until = 0.0
            mirror.cell(store.read(cell.key))  # type: ignore[arg-type]
            assert mirror.behind is None
            assert_mirrors(flaky.url, Results(suite, store))
        else:
            mirror = open_mirror(flaky.url, Results(suite, store))
    flaky.break_after(2, fault)  # and it is away at the end
    mirror.finish("table", [], "FINISHED")
    assert mirror.behind is not None
    assert time.monotonic() - begun < HANGING
    flaky.fault = None
    assert parent(flaky.url, name).info.status == "RUNNING"
    sync(flaky.url, Results(suite, store))
    assert_mirrors(flaky.url, Results(suite, store))
    assert parent(flaky.url, name).info.status == "FINISHED"
    before = {run.info.run_id for run in runs(flaky.url, name)}
    assert sync(flaky.url, Results(suite, store)) == SyncReport(unchanged=4)
    assert {run.info.run_id for run in runs(flaky.url, name)} == before


def test_a_fault_is_not_repeated_with_every_cell(
    flaky: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gzsl_bench.tracking.mirror._PAUSE", 600.0)
    store = make_store(tmp_path / "out")
    cells = grid(8)
    mirror = open_mirror(flaky.url, Results(make_suite(cells, "rests"), store))
    flaky.break_after(0, "500")
    before = len(flaky.asked)
    for cell in cells:
        mirror.cell(commit(store, cell))
    assert len(flaky.asked) == before + 1


# files -------------------------------------------------------------------------------------------


def fill(folder: Path, but: int = 0) -> Path:
    """Take all the room but some bytes."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(path, max(0, path.stat().st_size - but))
    return path


@pytest.mark.parametrize("what", ["database", "artifacts"])
def test_a_full_disk(
    what: str, tmp_path: Path, empty_mlflow: Path, small_disk: Callable[[int], Path]
) -> None:
    """MLflow's disk is full, that of the records is not."""
    store = make_store(tmp_path / "out")
    cells = grid(2)
    suite = make_suite(cells)
    disk = small_disk(4096)
    if what == "database":
        shutil.copy(empty_mlflow, disk / "mlflow.db")
        uri = f"sqlite:///{disk / 'mlflow.db'}"
    else:
        shutil.copy(empty_mlflow, store.layout.out / "mlflow.db")
        uri = store.layout.tracking_store
        store.layout.artifacts.symlink_to(disk)
    mirror = open_mirror(uri, Results(suite, store))
    mirror.cell(commit(store, cells[0]))
    assert mirror.behind is None
    filling = fill(disk)
    begun = time.monotonic()
    for cell in cells[1:]:
        mirror.cell(commit(store, cell))
    mirror.finish("", [], "FINISHED")
    assert time.monotonic() - begun < HANGING
    assert mirror.behind is not None
    assert "full" in mirror.behind or "No space" in mirror.behind
    with pytest.raises(TrackingError, match="records are untouched"):
        sync(uri, Results(suite, store))
    filling.unlink()
    sync(uri, Results(suite, store))
    assert_mirrors(uri, Results(suite, store))
    assert sync(uri, Results(suite, store)) == SyncReport(unchanged=8)


@pytest.mark.parametrize("kilobytes", [16, 400])
def test_a_store_is_made_whole_or_not_at_all(
    kilobytes: int, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    """MLflow tries for minutes where it cannot begin, and never recovers from stopping midway."""
    disk = small_disk(kilobytes)
    store = make_store(tmp_path / "out")
    cells = grid(1)
    suite = make_suite(cells)
    uri = f"sqlite:///{disk / 'mlflow.db'}"
    (disk / ".mlflow.db.new").write_bytes(b"what a kill left")
    begun = time.monotonic()
    mirror = open_mirror(uri, Results(suite, store))
    assert time.monotonic() - begun < HANGING
    assert mirror.behind is not None
    assert "full" in mirror.behind
    assert {path.name for path in disk.iterdir()} <= {"mlflow.db.lock"}
    for cell in cells:
        commit(store, cell)
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    assert sync(uri, Results(suite, store)) == SyncReport(created=4)
    assert_mirrors(uri, Results(suite, store))


# PostgreSQL --------------------------------------------------------------------------------------


def _postgres_program(name: str) -> str | None:
    # Debian keeps them out of the way.
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A database server of our own with a password; its URI."""
    initdb, program = _postgres_program("initdb"), _postgres_program("postgres")
    if initdb is None or program is None:
        pytest.skip("PostgreSQL is not installed")
    if find_spec("psycopg2") is None:
        pytest.skip("psycopg2 is not installed")
    import psycopg2

    folder = Path(tempfile.mkdtemp(prefix="gzsl-bench-postgres-"))
    humble: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to be root
        humble = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres", "postgres")
    (folder / "password").write_text("horse-battery")
    (folder / "password").chmod(0o644)
    data = folder / "data"
    subprocess.run(
        [*humble, initdb, "-D", data, "-U", "lab", "-A", "scram-sha-256", "--no-sync",
         f"--pwfile={folder / 'password'}"],
        check=True, capture_output=True, cwd=folder, timeout=120,
    )  # fmt: skip
    port = server.free_port("127.0.0.1", 0)
    process = subprocess.Popen(
        [*humble, program, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off",
         "-c", "unix_socket_directories="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    # Which driver SQLAlchemy takes by itself differs between its versions.
    uri = f"postgresql+psycopg2://lab:horse-battery@127.0.0.1:{port}/postgres"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg2.connect(uri.replace("+psycopg2", ""), connect_timeout=2).close()
                break
            except psycopg2.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL does not come up"
                time.sleep(0.1)
        yield uri
    finally:
        process.send_signal(signal.SIGINT)  # SIGTERM would wait for our own connections
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.postgres
def test_a_server_with_its_own_database(
    postgres: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A tracking server on PostgreSQL dies in mid-run, comes back, and is made whole."""
    store = make_store(tmp_path / "out")
    cells = grid(2)
    suite = make_suite(cells)
    with server.serving(postgres, store.layout, "127.0.0.1", 0) as (url, running):
        arguments = Path(f"/proc/{running._process.pid}/cmdline").read_bytes()
        assert b"horse-battery" not in arguments
        mirror = open_mirror(url, Results(suite, store))
        for cell in cells[:3]:
            mirror.cell(commit(store, cell))
        assert mirror.behind is None
        assert len(by_key(url, "small")) == 3
        running.stop()
        begun = time.monotonic()
        for cell in cells[3:]:
            mirror.cell(commit(store, cell))
        mirror.finish("table", [], "FINISHED")
        assert time.monotonic() - begun < HANGING
        assert mirror.behind is not None
        assert "the server does not answer" in mirror.behind
    # The database is there without its server, too.
    assert parent(postgres, "small").info.status == "RUNNING"
    assert sync(postgres, Results(suite, store)) == SyncReport(created=5, unchanged=3)
    assert_mirrors(postgres, Results(suite, store))
    assert parent(postgres, "small").info.status == "FINISHED"
    assert sync(postgres, Results(suite, store)) == SyncReport(unchanged=8)
    assert "horse-battery" not in "".join(capfd.readouterr())


@pytest.mark.postgres
def test_a_database_that_refuses(postgres: str, tmp_path: Path) -> None:
    store = make_store(tmp_path / "out")
    suite = make_suite([make_cell()])
    record = commit(store, make_cell())
    for wrong in (postgres.replace("horse", "wrong"), postgres.replace("/postgres", "/none")):
        begun = time.monotonic()
        mirror = open_mirror(wrong, Results(suite, store))
        mirror.cell(record)
        mirror.finish("", [], "FINISHED")
        assert time.monotonic() - begun < HANGING
        assert mirror.behind is not None
        assert "failed" in mirror.behind or "does not exist" in mirror.behind
        assert "battery" not in mirror.behind


# elsewhere ---------------------------------------------------------------------------------------

_OFFLINE = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
for name in ("mlflow", "sqlalchemy"):
    sys.modules[name] = None  # a compute node has neither
from factory import commit, grid, make_suite
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import remember
store = RecordStore(Path(sys.argv[1]))
remember(store.layout, make_suite(grid(1)))
for cell in grid(1):
    commit(store, cell)
"""


def test_a_node_without_mlflow_and_a_sync_elsewhere(tmp_path: Path, empty_mlflow: Path) -> None:
    """The folder of records is all that travels."""
    there, here = tmp_path / "node" / "out", tmp_path / "desk"
    there.mkdir(parents=True)
    subprocess.run(
        [sys.executable, "-c", _OFFLINE, there, str(Path(__file__).parent)], check=True, timeout=600
    )
    assert not (there / "mlflow.db").exists()
    shutil.copytree(there, here)
    shutil.copy(empty_mlflow, here / "mlflow.db")
    from gzsl_bench.records.suites import recall

    store = RecordStore(here)
    suite = recall(store.layout, "small")
    assert sync(store.layout.tracking_store, Results(suite, store)) == SyncReport(created=4)
    assert_mirrors(store.layout.tracking_store, Results(suite, store))
