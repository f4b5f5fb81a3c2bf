"""Programs that tests start, forked of a process that has imported what they need.

Most of what starting ``python -m gzsl_bench`` costs is importing, torch and MLflow above all, and
tests start it some hundred times.  A process per test process imports it all once and forks on
request; all else is as ``subprocess`` has it: descriptors, folder, environment, session, exit code,
and a child that is the test's own.  So are the processes that multiprocessing spawns and the jobs
of submitit.  What could tell the difference is started as ever: another Python, options of Python,
variables that are read at an import, modules that are to hide others.
``GZSL_BENCH_TEST_COLD=1`` starts everything as ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import multiprocessing.util
import os
import pkgutil
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MODULES = ("gzsl_bench", "submitit.local._local")
_CODE = (
    "from gzsl_bench.cli.main import main; main()",
    "from multiprocessing.spawn import spawn_main;",
)
#: Variables that Python or a library reads when it comes up, and that nothing sets while tests run.
_READ_AT_IMPORT = (
    "PYTHONDONT", "PYTHONHASH", "PYTHONHOME", "PYTHONUTF8", "PYTHONWARN", "LD_", "LC_", "LANG",
    "MALLOC_", "OMP_WAIT", "MLFLOW_DISABLE", "MPL",
)  # fmt: skip
#: What the program imports where it is needed, and commands often do.
_LATER = (
    "jinja2", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg",
    "matplotlib.figure", "optuna", "rich.live", "rich.progress", "scipy.special", "scipy.stats",
    "tabulate",
)  # fmt: skip
#: Libraries (numpy, pyarrow) that leave no thread behind to be lost by a fork.
ALONE = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_PR_SET_CHILD_SUBREAPER = 36
_SYSTEM = subprocess.Popen
_SPAWN = multiprocessing.util.spawnv_passfds


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """``subprocess.Popen``, which has the program forked where nothing could tell."""

    source: Source | Job | None = None

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any,
                       pass_fds: Any, cwd: Any, env: Any, startupinfo: Any, creationflags: Any,
                       shell: Any, *rest: Any) -> None:  # fmt: skip
        read, write, error = rest[0], rest[3], rest[5]
        plain = not (executable or preexec_fn or pass_fds or shell) and isinstance(args, list)
        variables = dict(os.environ if env is None else env)
        # restore_signals, gid, gids, uid, umask
        plain = plain and close_fds and rest[7:11] == (None, None, None, -1)
        if not plain or self.source is None or not self.source.fits(args, variables):
            super()._execute_child(
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo,
                creationflags, shell, *rest,
            )  # fmt: skip
            return
        request = {
            "args": [os.fspath(arg) for arg in args[1:]],
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": variables,
            "session": bool(rest[11]),
            "group": rest[12],
        }
        ends = {at: at if number < 0 else number for at, number in enumerate((read, write, error))}
        self.pid = self.source.fork(request, ends)
        self._child_created = True
        self._close_pipe_fds(*rest[:6])


def spawn(path: Any, args: Any, passed: Any) -> int:
    """``multiprocessing.util.spawnv_passfds``, in the same way."""
    variables = dict(os.environ)
    given = [os.fsdecode(arg) for arg in args]
    if Popen.source is None or not Popen.source.fits(given, variables):
        return _SPAWN(path, args, passed)
    request = {
        "args": given[1:], "cwd": str(Path.cwd()), "env": variables, "session": False, "group": -1,
    }  # fmt: skip
    return Popen.source.fork(request, {number: number for number in {0, 1, 2, *passed}})


def install() -> None:
    """Start programs so from now on."""
    Popen.source = Source()
    subprocess.Popen = Popen  # type: ignore[misc]
    multiprocessing.util.spawnv_passfds = spawn


class Source:
    """The process that forks programs, as the tests see it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._names: frozenset[str] = frozenset()
        # As it is before any test changes it.
        self._environment = dict(os.environ)
        self._folder = tempfile.TemporaryDirectory(prefix="gzsl-bench-warm-")
        self._lost = False
        self._one = threading.Lock()

    def fits(self, args: list[Any], variables: Mapping[str, str]) -> bool:
        """Whether a fork is what a fresh process would be."""
        kind, what = (*args[args[1:2] == ["-u"] :], "", "", "")[1:3]
        known = (kind == "-m" and what in _MODULES) or (kind == "-c" and what.startswith(_CODE))
        if self._lost or args[0] != sys.executable or not known:
            return False
        with self._one:
            if self._process is None:
                self._start()
        if self._lost:
            return False
        paths = set(variables.get("PYTHONPATH", "").split(os.pathsep)) - {""}
        before = set(self._environment.get("PYTHONPATH", "").split(os.pathsep)) - {""}
        if before - paths:
            return False
        for path in paths - before:
            found = Path(path).iterdir() if Path(path).is_dir() else ()
            names = {entry.name.partition(".")[0] for entry in found}
            if names & (self._names | {"sitecustomize", "usercustomize"}):
                return False
        ours, theirs = (
            {name: value for name, value in some.items() if name.startswith(_READ_AT_IMPORT)}
            for some in (self._environment, variables)
        )
        return ours == theirs

    def fork(self, request: Mapping[str, Any], ends: Mapping[int, int]) -> int:
        """Have a program forked as a child of this process; returns its process id.

        Args:
            request: what it is.
            ends: number of a descriptor there -> here.
        """
        assert self._socket is not None
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        content = json.dumps({**request, "places": list(ends), "blocked": list(blocked)}).encode()
        prctl = ctypes.CDLL(None).prctl
        with self._one:
            # Its parent ends at once, and whose child it becomes is settled then.
            prctl(_PR_SET_CHILD_SUBREAPER, 1)
            try:
                size = len(content).to_bytes(8, "big")
                socket.send_fds(self._socket, [size], list(ends.values()))
                self._socket.sendall(content)
                return int.from_bytes(_exactly(self._socket, 8), "big")
            finally:
                prctl(_PR_SET_CHILD_SUBREAPER, 0)

    def close(self) -> None:
        """End the process; programs stay."""
        if self._process is not None and self._socket is not None:
            self._socket.close()
            self._process.wait(60)
        self._folder.cleanup()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._process = _SYSTEM(
            [sys.executable, __file__, str(theirs.fileno()), self._folder.name],
            pass_fds=[theirs.fileno()],
            env=self._environment | ALONE,
        )
        theirs.close()
        try:
            size = int.from_bytes(_exactly(self._socket, 8), "big")
            self._names = frozenset(json.loads(_exactly(self._socket, size)))
        except OSError:
            self._lost = True


class Job:
    """A forked process of submitit, whose task is a fork of itself."""

    def fits(self, args: list[Any], variables: Mapping[str, str]) -> bool:
        """Whether it is that task."""
        return list(args[:4]) == [sys.executable, "-u", "-m", "submitit.core._submit"]

    def fork(self, request: Mapping[str, Any], ends: Mapping[int, int]) -> int:
        """Fork it; returns its process id."""
        task = os.fork()
        if task:
            return task
        code: Any = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _become({**request, "places": list(ends)}, [os.dup(end) for end in ends.values()])
            _run(request)
            code = 0
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)


def _exactly(end: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = end.recv(size - len(found))
        if not chunk:
            raise OSError("the process that forks programs has gone")
        found += chunk
    return found


def preload(folder: Path) -> None:
    """Import what programs need, and compute nothing: threads do not survive a fork.

    Args:
        folder: where an empty store of MLflow may be kept for all of them.
    """
    import gzsl_bench.stacked
    from gzsl_bench.hooks.manager import load_plugins

    for module in pkgutil.walk_packages(gzsl_bench.__path__, "gzsl_bench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    load_plugins(strict=False)
    for name in _LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        import mlflow.store.tracking.sqlalchemy_store
        import mlflow.tracking  # noqa: F401

        _copy_blank_stores(folder / "blank.db")


def _copy_blank_stores(blank: Path) -> None:
    """Have MLflow make the tables of a SQLite store once, and copy them from then on.

    Its dozens of migrations take more than a second each time, and always end the same.
    """
    from mlflow.store.db import utils

    make = utils._initialize_tables

    def copy(engine: Any) -> None:
        if engine.dialect.name != "sqlite":
            make(engine)
            return
        if not blank.exists():
            draft = blank.with_name(f"{os.getpid()}.db")
            other = utils.create_sqlalchemy_engine_with_retry(f"sqlite:///{draft}")
            make(other)
            other.dispose()
            draft.rename(blank)
        try:
            with contextlib.closing(sqlite3.connect(blank)) as there:
                there.backup(engine.raw_connection().driver_connection)
        except sqlite3.Error:
            make(engine)  # and fail in its own words

    utils._initialize_tables = copy


# In the process that forks -----------------------------------------------------------------------


def _serve(end: socket.socket, folder: Path) -> dict[str, Any] | None:
    """Fork on request; returns in a fork with its request, or with None once nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from gzsl_bench.executors import processes

    preload(folder)
    if processes.threads() > 1:
        return None
    names = json.dumps(sorted({name.partition(".")[0] for name in sys.modules})).encode()
    end.sendall(len(names).to_bytes(8, "big") + names)
    gc.collect()
    gc.freeze()
    while True:
        head, ends, _, _ = socket.recv_fds(end, 8, 99)
        if not head:
            return None
        request = json.loads(_exactly(end, int.from_bytes(head, "big")))
        told, tell = os.pipe()
        go, let = os.pipe()
        between = os.fork()
        if not between:
            program = os.fork()
            if program:
                os.write(tell, program.to_bytes(8, "big"))
                os._exit(0)
            end.close()
            os.close(let)
            os.read(go, 1)
            for number in (told, tell, go):
                os.close(number)
            _become(request, ends)
            return dict(request)
        os.waitpid(between, 0)
        end.sendall(os.read(told, 8))
        for number in (told, tell, go, let, *ends):
            os.close(number)


def _become(request: Mapping[str, Any], ends: list[int]) -> None:
    """Take over everything that a fresh process would have begun with."""
    if request["session"]:
        os.setsid()
    elif request["group"] >= 0:
        os.setpgid(0, request["group"])
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, 500) for number in ends]
    for number in ends:
        os.close(number)
    for place, number in zip(request["places"], high, strict=True):
        os.dup2(number, place, inheritable=place < 3)
        os.close(number)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    tempfile.tempdir = None
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", 1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    new = [path for path in request["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    rest = [path for path in sys.path[1:] if path not in new]
    sys.path[:] = ["" if "-c" in request["args"][:2] else request["cwd"], *new, *rest]
    sys.orig_argv = [sys.executable, *request["args"]]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.get("blocked", ()))


def _run(request: Mapping[str, Any]) -> None:
    kind, what, *rest = request["args"][request["args"][0] == "-u" :]
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(what, {"__name__": "__main__"})


if __name__ == "__main__":
    asked = _serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
    if asked is not None:
        if "submitit.local._local" in asked["args"]:
            Popen.source = Job()
            subprocess.Popen = Popen  # type: ignore[misc]
        _run(asked)
