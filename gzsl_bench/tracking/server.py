"""MLflow's own server on a results folder's store, for looking at it in a browser."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException

from gzsl_bench.errors import TrackingError
from gzsl_bench.impatience import watched
from gzsl_bench.masking import masked
from gzsl_bench.records.layout import Layout
from gzsl_bench.tracking import views
from gzsl_bench.tracking.address import artifact_root, sqlite_file
from gzsl_bench.tracking.client import require, writing

#: Seconds the server may take to answer: importing MLflow on a cold disk is slow.
_START = 120.0
#: Seconds and bytes of a short answer.
_ANSWER, _MOST = 5.0, 1 << 20


def check_store(uri: str) -> None:
    """Refuse to show a store that is not there: MLflow would create an empty one.

    Raises:
        TrackingError: there is no such file.
    """
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        raise TrackingError(
            f"there is no MLflow store {file} yet; gzsl-bench run fills it as it goes, and"
            " gzsl-bench sync SUITE makes it from finished records"
        )


def free_port(host: str, port: int) -> int:
    """``port`` if nobody listens there; 0 picks one.

    Raises:
        TrackingError: the port is taken, or the host is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise TrackingError(
                f"port {port} on {host} cannot be used ({reason}); choose another with --port"
            ) from None
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(uri: str, layout: Layout, host: str, port: int) -> Iterator[tuple[str, Server]]:
    """Run the server until the block is left; its processes end with it.

    Yields:
        The server's address once it answers, and the running server.

    Raises:
        TrackingError: the server does not come up.
    """
    require()
    check_store(uri)
    port = free_port(host, port)
    # A run may be creating the store at this moment: two migrations at once crash.
    with writing(uri, layout):
        pass
    with tempfile.TemporaryFile() as output:
        server = Server(_start(uri, layout, host, port, output.fileno()))
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        try:
            server.wait_until_up(url)
        except TrackingError as error:
            server.stop()
            output.seek(0)
            tail = output.read()[-2000:].decode(errors="replace").strip()
            last = masked(tail.splitlines()[-1]) if tail else "it said nothing"
            raise TrackingError(f"{error}: {last}") from None
        except BaseException:
            server.stop()
            raise
        try:
            yield url, server
        finally:
            server.stop()


def _start(uri: str, layout: Layout, host: str, port: int, output: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "mlflow", "server",
        "--default-artifact-root", str(artifact_root(uri, layout)), "--no-serve-artifacts",
        "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    environment = os.environ | {
        # No helpers for language model jobs: a researcher's laptop has better uses for them.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        # Not among the arguments, which every user of the machine can read.
        "MLFLOW_BACKEND_STORE_URI": uri,
    }
    # A session of its own: Ctrl-C reaches us alone, and we end the whole group.
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
        start_new_session=True,
    )  # fmt: skip


class Server:
    """MLflow's server with all its processes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def wait_until_up(self, url: str) -> None:
        """Return as soon as the server answers.

        Raises:
            TrackingError: it ended, or took too long.
        """
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise TrackingError("MLflow's server ended at once")
            try:
                _get(f"{url}/health")
                return
            except OSError:
                time.sleep(0.2)
        raise TrackingError(f"MLflow's server did not answer within {_START:.0f} s")

    def wait(self) -> int:
        """Wait for the server to end by itself; its exit status."""
        return self._process.wait()

    def stop(self) -> None:
        """End the server and its children: kindly, then not."""
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                self._process.poll()
                if not _alive(self._process.pid):
                    return
                time.sleep(0.05)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def experiment_page(url: str, name: str) -> str | None:
    """The page of the experiment ``name`` on a server, None if it has no such experiment.

    It lists the cells alone, the best H first: MLflow would fold them under the suite's own run.
    Where the experiment has views that this server can show, the first of them is opened.
    """
    query = urllib.parse.urlencode({"experiment_name": name})
    try:
        answer = _get(f"{url}/api/2.0/mlflow/experiments/get-by-name?{query}")
        found = json.loads(answer)["experiment"]
        number = found["experiment_id"]
        tags = {tag["key"]: tag["value"] for tag in found.get("tags", ())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, HTTPException):
        return None
    return f"{url}/#/experiments/{number}/runs?{views.query(tags, _version(url))}"


def _version(url: str) -> str:
    """The server's version; empty if it does not say."""
    try:
        return _get(f"{url}/version")[:100].decode().strip()
    except (OSError, ValueError, HTTPException):
        return ""


def _get(url: str) -> bytes:
    """An answer, as much of it as a short one has and as comes in time."""
    # Straight to the server: a proxy set in the environment knows nothing of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with watched() as lines, lines.within(_ANSWER), opener.open(url, timeout=_ANSWER) as answer:
        body: bytes = answer.read(_MOST)
        return body
