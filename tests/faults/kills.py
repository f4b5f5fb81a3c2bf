"""SIGKILL at random moments: of parents, of two parents that share a suite, of workers.

Programs are forked from this process, which has imported everything and computed nothing: starting
one takes a moment instead of seconds, so that hundreds of kills take minutes.  Nothing else about
them is special.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PLUGIN = '''\
"""A closed form and noise from the run's own streams: a few milliseconds, several checkpoints."""

import time

import torch

from gzsl_bench import Config, Method, MethodSpec, Scorer, hookimpl


class Settings(Config):
    penalty: float = 1.0
    sleep: float = 0.01


class Quick(Method):
    Config = Settings

    def fit(self, task, run):
        x, y = task.features.double(), task.attributes.double()[task.labels]
        eye = torch.eye(x.shape[1], dtype=x.dtype)
        weights = torch.linalg.solve(x.T @ x + self.config.penalty * eye, x.T @ y)
        for step in range(1, 4):
            time.sleep(self.config.sleep)
            noise = torch.randn(weights.shape, generator=run.generator(f"noise {step}"))
            w = weights + 0.01 * noise.double()
            run.log(step, loss=1.0 / step)
            run.checkpoint(step, Scorer(lambda v, w=w: v.double() @ w,
                                        lambda e: e @ task.attributes.double().T))
            run.progress(step, 3)


@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("quick", Quick, citation="tests", fidelity="approximation")
'''
SUITE = """\
name: killed
datasets: [digits]
plugins: [quick.py]
methods:
  - {use: quick, label: a, config: {penalty: 0.1}}
  - {use: quick, label: b, config: {penalty: 1.0}}
  - {use: quick, label: c, config: {penalty: 10.0}}
  - {use: quick, label: d, config: {penalty: 100.0}}
seeds: %d
selection: [last, best_test]
"""
METHODS = 4


class Broken(AssertionError):
    """Something was lost, replaced or done twice."""


@dataclass
class Figures:
    """What happened.

    Attributes:
        kills: signals sent while the process was alive, by what it was.
        busy: of those, how many hit while cells were being trained or records mirrored.
        rounds: suites brought to their end.
        starts: programs started.
        taken_over: cells that changed hands because their run had died.
        twice: cells trained once more than needed, each after such a change.
    """

    kills: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    starts: int = 0
    taken_over: int = 0
    twice: int = 0


class Program:
    """``gzsl-bench`` in a forked process, a process group of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.output = folder / f"output-{time.monotonic_ns()}.txt"
        self.code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(folder, arguments)

    def _become(self, folder: Path, arguments: tuple[str, ...]) -> None:
        code = 70
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            os.chdir(folder)
            target = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(target, 1)
            os.dup2(target, 2)
            sys.argv = ["gzsl-bench", *arguments]
            from gzsl_bench.cli.main import run

            code = run(arguments)
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def ended(self) -> bool:
        """Whether it is gone; its exit code is known then."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, seconds: float = 300) -> int:
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                self.kill()
                raise Broken(f"it did not end within {seconds} s: {self.text()[-2000:]}")
            time.sleep(0.005)
        assert self.code is not None
        return self.code

    def kill(self) -> bool:
        """SIGKILL to the program alone; whether it was alive."""
        if self.ended():
            return False
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.code = -signal.SIGKILL
        return True

    def workers(self) -> list[int]:
        """Its living processes of units: forks of the fork of its server that has the plugins."""
        children: dict[int, list[int]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent = path.read_text().rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    children.setdefault(int(parent), []).append(int(path.parent.name))
        found = [self.pid]
        for _ in range(3):
            found = [child for pid in found for child in children.get(pid, [])]
        return found

    def text(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def busy(self) -> bool:
        """Whether it has come to its cells: a line for each begins with ``[number/``."""
        return "[" in self.text()


class Campaign:
    """Suites brought to their end through kills, and what has to hold all the while."""

    def __init__(self, folder: Path, seed: int = 0, seeds: int = 15, say=print) -> None:
        self.folder, self.say, self.cells = folder, say, METHODS * seeds
        self.until = float("inf")
        self.random = random.Random(seed)
        self.figures = Figures()
        self.running: list[Program] = []
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "quick.py").write_text(PLUGIN)
        (folder / "suite.yaml").write_text(SUITE % seeds)
        self.wanted = self._undisturbed()

    def _undisturbed(self) -> tuple[str, dict[str, str]]:
        began = time.monotonic()
        out = self.folder / "undisturbed"
        program = self._start(out, "--inline")
        if program.wait() != 0:
            raise Broken(program.text())
        self.whole = time.monotonic() - began
        return self._table(out), predictions(out)

    def parents(self, kills: int) -> None:
        """Kill a lone parent, mirroring to MLflow, until there were enough kills."""
        while self._more("parent", kills):
            with self._round("parent") as out:
                seen: dict[str, str] = {}
                while True:
                    how = ["--jobs", "2"] if self.figures.starts % 5 == 4 else ["--inline"]
                    program = self._start(out, *how)
                    self._let_live(program, self.whole / 25)
                    enough = not self._more("parent", kills)
                    if enough or not self._kill(program, "parent", out):
                        code = program.wait()
                        if code != 0:
                            raise Broken(f"exit code {code}: {program.text()[-3000:]}")
                        break
                    seen = self._nothing_replaced(out, seen)
                self._nothing_replaced(out, seen)

    def pairs(self, kills: int) -> None:
        """Two parents share a suite; now one, now the other is killed and started again."""
        while self._more("one of two parents", kills):
            with self._round("pair") as out:
                seen: dict[str, str] = {}
                pair = [self._start(out, "--inline") for _ in range(2)]
                while not all(program.ended() for program in pair):
                    which = self.random.randrange(2)
                    self._let_live(pair[which], self.whole / 25)
                    enough = not self._more("one of two parents", kills)
                    if not enough and self._kill(pair[which], "one of two parents", out):
                        pair[which] = self._start(out, "--inline")
                    elif enough:
                        for program in pair:
                            program.wait()
                    seen = self._nothing_replaced(out, seen)
                for program in pair:
                    if program.wait() != 0:
                        raise Broken(f"exit code {program.code}: {program.text()[-3000:]}")
                self._nothing_replaced(out, seen)

    def workers(self, kills: int) -> None:
        """Kill workers under a parent that lives; what they were at fails and is tried again."""
        while self._more("worker", kills):
            with self._round("worker") as out:
                seen: dict[str, str] = {}
                while True:
                    program = self._start(out, "--jobs", "2")
                    while not program.ended():
                        self._let_live(program, self.whole / 40)
                        found = program.workers()
                        if found and self._more("worker", kills):
                            busy = len(finals(out)) < self.cells
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(self.random.choice(found), signal.SIGKILL)
                                self.figures.kills["worker"] += 1
                                self.figures.busy["worker"] += busy
                        seen = self._nothing_replaced(out, seen)
                    # Two: no worker came up, for each was killed before it could.
                    if program.code not in (0, 1) and "worker" not in program.text():
                        raise Broken(f"exit code {program.code}: {program.text()[-3000:]}")
                    if program.code == 0:
                        break
                self._nothing_replaced(out, seen)

    def _more(self, what: str, kills: int) -> bool:
        return self.figures.kills[what] < kills and time.monotonic() < self.until

    @contextlib.contextmanager
    def _round(self, name: str) -> Iterator[Path]:
        out = self.folder / f"{name}-{self.figures.rounds}"
        before = sum(self.figures.kills.values())
        yield out
        self._check(out)
        self.figures.rounds += 1
        self.say(f"{out.name}: {sum(self.figures.kills.values()) - before} kills, all well")

    def _start(self, out: Path, *options: str) -> Program:
        self.figures.starts += 1
        # Every other one mirrors to MLflow while it trains, which takes most of its time.
        if self.figures.starts % 2:
            options = (*options, "--tracking-uri", "none")
        # One thread everywhere: their number fixes the rounding.
        command = ("run", "suite.yaml", "--out", out.name, "--device", "cpu", "--threads", "1")
        self.running = [program for program in self.running if not program.ended()]
        self.running.append(Program(self.folder, *command, *options))
        return self.running[-1]

    def close(self) -> None:
        """End whatever still runs; workers follow their parents."""
        for program in self.running:
            program.kill()

    def _let_live(self, program: Program, seconds: float) -> None:
        """Up to a random moment: three times in four after it has come to its cells."""
        if self.random.random() < 0.75:
            while not program.busy() and not program.ended():
                time.sleep(0.005)
        deadline = time.monotonic() + self.random.uniform(0, 2 * seconds)
        while time.monotonic() < deadline and not program.ended():
            time.sleep(0.002)

    def _kill(self, program: Program, what: str, out: Path) -> bool:
        busy = program.busy()
        if not program.kill():
            return False
        self.figures.kills[what] += 1
        self.figures.busy[what] += busy and len(finals(out)) < self.cells
        return True

    def _nothing_replaced(self, out: Path, seen: dict[str, str]) -> dict[str, str]:
        now = finals(out)
        for key, content in seen.items():
            if now.get(key) != content:
                raise Broken(f"{key} was {'replaced' if key in now else 'lost'}")
        return now

    def _table(self, out: Path) -> str:
        program = Program(self.folder, "table", "suite.yaml", "--out", out.name, "--format", "json")
        if program.wait() != 0:
            raise Broken(program.text())
        return program.text()

    def _check(self, out: Path) -> None:
        """The end of a round: as if nothing had happened."""
        if len(finals(out)) != self.cells or len(list((out / "cells").iterdir())) != self.cells:
            raise Broken(f"{len(finals(out))} of {self.cells} records")
        if (self._table(out), predictions(out)) != self.wanted:
            raise Broken("the table or the predictions are not those of an undisturbed run")
        self._check_journal(out)
        for command in (
            ("records", "verify", "--deep", "--out", out.name),
            ("sync", "suite.yaml", "--out", out.name),
        ):
            program = Program(self.folder, *command)
            if program.wait() != 0:
                raise Broken(f"{command}: {program.text()}")
        check_mlflow(out)
        for name in ("tmp", "leases"):
            if (out / name).exists() and list((out / name).iterdir()):
                raise Broken(f"{name} is not empty: {sorted((out / name).iterdir())[:3]}")

    def _check_journal(self, out: Path) -> None:
        """Work is done twice only after a lease ran out, and it shows."""
        from gzsl_bench.records import journal

        events = journal.read(out / "journal.jsonl")
        final = Counter(
            e["key"] for e in events if e["event"] == "committed" and e["status"] == "complete"
        )
        again = Counter(e["key"] for e in events if e["event"] == "superseded")
        over = Counter(e["key"] for e in events if e["event"] == "taken over")
        # Whoever is killed between the rename and the journal leaves a record without a line.
        if max(final.values()) > 1:
            raise Broken("a cell was committed twice")
        for key, times in again.items():
            if over[key] < times:
                raise Broken(f"{key} was trained twice without a lease having run out")
        self.figures.taken_over += sum(over.values())
        self.figures.twice += sum(again.values())


def finals(out: Path) -> dict[str, str]:
    """Key -> hash of every byte and time of the complete records."""
    found = {}
    for folder in sorted((out / "cells").glob("*")):
        try:
            record = (folder / "record.json").read_bytes()
            if json.loads(record)["status"] != "complete":
                continue
            whole = hashlib.sha256()
            for path in sorted(folder.iterdir()):
                whole.update(path.read_bytes() + str(path.stat().st_mtime_ns).encode())
        except (FileNotFoundError, NotADirectoryError):
            continue  # a failure that is moved aside just now
        found[folder.name] = whole.hexdigest()
    return found


def predictions(out: Path) -> dict[str, str]:
    """Key -> hash of the predictions: every number of a cell follows from them."""
    return {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((out / "cells").glob("*/predictions.npz"))
    }


def check_mlflow(out: Path) -> None:
    """One finished run per record, with its metrics, and one for the suite; straight from SQL.

    Read without MLflow's client, which might start threads in a process that forks.
    """
    import sqlite3

    with contextlib.closing(
        sqlite3.connect(f"file:{out / 'mlflow.db'}?mode=ro", uri=True)
    ) as store:
        rows = store.execute(
            "SELECT r.status, k.value, l.value, m.value FROM runs r"
            " LEFT JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = 'gzsl_bench.key'"
            " LEFT JOIN tags l ON l.run_uuid = r.run_uuid AND l.key = 'gzsl_bench.role'"
            " LEFT JOIN latest_metrics m ON m.run_uuid = r.run_uuid AND m.key = 'H'"
            " WHERE r.lifecycle_stage = 'active'"
        ).fetchall()
    suites = [row for row in rows if row[2] == "suite"]
    cells = [row for row in rows if row[2] != "suite"]
    if [row[0] for row in suites] != ["FINISHED"] or {row[0] for row in cells} != {"FINISHED"}:
        raise Broken(f"MLflow's states: {Counter((row[2], row[0]) for row in rows)}")
    wanted = {}
    for path in (out / "cells").glob("*/record.json"):
        content = json.loads(path.read_text())
        wanted[content["key"]] = round(content["checkpoints"][-1]["metrics"]["harmonic_mean"], 4)
    if len(cells) != len(wanted) or {row[1]: row[3] for row in cells} != wanted:
        raise Broken(f"MLflow shows {len(cells)} runs, which are not the {len(wanted)} records")
