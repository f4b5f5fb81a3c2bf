"""The command as a user has it: MLflow away, a disk full, secrets in the command line."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SUITE = """\
name: away
datasets: [digits]
methods: [{use: eszsl, label: a}, {use: eszsl, label: b, config: {targets: pm1}}]
"""
PASSWORD, TOKEN = "hunter-two-and-a-half", "tok-93487-abcdef"
TALKATIVE = """
import os
from gzsl_bench import Method, MethodSpec, hookimpl

class Talkative(Method):
    def fit(self, task, run):
        print("environment:", dict(os.environ), flush=True)
        raise ValueError(f"{os.environ['MLFLOW_TRACKING_URI']} and {os.environ['LAB_API_TOKEN']}")

@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("talkative", Talkative, citation="tests", fidelity="approximation")
"""


def test_no_secret_leaves_the_command_line_or_the_environment(bench, faulty):
    uri = f"http://user:{PASSWORD}@127.0.0.1:9"
    one = bench(SUITE, "--inline", "--tracking-uri", uri)
    one.environment = faulty | {"MLFLOW_TRACKING_URI": uri, "LAB_API_TOKEN": TOKEN}
    begun = time.monotonic()
    done = one.run()
    # MLflow is away, the results are not.
    assert done.returncode == 0, done.stderr
    assert "| digits" in done.stdout
    (said,) = [line for line in done.stderr.splitlines() if "MLflow is behind" in line]
    assert "the server does not answer (http://***@127.0.0.1:9)" in said
    assert re.search(r"gzsl-bench sync away --out .*/out$", said)
    assert time.monotonic() - begun < 100
    assert len(list((one.out / "cells").iterdir())) == 2

    (one.folder / "talkative.py").write_text(TALKATIVE)
    one.suite.write_text(SUITE.replace("label: a}", "label: a}, talkative"))
    one.options = ("--jobs", "1", *one.options[1:], "--plugin", "talkative.py")
    failed = one.run()
    assert failed.returncode == 1, failed.stderr
    synced = one.call("sync", "--tracking-uri", uri)
    assert synced.returncode == 2
    debugged = one.call("sync", "--tracking-uri", uri, "--debug")
    assert "Traceback" in debugged.stderr
    texts = [r.stdout + r.stderr for r in (done, failed, synced, debugged)]
    files = [p for p in one.out.rglob("*") if p.is_file()]
    assert [p for p in files if p.name == "log.txt" and b"environment:" in p.read_bytes()]
    for secret in (PASSWORD, TOKEN):
        assert not [p for p in files if secret.encode() in p.read_bytes()]
        assert not [text for text in texts if secret in text]
    # What is no secret is still there.
    record = next(r for r in map(_read, one.out.glob("cells/*/record.json")) if r["cause"])
    assert record["cause"] == "ValueError: http://***@127.0.0.1:9 and ***"
    assert "--tracking-uri 'http://***@127.0.0.1:9'" in record["provenance"]["command"]


def _read(path: Path):
    return json.loads(path.read_text())


def test_a_disk_too_small_for_the_records(bench, small_disk):
    one = bench(SUITE, "--jobs", "1", "--tracking-uri", "none")
    disk = small_disk(40)  # a record takes 20, the reason of a failure 4
    one.out = disk / "out"
    done = one.run()
    # Where even the reason of a failure finds no room the run ends with it.
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "No space left on device" in line]
    assert "cannot be written" in said
    whole = one.finished()
    assert len(whole) == 1
    assert not list(one.out.glob("tmp/*"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    again = one.run()
    assert again.returncode == 0, again.stderr
    assert len(one.finished()) == 2
    assert {key: one.finished()[key] for key in whole} == whole


def test_a_disk_too_small_for_mlflow(bench, small_disk):
    one = bench(SUITE, "--inline")
    disk = small_disk(700)
    one.out = disk / "out"
    done = one.run()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "MLflow is behind" in line]
    assert "full" in said or "No space" in said
    assert "gzsl-bench sync away" in said
    assert len(one.finished()) == 2
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    synced = one.call("sync")
    assert synced.returncode == 0, synced.stderr
    assert "2 created" in synced.stderr
    assert "2 unchanged" in one.call("sync").stderr
