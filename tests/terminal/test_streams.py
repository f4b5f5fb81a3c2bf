"""A broken terminal: what is said is lost, what is trained is not, and a lost table is an error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SPEAK = """
import os, sys
from gzsl_bench.cli import main
from gzsl_bench.terminal import streams
import click

def command(args, **options):
    for descriptor in range(3):
        os.fstat(descriptor)
    click.echo("said", err=True)
    with open({witness!r}, "w") as file:
        file.write("trained")
    print("a library")
    os.system("echo a program")
    streams.put("table")

main.cli.main = command
main.main(["run"])
"""


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        ("", 0), ("<&- >&- 2>&-", 0), (">&-", 0), ("2>&-", 0), ("2>/dev/full", 0),
        (">/dev/full", 2), (">/dev/full 2>/dev/full", 2), ("2>&1 | head -c 0", 0),
    ],
)  # fmt: skip
def test_a_broken_terminal_stops_nothing(tmp_path, redirection, code):
    witness = tmp_path / "witness"
    script = tmp_path / "speak.py"
    script.write_text(SPEAK.format(witness=str(witness)))
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1; '{sys.executable}' '{script}' {redirection}"],
        capture_output=True, text=True, timeout=300, env=os.environ,
    )  # fmt: skip
    assert witness.read_text() == "trained", done.stdout
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout
    assert "ignored" not in done.stdout
    if redirection == ">/dev/full":
        assert done.stdout.splitlines()[3:] == [
            "gzsl-bench: standard output: No space left on device; put it right and start again"
        ]
    if not redirection:
        assert done.stdout.splitlines() == ["said", "a library", "a program", "table"]


def test_nothing_but_results_is_on_standard_output(tmp_path):
    """What a library prints, at its import or from C, would spoil a table that a script reads."""
    script = tmp_path / "speak.py"
    script.write_text(SPEAK.format(witness=str(tmp_path / "witness")))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.stdout == "table\n"
    assert done.stderr.splitlines() == ["said", "a library", "a program"]
    asked = "from gzsl_bench.cli.main import main; main(['--version'])"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.startswith("gzsl-bench, version")


def test_a_reader_that_is_slow_gets_all_of_a_table():
    """Standard output does not block, as some terminals and tools leave it."""
    code = (
        "import os, sys; from gzsl_bench.terminal import streams; os.set_blocking(1, False)\n"
        "streams.steady(); streams.put('x' * 2_000_000, nl=False)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.read() == b"x" * 2_000_000
    assert process.returncode == 0
