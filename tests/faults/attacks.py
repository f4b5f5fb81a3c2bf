"""What broke the command once, tried on the command as users have it.

Broken terminals, few descriptors, locks whose holder is frozen, a journal that is a folder, a
results folder that vanishes, methods that raise whatever there is, archives that unpack to
gigabytes: each has to end in records, or in one sentence.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.kills import Broken

PLUGIN = """\
import time
import torch
from gzsl_bench import Config, Method, MethodSpec, Scorer, hookimpl

class Settings(Config):
    raises: str = ""
    sleep: float = 0.0

class Mute(Exception):
    def __str__(self):
        raise KeyboardInterrupt

RAISED = {
    "interrupt": lambda: KeyboardInterrupt("mine"),
    "generator": lambda: GeneratorExit("mine"),
    "leave": lambda: SystemExit("mine"),
    "group": lambda: BaseExceptionGroup("some", [KeyboardInterrupt("mine")]),
    "mute": Mute,
}

class Odd(Method):
    Config = Settings

    def fit(self, task, run):
        time.sleep(self.config.sleep)
        if self.config.raises == "json":
            import json
            json.dumps = lambda *a, **k: "{}"
        elif self.config.raises:
            raise RAISED[self.config.raises]()
        x, y = task.features.double(), task.attributes.double()[task.labels]
        weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
        return Scorer(lambda v: v.double() @ weights, lambda e: e @ task.attributes.double().T)

@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("odd", Odd, citation="tests", fidelity="approximation")
"""
CAUSES = {
    "interrupt": "KeyboardInterrupt: mine", "generator": "GeneratorExit: mine",
    "leave": "SystemExit: mine", "mute": "Mute",
    "group": "BaseExceptionGroup: some (1 sub-exception): KeyboardInterrupt: mine",
}  # fmt: skip
PLAIN = "methods: [{use: odd, label: a}, {use: odd, label: b, config: {sleep: 0.5}}]"
#: Redirections of a run of two cells, and the exit codes that are right.
TERMINALS = {
    ">&-": 0, "2>&-": 0, "<&- >&- 2>&-": 0, "2>/dev/full": 0, ">/dev/full": 2,
    ">/dev/full 2>/dev/full": 2,
}  # fmt: skip


class Attacks:
    """All of them in one folder."""

    def __init__(self, folder: Path, say: Callable[[str], None] = print) -> None:
        self.folder, self.say = folder / "attacks", say
        self.folder.mkdir(parents=True)
        (self.folder / "odd.py").write_text(PLUGIN)
        self.count = 0

    def all(self) -> int:
        """Try them; how many there were.

        Raises:
            Broken: one did harm.
        """
        for attack in (
            self.terminals, self.descriptors, self.locks, self.journal, self.vanishes,
            self.causes, self.bombs,
        ):  # fmt: skip
            attack()
            self.say(f"{attack.__name__}: all well")
        return self.count

    def terminals(self) -> None:
        for redirection, code in TERMINALS.items():
            self._expect(f"{{run}} --jobs 1 {redirection}", code, records=2)

    def descriptors(self) -> None:
        for number in (6, 8, 12, 20):
            done = self._shell(f"ulimit -n {number}; {{run}} --jobs 2")
            if done.returncode != 2 or "Too many open files" not in done.stderr:
                raise Broken(f"ulimit -n {number}: {done.returncode}: {done.stderr[-1000:]}")

    def locks(self) -> None:
        out = self.folder / "out"
        self._expect("{run} --jobs 1", 0, records=2)
        for key in sorted((out / "cells").iterdir())[:1]:
            shutil.rmtree(key)
        held = []
        for name in ("journal.jsonl", ".suites.lock", ".aside.lock"):
            held.append((out / name).open("a"))
            fcntl.flock(held[-1], fcntl.LOCK_EX)
        said = self._expect("{run} --jobs 1", 0, records=2, fresh=False).stderr
        if said.count("does nothing") != 2:
            raise Broken(f"frozen holders of locks are not named: {said}")
        for file in held:
            file.close()

    def journal(self) -> None:
        said = self._expect("mkdir -p out/journal.jsonl; {run} --jobs 1", 0, records=2).stderr
        if said.count("journal.jsonl cannot be written") != 1:
            raise Broken(f"a journal that is a folder is not named: {said}")

    def vanishes(self) -> None:
        (self.folder / "suite.yaml").write_text(self._suite(PLAIN.replace("0.5", "8")))
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        with subprocess.Popen(
            self._command("{run} --jobs 1 >/dev/null"),
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            deadline = time.monotonic() + 120
            while not list(self.folder.glob("out/cells/*")) and time.monotonic() < deadline:
                time.sleep(0.05)
            shutil.rmtree(self.folder / "out")
            said = process.communicate(timeout=120)[1]
        self.count += 1
        if process.returncode != 1 or "was removed or replaced while the run" not in said:
            raise Broken(f"a vanished folder is not named: {process.returncode}: {said}")

    def causes(self) -> None:
        entries = [f"{{use: odd, label: {n}, config: {{raises: {n}}}}}" for n in (*CAUSES, "json")]
        suite = f"methods: [{', '.join(entries)}, {{use: odd, label: fine}}]"
        self._expect("{run} --jobs 2", 1, records=1, suite=suite)
        found = {}
        for path in self.folder.glob("out/cells/*/record.json"):
            record = json.loads(path.read_text())
            if record["cause"] and not record["traceback"]:
                raise Broken(f"{record['label']} has no traceback")
            found[record["label"]] = record["cause"]
        spoilt = found.pop("json")
        if "cannot be written" not in spoilt or found != {**CAUSES, "fine": ""}:
            raise Broken(f"the causes are {found}, {spoilt}")

    def bombs(self) -> None:
        """Archives of some MB that took gigabytes; in an address space of 4 GB."""
        space = b"[" + b" " * (31 << 20) + b"]"
        crowd = b"[" + b"[]," * (10 << 20) + b"0]"
        key = "0123456789abcdef0123"
        members = {f"audits/{key}{n:04x}.json": space for n in range(40)}
        for name, content, packed in (
            ("space", members, True),
            ("crowd", {f"cells/{key}0000/record.json": crowd}, False),
        ):
            path = self.folder / f"{name}.tar"
            archive(path, content, packed)
            done = self._shell(f"ulimit -v 4000000; {{program}} records import {path.name} --out o")
            if done.returncode not in (1, 2) or "Traceback" in done.stderr:
                raise Broken(f"{name}: {done.returncode}: {done.stderr[-1000:]}")
            if list(self.folder.glob("o/cells/*")) or list(self.folder.glob("o/audits/*")):
                raise Broken(f"{name}: something of it was taken")

    def _expect(
        self, script: str, code: int, records: int, *, suite: str = PLAIN, fresh: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = self._shell(script, suite, fresh)
        whole = [
            path
            for path in self.folder.glob("out/cells/*/record.json")
            if json.loads(path.read_text())["status"] == "complete"
        ]
        if done.returncode != code or len(whole) != records or "Traceback" in done.stderr:
            raise Broken(
                f"{script}: exit code {done.returncode}, {len(whole)} records:"
                f" {done.stderr[-2000:]}"
            )
        return done

    def _shell(
        self, script: str, suite: str = PLAIN, fresh: bool = True
    ) -> subprocess.CompletedProcess[str]:
        (self.folder / "suite.yaml").write_text(self._suite(suite))
        if fresh:
            shutil.rmtree(self.folder / "out", ignore_errors=True)
        self.count += 1
        return subprocess.run(
            self._command(script), cwd=self.folder, capture_output=True, text=True, timeout=300
        )

    @staticmethod
    def _command(script: str) -> list[str]:
        program = f"'{sys.executable}' -m gzsl_bench"
        run = f"{program} run suite.yaml --out out --device cpu --tracking-uri none"
        return ["bash", "-c", script.format(run=run, program=program)]

    @staticmethod
    def _suite(methods: str) -> str:
        return f"name: odd\ndatasets: [digits]\nplugins: [odd.py]\n{methods}\n"


def archive(path: Path, members: dict[str, bytes], packed: bool) -> None:
    """An archive of records, as ``records export`` lays it out, with whatever content."""
    files = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in members.items()
    }
    manifest = {"format": "gzsl-bench records", "version": 1, "files": files}
    head = ("manifest.json", json.dumps(manifest).encode())
    with (
        gzip.open(path, "wb", compresslevel=1) if packed else path.open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as target,
    ):
        for name, content in (head, *members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
