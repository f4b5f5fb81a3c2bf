"""Methods that die, users who press Ctrl-C, machines that go away: nothing finished is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FAILING = """\
name: failing
datasets: [digits]
methods:
  - {use: slow, label: before}
  - {use: slow, label: exits, config: {crash: exit}}
  - {use: slow, label: raises, config: {crash: raise}}
  - {use: slow, label: nan, config: {crash: nan}}
  - {use: slow, label: killed, config: {crash: kill}}
  - {use: slow, label: after, config: {steps: 2}}
"""

CELLS = 6
#: How often the killed suite is killed; raise it for a long test.
KILLS = int(os.environ.get("GZSL_BENCH_TEST_KILLS", "3"))
SLOW = """\
name: slow
datasets: [digits]
methods:
  - {use: slow, label: a, config: {steps: 3, sleep: 0.12}}
  - {use: slow, label: b, config: {steps: 4, sleep: 0.12}}
seeds: 3
selection: [last, best_test]
"""


def records(bench):
    found = {}
    for path in (bench.out / "cells").glob("*/record.json"):
        content = json.loads(path.read_text())
        found[content["label"], content["seed"]] = content
    return found


def test_failing_cells_are_recorded_and_the_others_complete(bench):
    one = bench(FAILING, "--tracking-uri", "none", "--jobs", "2")
    done = one.run()
    assert done.returncode == 1, done.stderr
    found = records(one)
    status = {label: content["status"] for (label, _), content in found.items()}
    assert status == {
        "before": "complete",
        "after": "complete",
        "exits": "failed",
        "raises": "failed",
        "nan": "failed",
        "killed": "failed",
    }
    assert "exit code 3" in found["exits", 0]["cause"]
    assert "killed by signal 9" in found["killed", 0]["cause"]
    assert found["raises", 0]["cause"] == "ValueError: this method is made to fail"
    assert 'raise ValueError("this method is made to fail")' in found["raises", 0]["traceback"]
    assert "NaN" in found["nan", 0]["cause"]
    # What a method printed is in its log, dead workers' included; nothing of it on the terminal.
    key = next(p.name for p in (one.out / "cells").iterdir()
               if json.loads((p / "record.json").read_text())["label"] == "raises")  # fmt: skip
    assert "training seed 0" in (one.out / "cells" / key / "log.txt").read_text()
    assert "training seed" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    # Standard output holds what completed and what did not, with its cause; failures come last.
    assert "before" in done.stdout
    assert "| failed " in done.stdout
    assert "made to fail" in done.stdout
    tail = done.stderr[done.stderr.index("Failed on") :]
    for label in ("exits", "raises", "nan", "killed"):
        assert f" {label} " in tail
    assert list((one.out / "tmp").glob("*")) == []
    # A plain re-run tries the failed ones again, and those alone.
    before = one.finished()
    one.options = ("--tracking-uri", "none", "--jobs", "1")
    again = one.run()
    assert again.returncode == 1
    assert one.finished() == before
    assert len(list((one.out / "failed").iterdir())) == 4
    assert {label: c["status"] for (label, _), c in records(one).items()} == status


def test_ctrl_c_and_resume(bench, group_members):
    one = bench(SLOW, "--tracking-uri", "none", "--jobs", "2")
    process = one.start()
    one.wait_for(lambda: len(one.finished()) >= 1)
    before = one.finished()
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert time.monotonic() - began < 60
    assert "Traceback" not in stderr
    assert "goes on where it stopped" in stderr
    # The resource tracker of multiprocessing follows a moment later.
    one.wait_for(lambda: not group_members(process.pid), seconds=20)
    stopped = one.finished()
    assert 1 <= len(stopped) < CELLS
    assert {key: stopped[key] for key in before} == before
    # An interrupted cell is no failed one.
    assert all(content["status"] == "complete" for content in records(one).values())
    done = one.run()
    assert done.returncode == 0, done.stderr
    after = one.finished()
    assert len(after) == CELLS
    assert {key: after[key] for key in stopped} == stopped
    assert not (one.out / "failed").exists()


def test_ctrl_c_while_workers_start(bench, group_members):
    """Workers that are still importing when Ctrl-C comes neither complain nor fail their cells."""
    one = bench(SLOW, "--tracking-uri", "none")
    process = one.start()
    # The parent, the resource tracker and a worker.
    one.wait_for(lambda: len(group_members(process.pid)) >= 3)
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert all(content["status"] == "complete" for content in records(one).values())


def test_two_runs_share_a_suite_and_terminate_is_an_interruption(bench, group_members):
    one = bench(SLOW.replace("sleep: 0.12", "sleep: 0.5"), "--tracking-uri", "none", "--jobs", "1")
    process, other = one.start(), one.start()
    one.wait_for(lambda: len(one.finished()) >= 2)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    # The resource tracker of multiprocessing follows a moment later.
    one.wait_for(lambda: not group_members(process.pid), seconds=20)
    _, more = other.communicate(timeout=120)
    assert other.returncode == 0, more
    # Each cell was trained once: by the first, or by the second one that went on alone.
    events = [json.loads(line) for line in (one.out / "journal.jsonl").read_text().splitlines()]
    names = [event["event"] for event in events]
    assert names.count("committed") == CELLS
    assert not {"superseded", "taken over", "lost"} & set(names)
    assert len(one.finished()) == CELLS
    assert "shares the cells" in stderr + more
    assert not (one.out / "leases").exists()
    assert all(content["status"] == "complete" for content in records(one).values())


def test_kills_of_parents_of_pairs_and_of_workers(tmp_path):
    """The short form of ``python -m tests.faults``, whose long form kills hundreds of times."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--folder", str(tmp_path / "kills")],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("kills of parent: 2", "kills of one of two parents: 2", "kills of worker: 2"):
        assert line in done.stdout


def test_killed_at_random_moments_and_resumed(bench, group_members):
    """SIGKILL to the parent alone: its workers have to notice by themselves."""
    undisturbed = bench(SLOW, "--tracking-uri", "none", "--jobs", "2", name="undisturbed")
    whole = undisturbed.run()
    assert whole.returncode == 0, whole.stderr

    one = bench(SLOW, "--jobs", "2", name="killed")
    moments = random.Random(7)
    kept: dict[str, object] = {}
    hits = 0
    for attempt in range(KILLS):
        process = one.start()
        if attempt % 2:
            count = len(kept)
            one.wait_for(lambda n=count, p=process: len(one.finished()) > n or p.poll() is not None)
            time.sleep(moments.uniform(0, 0.6))
        else:
            time.sleep(moments.uniform(0.5, 5.0))
        if process.poll() is None:
            process.kill()
            hits += 1
        process.communicate(timeout=120)
        one.wait_for(lambda p=process: not group_members(p.pid), seconds=5)
        found = one.finished()
        assert {key: found[key] for key in kept} == kept
        kept = found
        if len(found) == CELLS:
            break
    assert hits >= 2
    done = one.run()
    assert done.returncode == 0, done.stderr
    found = one.finished()
    assert len(found) == len(list((one.out / "cells").iterdir())) == CELLS
    assert {key: found[key] for key in kept} == kept
    assert list((one.out / "tmp").glob("*")) == []
    assert {key: files["predictions.npz"][0] for key, files in found.items()} == {
        key: files["predictions.npz"][0] for key, files in undisturbed.finished().items()
    }
    tables = [b.call("table", "--format", "json").stdout for b in (one, undisturbed)]
    assert len(json.loads(tables[0])) == 4
    assert tables[0] == tables[1]
    assert done.stdout == whole.stdout

    synced = one.call("sync")
    assert synced.returncode == 0, synced.stderr
    assert mirrored(one) == {
        key: round(shown["checkpoints"][-1]["metrics"]["harmonic_mean"], 4)
        for key, files in found.items()
        for shown in [json.loads(files["record.json"][0])]
    }


def mirrored(bench) -> dict[str, float]:
    """Key -> H of the finished child runs in MLflow's store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{bench.out / 'mlflow.db'}")
    experiments = [e for e in client.search_experiments() if e.name != "Default"]
    assert len(experiments) == 1
    runs = client.search_runs([experiments[0].experiment_id])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId")]
    parents = [run for run in runs if not run.data.tags.get("mlflow.parentRunId")]
    assert len(parents) == 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    keys = [run.data.tags["gzsl_bench.key"] for run in children]
    assert len(set(keys)) == len(keys)
    return {key: run.data.metrics["H"] for key, run in zip(keys, children, strict=True)}


TUNED = """\
name: tuned
datasets: [digits]
methods:
  - {use: slow, label: a, config: {sleep: 0.12}, tune: {steps: [2, 3, 4]}}
"""


def test_a_tuning_that_is_stopped_goes_on(bench):
    """Ctrl-C writes no suite; a kill loses nothing; the end is that of an undisturbed search."""
    one = bench(TUNED, "--tracking-uri", "none", "--jobs", "2", command="tune")
    process = one.start()
    one.wait_for(lambda: len(one.finished()) >= 1)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "interrupted, so no suite was written; the same command goes on" in stderr
    written = one.out / "suites" / "tuned-tuned.yaml"
    assert not written.exists()
    stopped = one.finished()
    assert 1 <= len(stopped) < 9
    process = one.start()
    one.wait_for(lambda: len(one.finished()) > len(stopped))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    killed = one.finished()
    assert {key: killed[key] for key in stopped} == stopped
    done = one.run()
    assert done.returncode == 0, done.stderr
    assert {key: one.finished()[key] for key in killed} == killed
    assert len(one.finished()) == 9
    other = bench(TUNED, "--tracking-uri", "none", "--jobs", "2", command="tune", name="two")
    undisturbed = other.run()
    assert undisturbed.stdout == done.stdout
    assert (other.out / "suites" / "tuned-tuned.yaml").read_text() == written.read_text()
