"""Tables on a terminal: as wide as it is, with a word on what is left out; a run in a real one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.scoring.summary import Summary
from gzsl_bench.terminal import width

SUITE = """\
name: mini
datasets: [digits]
methods:
  - {use: eszsl, label: ESZSL}
  - {use: eszsl, label: strong, config: {targets: pm1}}
"""


def row() -> Row:
    return Row(
        dataset="digits", features="f", attributes="a", fingerprint="0" * 16,
        images="0", method="m",
        label="CADA-VAE", selection="best_test", seeds=(0, 1),
        metrics={name: Summary(50.0, 1.0, 2) for name in HEADINGS}, keys=("k", "l"),
        preprocessing="none", setting="inductive", precision="float32", fidelity="paper",
        version="1", checkpoints=((1,), (1,)),
    )  # fmt: skip


def test_what_is_left_out_is_named_with_the_command_that_shows_it(capsys):
    width.show_table([row()], "my suite", Path("an out"), 100)
    out, err = capsys.readouterr()
    assert max(len(line) for line in out.splitlines()) <= 100
    assert "| AUSUC" not in out
    assert err == (
        "left out to fit 100 columns: AUSUC; all of it: gzsl-bench table 'my suite' --out 'an out'"
        " --layout long --metrics all\n"
    )
    width.show_table([row()], "s", Path("o"), 120)
    out, err = capsys.readouterr()
    assert "| AUSUC" in out
    assert err == ""


def test_a_file_has_no_width_but_for_what_is_set_and_a_terminal_at_least_60(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width.columns() is None
    monkeypatch.setenv("COLUMNS", "72")
    assert width.columns() == 72
    width.show_table([row()], "s", Path("o"), 72, lead="best_test")
    assert "\x1b" not in capsys.readouterr().out  # it is a file all the same
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for has, found in ((132, 132), (20, 60)):
        size = os.terminal_size((has, 24))
        monkeypatch.setattr(width.shutil, "get_terminal_size", lambda *_, size=size, **__: size)
        assert width.columns() == found


@pytest.mark.slow
def test_a_run_in_a_terminal_leaves_it_clean(tmp_path):
    (tmp_path / "mini.yaml").write_text(SUITE)
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "gzsl_bench", "run", "mini.yaml", "--tracking-uri", "none"],
        cwd=tmp_path, env=environment | {"TERM": "xterm"}, stdin=theirs, stdout=theirs,
        stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(mine, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        said += part
    os.close(mine)
    assert process.wait(60) == 0
    text = said.decode()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is there again
    assert "2/2" in text
    tail = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[text.rindex("\x1b[?25h") :])
    assert not re.search(r"[╌━]", tail)  # and nothing of the live part
    table = [line.rstrip() for line in tail.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert max(map(len, table)) <= 70
    assert "left out to fit 70 columns" not in text or "--metrics all" in text
