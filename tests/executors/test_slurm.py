"""Jobs of Slurm: what they ask for, their messages, and a cluster of one node that loses one."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run
from gzsl_bench.engine.events import Progress, UnitStarted, WorkerSettings
from gzsl_bench.engine.units import plan
from gzsl_bench.executors import executors
from gzsl_bench.executors.inline import inline_executor
from gzsl_bench.executors.resources import Resources
from gzsl_bench.executors.run import run_units
from gzsl_bench.executors.slurm.mail import Box, Pulse, Reader, Writer
from gzsl_bench.executors.slurm.wishes import Wishes, parse_wishes
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.records.journal import read
from gzsl_bench.records.store import RecordStore

PLUGIN = """
import pathlib, time
from gzsl_bench import Method, MethodSpec, hookimpl

class Slow(Method):
    def fit(self, task, run):
        weights = task.attributes @ task.attributes.T
        noise = run.generator("noise")
        go = pathlib.Path(__file__).with_name(f"go-{run.seed}")
        for step in range(3000):
            if go.exists():
                break
            run.progress(step, 3000)
            time.sleep(0.1)
        import torch
        wide = torch.randn(task.features.shape[1], len(task.attributes), generator=noise)
        return lambda v: v @ wide + weights.mean()

@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("slow", Slow, citation="", fidelity="approximation")
"""


def test_what_jobs_ask_for():
    found = parse_wishes(
        ["ACMR:gpu=1,memory=8GiB,time=2h", "cpu=4,partition=long", "--account=me"],
        Resources(memory=1 << 30),
    )
    base = Wishes(Resources(4, 0, 1 << 30), 720, {"partition": "long", "account": "me"})
    assert found == {
        "": base,
        "ACMR": Wishes(Resources(4, 1, 8 << 30), 120, base.others),
    }
    assert found["ACMR"].parameters() == {
        "timeout_min": 120,
        "cpus_per_task": 4,
        "gpus_per_node": 1,
        "slurm_mem": "8192M",
        "slurm_additional_parameters": {"requeue": True, "partition": "long", "account": "me"},
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--slurm", "cpu"], "is not understood; write [METHOD:]cpu=4"),
        (["--slurm", "array=1-4"], "is not understood"),
        (["--slurm", "gpu=0.5"], "whole cores and no or one whole GPU"),
        (["--slurm", "memory=much"], "much"),
        (["--threads", "2"], "--slurm cpu=N"),
        (["--device", "cuda:1"], "Slurm chooses the GPU"),
        (["--device", "cpu", "--slurm", "gpu=1"], "contradict each other"),
        (["--executor", "local", "--slurm", "cpu=2"], "--slurm needs --executor slurm"),
        (["--executor", "lsf"], "unknown executor 'lsf'"),
    ],
)
def test_options_that_do_not_fit_are_refused(capsys, arguments, said):
    assert run(["run", "quickstart", "--executor", "slurm", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_executors_of_others_are_found(monkeypatch):
    class Entry:
        name, value = "lsf", "their.module"

    monkeypatch.setattr("gzsl_bench.executors.metadata.entry_points", lambda group: [Entry])
    executors.cache_clear()
    try:
        assert executors()["lsf"] == "their.module"
        assert list(executors())[1:] == ["local", "inline", "ray", "slurm"]
    finally:
        executors.cache_clear()


def test_messages_are_read_as_they_are_written(tmp_path, monkeypatch):
    box = Box(tmp_path)
    reader, first = Reader(box, "job"), Writer(box.said("job", 0))
    assert list(reader.new()) == []
    first.send(Progress("u", "k", 1, 2))
    first.send(UnitStarted("u"))
    assert list(reader.new()) == [Progress("u", "k", 1, 2), UnitStarted("u")]
    # Half a message waits for the other half; what a killed job left half written is passed over.
    first.send("long " * 1000)
    whole = box.said("job", 0).read_bytes()
    box.said("job", 0).write_bytes(whole[:-2000])
    assert list(reader.new()) == []
    box.said("job", 0).write_bytes(whole)
    assert list(reader.new()) == ["long " * 1000]
    box.said("job", 0).write_bytes(whole + b"\0\0\0\x09half")
    Writer(box.said("job", 1)).send("again")
    assert list(reader.new()) == ["again"]
    reader.close()

    clock = [0.0]
    monkeypatch.setattr("gzsl_bench.executors.slurm.mail.time.monotonic", lambda: clock[0])
    pulse = Pulse(box)
    for clock[0], beats, gone in ((500, True, False), (1000, True, False), (1700, False, True)):
        if beats:
            box.pulse.write_text(str(clock[0]))
            os.utime(box.pulse, ns=(0, int(clock[0])))
        assert pulse.gone() is gone


# A cluster ---------------------------------------------------------------------------------------

CONFIG = """
ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort=16917
SlurmdPort=16918
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=2
NodeName={node} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Iterator[None]:
    """Slurm on this machine alone; skips where it is not installed, or nobody may start it."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    programs = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
    for name in programs:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    if os.getuid():
        pytest.skip("slurmd needs to be root")
    node, folder = platform.node().partition(".")[0], tmp_path / "cluster"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    # A socket's path may be no longer than 107 letters.
    config = CONFIG.format(node=node, folder=folder, cores=os.cpu_count())
    (folder / "slurm.conf").write_text(config)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    names = {"key-file": "key", "socket": "socket", "log-file": "log", "seed-file": "seed",
             "pid-file": "pid"}  # fmt: skip
    daemons = []
    for command in (
        ["munged", "--foreground", "--force"]
        + [f"--{option}={folder}/munge.{end}" for option, end in names.items()],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", node],
    ):
        daemons.append(
            subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        time.sleep(1)
    try:
        for _ in range(100):
            done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
            if done.stdout.strip() == "idle":
                break
            time.sleep(0.2)
        else:
            pytest.skip(f"Slurm does not come up here: {done.stdout}{done.stderr}")
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()


@pytest.mark.slurm
@pytest.mark.slow
def test_a_job_that_is_lost_and_one_that_is_requeued_give_the_same_numbers(
    cluster, tmp_path, resolve_text
):
    from gzsl_bench.executors.slurm.crew import slurm_executor

    plugin = tmp_path / "slow.py"
    plugin.write_text(PLUGIN)
    registry = load_plugins(files=[plugin])
    text = "name: s\ndatasets: [digits]\nmethods: [slow]\nseeds: 2\nselection: [last]\n"
    cells = resolve_text(text, registry).cells
    units = plan(cells, registry, 1)
    seeds = {unit.name: unit.cells[0].seed for unit in units}
    started: list[str] = []
    hit: list[str] = []

    def listen(event):
        """The first job is killed in the middle, the second one put back into the queue."""
        if isinstance(event, UnitStarted):
            started.append(event.unit)
            if event.unit in hit:
                tmp_path.joinpath(f"go-{seeds[event.unit]}").touch()
        elif isinstance(event, Progress) and event.unit not in hit:
            (job,) = (job for job, state in queue() if state == "RUNNING")
            how = ["scontrol", "requeue"] if hit else ["scancel", "--signal=KILL"]
            hit.append(event.unit)
            subprocess.run([*how, job], check=True)

    wished = {"": Wishes(others={"comment": "test"})}
    stores = {}
    for name, executor in (
        ("slurm", slurm_executor(wished, jobs=1)),
        ("here", inline_executor(registry)),  # nothing waits any more
    ):
        store = stores[name] = RecordStore(tmp_path / name)
        settings = WorkerSettings(store.layout.out, None, None, "cpu", 1, plugins=(plugin,))
        heard = listen if name == "slurm" else print
        assert run_units(store, cells, units, executor, settings, heard).exit_code == 0
    assert started == [name for name in seeds for _ in range(2)]
    assert hit == list(seeds)
    for cell in cells:
        here, there = (stores[name].read(cell.key) for name in ("here", "slurm"))
        assert here.checkpoints == there.checkpoints
        assert here.predictions().keys() == there.predictions().keys()
        assert here.predictions_sha256 == there.predictions_sha256
    lost = [e for e in read(stores["slurm"].layout.journal) if e.get("event") == "machine lost"]
    assert len(lost) == 1
    assert platform.node() in lost[0]["cause"]
    # Nothing is left: no message, no job.
    assert not stores["slurm"].layout.scratch.exists() or not any(
        stores["slurm"].layout.scratch.iterdir()
    )
    for _ in range(300):  # the last one may still be clearing up
        if not (left := {state for _, state in queue()} & {"RUNNING", "PENDING", "COMPLETING"}):
            break
        time.sleep(0.2)
    assert not left


def queue() -> list[tuple[str, str]]:
    done = subprocess.run(
        ["squeue", "-h", "-r", "--states=all", "-o", "%i|%T"], capture_output=True, text=True
    )
    return [tuple(line.split("|")) for line in sorted(done.stdout.split())]


def test_without_slurm_a_sentence_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["run", "quickstart", "--executor", "slurm", "--tracking-uri", "none"]
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "there is no sbatch here" in capsys.readouterr().err
    assert not Path(tmp_path / "out" / "cells").exists()
