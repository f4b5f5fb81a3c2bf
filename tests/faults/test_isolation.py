"""Methods that break their process or leave it changed: one failed cell each, the rest works."""

from __future__ import annotations

import json
import re
import signal
import textwrap
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow

PLUGIN = '''
import ctypes, os, signal, subprocess, sys, threading, time, warnings
import numpy as np
import torch
from gzsl_bench import Config, Method, MethodSpec, hookimpl
from gzsl_bench.hooks.method import BatchedMethod

WITNESS = os.environ.get("GZSL_TEST_WITNESS", "/nonexistent")

def scorer(task, run):
    w = torch.randn(task.features.shape[1], task.num_classes, generator=run.generator("weights"))
    return lambda x: x @ w.to(x)

def child(*arguments):
    """A process that would outlive everybody, and can be found again."""
    code = "import sys, time; time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, **dict(arguments)
    )
    with open(WITNESS, "a") as file:
        file.write(f"{process.pid}\\n")

class Settings(Config):
    fault: str = ""
    number: int = 0

class Faulty(Method):
    Config = Settings

    def fit(self, task, run):
        print("here is", self.config.fault, run.seed)
        getattr(self, self.config.fault or "nothing")(task, run)
        return scorer(task, run)

    def nothing(self, task, run): ...

    def raises(self, task, run):
        raise ValueError("made to fail")

    def nan(self, task, run):
        run.log(1, loss=float("nan"))
        run.checkpoint(1, lambda x: torch.full((len(x), task.num_classes), torch.nan))

    def sys_exit(self, task, run):
        sys.exit("leaving")

    def os_exit(self, task, run):
        os._exit(3)

    def segfault(self, task, run):
        ctypes.string_at(0)

    def killed(self, task, run):
        os.kill(os.getpid(), signal.SIGKILL)

    def endless(self, task, run):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child()
        while True:
            run.progress(1, 2)

    def stubborn(self, task, run):
        """Holds the interpreter's lock: no other thread of the process gets to run."""
        ctypes.PyDLL(None).sleep(600)

    def hangs(self, task, run):
        """Hears no signal and never reports."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child()
        time.sleep(600)

    def greedy(self, task, run):
        held = []
        while True:
            held.append(np.ones(1 << 22))
            time.sleep(0.005)

    def floods(self, task, run):
        block = b"x" * (1 << 20)
        for _ in range(300):
            os.write(1, block)
        os.system("echo the flood is over")

    def leaves(self, task, run):
        child()
        child(("start_new_session", True))
        subprocess.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $! >>" + WITNESS])

    def changes(self, task, run):
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(7)
        torch.use_deterministic_algorithms(True)
        torch.set_grad_enabled(False)
        torch.manual_seed(0); np.random.seed(0)
        os.chdir("/"); os.umask(0o077); os.environ["CHANGED"] = "yes"
        os.environ.pop("HOME", None)
        warnings.simplefilter("error")
        np.seterr(all="raise")
        sys.path.clear()
        sys.stdout = None
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.alarm(1000)
        os.close(1)

    def thread(self, task, run):
        threading.Thread(target=time.sleep, args=(600,), name="left behind").start()

    def tells(self, task, run):
        found = [torch.get_default_dtype(), torch.get_num_threads(),
                 torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
                 os.getcwd(), oct(os.umask(0o22)), os.environ.get("CHANGED"), "HOME" in os.environ,
                 [f for f in warnings.filters if f[0] == "error"], np.geterr(), sys.path,
                 signal.getsignal(signal.SIGTERM), signal.getitimer(signal.ITIMER_REAL),
                 [t.name for t in threading.enumerate()]]
        run.log(1, pid=os.getpid(), torch=torch.rand(()).item(), numpy=np.random.rand())
        print("STATE", found)

class Stack(BatchedMethod):
    """Seed 5 kills the company it is trained in."""
    Config = Settings

    def fit_batch(self, task, runs):
        with open(WITNESS, "a") as file:
            file.write(",".join(str(run.seed) for run in runs) + "\\n")
        if any(run.seed == 5 for run in runs):
            os._exit(9)
        return [scorer(task, run) for run in runs]

class Second(Method):
    """Works the second time it is tried."""
    Config = Settings

    def fit(self, task, run):
        with open(WITNESS, "a+") as file:
            file.write(f"{os.getpid()}\\n")
            file.seek(0)
            tries = len(file.readlines())
        if tries == 1:
            raise RuntimeError("not yet")
        if tries == 2 and self.config.fault:
            os.kill(os.getpid(), signal.SIGKILL)
        return scorer(task, run)

@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("faulty", Faulty, citation="tests", fidelity="approximation")
    yield MethodSpec("stack", Stack, citation="tests", fidelity="approximation")
    yield MethodSpec("second", Second, citation="tests", fidelity="approximation")
'''


@pytest.fixture
def isolated(bench, faulty, tmp_path, monkeypatch):
    """Makes a bench with the plugin of faults: (methods, options) -> bench."""
    plugin = tmp_path / "faults_plugin.py"
    plugin.write_text(textwrap.dedent(PLUGIN), encoding="utf-8")
    witness = tmp_path / "witness.txt"

    def go(methods: str, *options: str, name: str = "one", **more: str):
        suite = f"name: faults\ndatasets: [digits]\nmethods:\n{textwrap.indent(methods, '  ')}"
        one = bench(suite, "--plugin", str(plugin), *options, name=name, **more)
        one.environment = {**faulty, "GZSL_TEST_WITNESS": str(witness)}
        one.witness = witness
        one.limit = 240
        return one

    return go


def entries(*faults: str) -> str:
    return "".join(
        f"- {{use: faulty, label: {fault}, config: {{fault: {fault}}}}}\n" for fault in faults
    )


def records(one) -> dict[str, dict]:
    """Label (and seed, where there are several) -> record, with its log."""
    found = {}
    for path in (one.out / "cells").glob("*/record.json"):
        content = json.loads(path.read_text())
        content["log"] = (path.parent / "log.txt").read_text()
        found[content["label"]] = content
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def started(one) -> list[int]:
    """Processes that methods started and never ended."""
    return [int(line) for line in one.witness.read_text().split()] if one.witness.exists() else []


FAULTS = (
    "raises", "nan", "sys_exit", "os_exit", "segfault", "killed", "greedy",
)  # fmt: skip


def test_every_fault_is_one_failed_cell(isolated):
    one = isolated(
        entries(*FAULTS, "floods", "leaves") + "- {use: faulty, label: fine}\n",
        "--jobs", "2", "--memory-limit", "1500MB",
    )  # fmt: skip
    done = one.run()
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    found = records(one)
    assert {label for label, content in found.items() if content["status"] == "failed"} == set(
        FAULTS
    )
    cause = {label: content.get("cause", "") for label, content in found.items()}
    assert cause["raises"] == "ValueError: made to fail"
    assert "NaN" in cause["nan"]
    assert cause["sys_exit"] == "SystemExit: leaving"
    assert "exit code 3" in cause["os_exit"]
    assert "signal 11 (SIGSEGV)" in cause["segfault"]
    assert "signal 9 (SIGKILL" in cause["killed"]
    assert cause["greedy"].endswith("more than the 1.4 GiB of --memory-limit")
    # What was printed last, and where the process was, is in the record.
    for label in FAULTS:
        assert f"here is {label} 0" in found[label]["log"], label
    for label in ("raises", "segfault", "greedy"):
        assert f"in {label}" in found[label]["traceback"], found[label]["traceback"]
    assert "Fatal Python error: Segmentation fault" in found["segfault"]["log"]
    # 300 MB of output: the end of it is kept.
    flood = found["floods"]["log"]
    assert len(flood) <= 200_000
    assert flood.startswith("[")
    assert "bytes of output before this were dropped" in flood[:100]
    assert flood.endswith("xthe flood is over\n")
    # Nothing that a method started is left, however it tried to get away.
    assert len(started(one)) == 3
    assert not [pid for pid in started(one) if alive(pid)]
    # MLflow has the same.
    client = MlflowClient(f"sqlite:///{one.out / 'mlflow.db'}")
    (run,) = client.search_runs(
        [e.experiment_id for e in client.search_experiments()],
        f"tags.`gzsl_bench.key` = '{found['segfault']['key']}'",
    )
    assert run.info.status == "FAILED"
    assert {"traceback.txt", "log.txt"} <= {
        file.path for file in client.list_artifacts(run.info.run_id)
    }
    # The table of failures comes last and says why.
    table = done.stderr[done.stderr.index("Failed on") :]
    for label in FAULTS:
        assert f" {label} " in table


def test_a_cell_that_takes_too_long(isolated):
    """Progress does not help, nor do deaf ears; a lock that is held by C code neither."""
    one = isolated(
        entries("endless", "stubborn"), "--jobs", "2", "--tracking-uri", "none", "--timeout", "10"
    )
    done = one.run()
    assert done.returncode == 1, done.stderr
    found = records(one)
    assert set(found) == {"endless", "stubborn"}
    for label, content in found.items():
        cause = content["cause"]
        waited = re.fullmatch(r"stopped after ([\d.]+) s: --timeout gives a cell 10 s", cause)
        assert waited, cause
        assert float(waited[1]) >= 10
        assert f"here is {label} 0" in content["log"]
    # Where it was; the other one hears no SIGTERM, so it cannot say.
    assert "in stubborn" in found["stubborn"]["traceback"]
    assert len(started(one)) == 1
    assert not [pid for pid in started(one) if alive(pid)]


def test_only_failed(isolated):
    """Only cells with a failed record, and a sentence where there is none."""
    one = isolated(
        entries("raises") + "- {use: faulty, label: fine}\n", "--jobs", "1",
        "--tracking-uri", "none",
    )  # fmt: skip
    options = one.options
    one.options = (*options, "--only-failed")
    done = one.run()
    assert done.returncode == 0
    assert "no cell of" in done.stderr
    assert "has a failed record" in done.stderr
    assert records(one) == {}
    one.options = (*options, "--only", "method=raises")
    assert one.run().returncode == 1
    one.options = (*options, "--only-failed")
    done = one.run()
    assert done.returncode == 1
    assert "(0 of 1 cell)" in done.stderr
    assert set(records(one)) == {"raises"}
    assert len(list((one.out / "failed").iterdir())) == 1


def test_a_cell_finds_nothing_of_what_another_did(isolated):
    """Each has a process of its own, and its global random states are those of its key."""
    tells = "- {{use: faulty, label: {0}, config: {{fault: tells, number: {1}}}}}\n"
    options = ("--jobs", "1", "--tracking-uri", "none")
    before, after = tells.format("before", 0), tells.format("after", 1)
    one = isolated(before + entries("changes", "thread") + after, *options)
    done = one.run()
    found = records(one)
    # Whether a cell survives what it does to itself is its own affair.
    assert found["before"]["status"] == found["after"]["status"] == "complete", done.stderr

    def state(content: dict) -> str:
        return content["log"][content["log"].index("STATE") :]

    def drawn(content: dict, name: str) -> float:
        return content["curves"][name][0][1]

    assert drawn(found["after"], "pid") != drawn(found["before"], "pid")
    assert "here is changes" in found["changes"]["log"]
    assert "here is changes" not in found["after"]["log"]
    assert state(found["after"]) == state(found["before"])
    # Global random states are neither left as they were nor the same in every unit.
    two = isolated(after, *options, name="two")
    done = two.run()
    assert done.returncode == 0, done.stderr
    for name in ("torch", "numpy"):
        assert drawn(found["after"], name) != drawn(found["before"], name)
        assert drawn(records(two)["after"], name) == drawn(found["after"], name)


def test_a_failed_cell_is_tried_again_in_fresh_workers(isolated):
    one = isolated(
        "- {use: second, config: {fault: kill}}\n",
        "--jobs", "1", "--tracking-uri", "none", "--retries", "2",
    )  # fmt: skip
    done = one.run()
    assert done.returncode == 0, done.stderr
    assert records(one)["second"]["status"] == "complete"
    causes = [json.loads(path.read_text())["cause"] for path in sorted(
        (one.out / "failed").glob("*/record.json"))]  # fmt: skip
    assert causes[0] == "RuntimeError: not yet"
    assert "signal 9" in causes[1]
    tries = one.witness.read_text().split()
    assert len(tries) == len(set(tries)) == 3
    assert "[2/1]" not in done.stderr


def test_a_stack_that_dies_is_halved_until_the_culprit_is_alone(
    isolated, resolve_text, tmp_path, monkeypatch
):
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.engine.units import plan
    from gzsl_bench.executors.local import local_executor
    from gzsl_bench.executors.run import run_units
    from gzsl_bench.hooks.manager import load_plugins
    from gzsl_bench.records.store import RecordStore

    witness = tmp_path / "witness.txt"
    monkeypatch.setenv("GZSL_TEST_WITNESS", str(witness))
    isolated("- {use: stack}\n")  # writes the plugin
    plugin = tmp_path / "faults_plugin.py"
    registry = load_plugins(files=[plugin])
    suite = "name: s\ndatasets: [digits]\nmethods: [stack]\nseeds: [4, 5, 6, 7]\n"
    cells = resolve_text(suite, registry).cells
    units = plan(cells, registry, 8)
    assert [len(unit.cells) for unit in units] == [4]
    store = RecordStore(tmp_path / "results")
    settings = WorkerSettings(store.layout.out, None, None, "cpu", 1, plugins=(plugin,))
    outcome = run_units(store, cells, units, local_executor(1), settings, lambda event: None)
    assert (outcome.total, outcome.done) == (4, 3)
    assert [record.seed for record in outcome.failed] == [5]
    assert "exit code 9" in outcome.failed[0].cause
    about = outcome.failed[0].provenance
    assert about.hardware["device"] == "cpu"
    assert {"torch", "numpy"} <= set(about.versions)
    assert about.trained == (outcome.failed[0].key,)
    assert witness.read_text().split() == ["4,5,6,7", "4,5", "4", "5", "6,7"]


def test_ctrl_c_while_a_worker_hangs(isolated, group_members):
    """Once waits for its next report, twice ends it and its children."""
    one = isolated(entries("hangs"), "--jobs", "1", "--tracking-uri", "none")
    # A parent that is killed takes them along, too.
    process = one.start()
    one.wait_for(lambda: started(one), seconds=120)
    process.kill()
    process.communicate(timeout=300)
    one.wait_for(lambda: not group_members(process.pid), seconds=10)
    process = one.start()
    one.wait_for(lambda: len(started(one)) > 1, seconds=120)
    process.send_signal(signal.SIGINT)
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    assert "Ctrl-C again stops at once" in stderr
    assert "Traceback" not in stderr
    assert records(one) == {}
    one.wait_for(lambda: not group_members(process.pid), seconds=10)
    assert len(started(one)) >= 2
    assert not [pid for pid in started(one) if alive(pid)]


def test_workers_that_die_at_start_end_the_run(isolated, tmp_path):
    """A plugin that kills every worker at its import is named, and no cell is blamed."""
    one = isolated("- {use: faulty}\n", "--jobs", "1", "--tracking-uri", "none")
    deadly = tmp_path / "deadly.py"
    deadly.write_text(
        "import multiprocessing, os\n"
        "if multiprocessing.parent_process() is not None:\n"
        "    open(os.environ['GZSL_TEST_WITNESS'], 'a').write('x')\n"
        "    print('no licence for this machine')\n"
        "    os._exit(4)\n"
        "from gzsl_bench import hookimpl\n"
        "@hookimpl\n"
        "def gzsl_bench_methods():\n"
        "    return []\n"
    )
    one.options = (*one.options, "--plugin", str(deadly))
    done = one.run()
    assert done.returncode == 2, done.stderr
    assert one.witness.read_text() == "xxx"
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("gzsl-bench: ")]
    assert "no worker process comes up" in line
    assert "exit code 4" in line
    assert "no licence for this machine" in line
    assert records(one) == {}
