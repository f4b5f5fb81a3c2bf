"""Four runs of one suite under kills, freezes and held locks, with every other command beside them.

At the end everything has to be as if nothing had happened: see :meth:`Campaign._check`.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

from tests.faults.kills import Broken, Campaign, Program, finals

#: How the four runs work: alone in their process, or with processes for units.
RUNS = (("--inline",), ("--inline",), ("--jobs", "1"), ("--jobs", "2"))
#: Commands beside them, and what they may end with: a run at work refuses ``gc``, a suite that
#: nothing is finished of has no report, and MLflow has one writer at a time.
BESIDE = {
    ("sync", "suite.yaml"): (0, 2),
    ("records", "gc", "--yes"): (0, 2),
    ("records", "verify"): (0,),
    ("rescore", "suite.yaml"): (0, 2),
    ("report", "suite.yaml"): (0, 2),
    ("table", "suite.yaml", "--intervals"): (0, 2),
}
#: Seconds after which a run that gives no sign of life is given up: freezes are longer and shorter.
LEASE = 3.0
LOCKS = ("journal.jsonl", ".suites.lock", ".aside.lock", ".mlflow.lock")


def storm(campaign: Campaign) -> Counter[str]:
    """Let it rage until every cell is finished; what was done, by kind.

    Raises:
        Broken: something was lost, replaced or done twice, or a command failed.
    """
    before = os.environ.get("GZSL_BENCH_LEASE_SECONDS")
    os.environ["GZSL_BENCH_LEASE_SECONDS"] = str(LEASE)
    try:
        return _Storm(campaign).rage()
    finally:
        os.environ.pop("GZSL_BENCH_LEASE_SECONDS")
        if before is not None:
            os.environ["GZSL_BENCH_LEASE_SECONDS"] = before


class _Storm:
    def __init__(self, campaign: Campaign) -> None:
        self.campaign, self.random = campaign, campaign.random
        self.out = campaign.folder / "storm"
        self.done: Counter[str] = Counter()
        self.runs = [self._run(how) for how in RUNS]
        self.frozen: dict[Program, float] = {}
        self.beside: list[tuple[tuple[str, ...], Program]] = []
        self.commands: Iterator[tuple[str, ...]] = itertools.cycle(BESIDE)
        self.holders: list[int] = []

    def rage(self) -> Counter[str]:
        seen: dict[str, str] = {}
        deadline = time.monotonic() + 3600
        actions = (self._kill, self._freeze, self._freeze, self._command, self._hold)
        try:
            while len(seen) < self.campaign.cells:
                if time.monotonic() > deadline:
                    raise Broken(f"{len(seen)} of {self.campaign.cells} cells in an hour")
                time.sleep(self.random.uniform(0.05, 0.6))
                self.random.choice(actions)()
                self._thaw(time.monotonic())
                self._look_after()
                seen = self.campaign._nothing_replaced(self.out, seen)
        finally:
            self._thaw(float("inf"))
            for holder in self.holders:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(holder, signal.SIGKILL)
                os.waitpid(holder, 0)
        for program in self.runs:
            self._ended_well(program, (0,), "run")
        for command, program in self.beside:
            self._ended_well(program, BESIDE[command], " ".join(command))
        # Whoever comes last finds nothing to train and tidies up.
        self._ended_well(self.campaign._start(self.out, "--inline"), (0,), "run")
        self.campaign._nothing_replaced(self.out, seen)
        self.campaign._check(self.out)
        return self.done

    def _kill(self) -> None:
        which = self.random.randrange(len(self.runs))
        program = self.runs[which]
        if program.kill():
            self.frozen.pop(program, None)
            self.done["kills"] += 1
            self.runs[which] = self._run(RUNS[which])

    def _run(self, how: tuple[str, ...]) -> Program:
        return self.campaign._start(self.out, *how)

    def _freeze(self) -> None:
        program = self.random.choice(self.runs)
        if program not in self.frozen and not program.ended():
            os.kill(program.pid, signal.SIGSTOP)
            self.frozen[program] = time.monotonic() + self.random.uniform(0.2, 3 * LEASE)
            self.done["freezes"] += 1

    def _thaw(self, now: float) -> None:
        for program, until in list(self.frozen.items()):
            if until <= now:
                del self.frozen[program]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(program.pid, signal.SIGCONT)

    def _command(self) -> None:
        if sum(not program.ended() for _, program in self.beside) < 2:
            command = next(self.commands)
            program = Program(self.campaign.folder, *command, "--out", self.out.name)
            self.campaign.running.append(program)
            self.beside.append((command, program))
            self.done[" ".join(command[:2])] += 1

    def _hold(self) -> None:
        """Another process has a lock for some seconds, as a frozen one would."""
        place = self.out / self.random.choice(LOCKS)
        if not place.parent.exists():
            return
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(OSError):
                descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                time.sleep(2 * LEASE)
            os._exit(0)
        self.holders.append(pid)
        self.done["held locks"] += 1

    def _look_after(self) -> None:
        """Runs that have ended while others are not: all that is left is held; start them anew."""
        for which, program in enumerate(self.runs):
            if program.ended():
                self._ended_well(program, (0,), "run")
                if len(finals(self.out)) < self.campaign.cells:
                    self.runs[which] = self._run(RUNS[which])
        for command, program in self.beside:
            if program.ended():
                self._ended_well(program, BESIDE[command], " ".join(command))

    @staticmethod
    def _ended_well(program: Program, codes: tuple[int, ...], what: str) -> None:
        code = program.wait()
        if code == -signal.SIGKILL:
            return
        if code not in codes or "Traceback" in program.text():
            raise Broken(f"{what} ended with {code}: {program.text()[-3000:]}")
