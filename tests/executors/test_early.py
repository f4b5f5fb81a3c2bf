"""The server that is forked of the command: what it knows, what its units find, how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gzsl_bench.executors import processes
from gzsl_bench.records.store import RecordStore

#: Looks around, and leaves a process behind that is nobody's child and in nobody's group.
PLUGIN = """
    import os, subprocess, sys, time
    from pathlib import Path
    import torch
    from gzsl_bench import Method, MethodSpec, hookimpl

    class Looks(Method):
        def fit(self, task, run):
            print("server", Path(f"/proc/{os.getppid()}/cmdline").read_text().replace("\\0", " "))
            print("path", subprocess.run("echo $PATH", shell=True, text=True,
                                         capture_output=True).stdout)
            print("main", vars(sys.modules["__main__"]).get("main"))
            print("open", [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                           if os.path.exists(f"/proc/self/fd/{n}")])
            ends = os.pipe()
            if not os.fork():
                os.setsid()
                daemon = os.fork()
                if daemon:
                    os.write(ends[1], str(daemon).encode())
                    os._exit(0)
                time.sleep(600)
            print("daemon", os.read(ends[0], 20).decode(), flush=True)
            return lambda x: torch.zeros(len(x), task.num_classes) + torch.arange(task.num_classes)

    @hookimpl
    def gzsl_bench_methods():
        yield MethodSpec("looks", Looks, citation="tests", fidelity="approximation")
"""


@pytest.mark.slow
def test_units_of_a_forked_server_are_as_alone_as_any(tmp_path):
    (tmp_path / "looks.py").write_text(textwrap.dedent(PLUGIN))
    (tmp_path / "suite.yaml").write_text(
        "name: s\ndatasets: [digits]\nmethods: [looks]\nplugins: [looks.py]\n"
    )
    streams = [tmp_path / name for name in ("stdin.txt", "stdout.txt", "stderr.txt")]
    with streams[0].open("w+") as given, streams[1].open("w") as put, streams[2].open("w") as told:
        done = subprocess.run(
            [sys.executable, "-m", "gzsl_bench", "run", "suite.yaml", "--tracking-uri", "none"],
            cwd=tmp_path, stdin=given, stdout=put, stderr=told, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, streams[2].read_text()
    store = RecordStore(tmp_path / "gzsl-results")
    (log,) = store.layout.out.glob("cells/*/log.txt")
    said = dict(line.partition(" ")[::2] for line in log.read_text().splitlines() if " " in line)
    assert "multiprocessing" not in said["server"]  # no Python of its own
    assert said["path"].strip() == os.environ["PATH"]
    assert said["main"] == "None"  # nothing runs the command again
    assert str(tmp_path) not in said["open"]
    # It was forked, not started, so that only what the system shows of its memory names it.
    deadline = time.monotonic() + 20
    while Path(f"/proc/{said['daemon']}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{said['daemon']}").exists()


def test_a_mark_is_shown_whatever_the_environment_began_with():
    """In a fork: the test's own process must not lose what it shows."""
    for value in ("a" * 32, "b" * 32):  # written anew, then over what is there
        tell, told = os.pipe()
        if not os.fork():
            before = dict(os.environ)
            processes.mark("c" * 32)
            processes.mark(value)
            shown = Path("/proc/self/environ").read_bytes().split(b"\0")
            kept = all(os.environ[name] == before[name] for name in before)
            good = kept and shown.count(f"{processes.TAG}={value}".encode()) == 1
            os.write(told, b"yes" if good else b"no")
            os._exit(0)
        assert os.read(tell, 3) == b"yes"
        os.wait()
        os.close(tell)
        os.close(told)


@pytest.mark.slow
def test_a_server_that_is_not_needed_ends_with_the_command(tmp_path):
    """Nothing to train, or a suite that is refused: no process is left, and none is waited for."""
    (tmp_path / "suite.yaml").write_text("name: s\ndatasets: [nowhere]\nmethods: [eszsl]\n")
    done = subprocess.run(
        [sys.executable, "-m", "gzsl_bench", "run", "suite.yaml", "--out", "out"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
