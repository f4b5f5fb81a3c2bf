"""``gzsl-bench check-plugin``: exit codes, streams, the JSON, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gzsl_bench.cli.main import run


@pytest.fixture
def call(capsys):
    def go(*arguments: object) -> tuple[int, str, str]:
        code = run(["check-plugin", *map(str, arguments)])
        found = capsys.readouterr()
        return code, found.out, found.err

    return go


def test_a_method_that_passes(call):
    code, out, err = call("eszsl", "--config", "feature_penalty=0.5", "--config", "targets=pm1")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "method eszsl"
    assert "configuration: feature_penalty=0.5, targets=pm1; every other field" in lines[1]
    assert "device: cpu; budget of a training: 60 s, 1024 MB" in lines[2]
    marks = ("  ok  ", "  skipped  ", "  not applicable  ")
    assert all(line.startswith(marks) for line in lines[3:-1])
    assert lines[-1].startswith(f"{len(lines) - 4} checks: ")
    assert err == ""


def test_json_is_all_there_is_on_standard_output(call):
    code, out, err = call("harmonic_mean", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["kind"], found["name"], found["passed"]) == ("metric", "harmonic_mean", True)
    assert {each["outcome"] for each in found["checks"]} == {"ok"}


def test_a_failure_exits_with_1_and_says_why(call):
    # With such a penalty nothing is learnt, whatever the floats say.
    options = ("--config", "attribute_penalty=0", "--budget", "30,500")
    code, out, _ = call("eszsl", *options, "--json")
    found = json.loads(out)
    assert code == 1
    failed = [each for each in found["checks"] if each["outcome"] == "failed"]
    assert [each["name"] for each in failed] == ["configuration_has_defaults"]
    assert "attribute_penalty" in failed[0]["reason"]
    assert found["passed"] is False
    # The budget is the one given.
    assert found["checked"]["budget"] == {"seconds": 30, "megabytes": 500}


def test_a_data_set(call):
    code, out, _ = call("digits")
    assert code == 0
    assert out.startswith("dataset digits\n  variant: pixels, strokes\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsuch"], "unknown method, data set or metric 'nonsuch'; available: "),
        (["esszl"], "did you mean 'eszsl'"),
        (["my/own.py"], "my/own.py is a file: give the name of what it offers, --plugin my/own.py"),
        (["eszsl", "--config", "targets"], "--config is not understood at 'targets'"),
        (["eszsl", "--config", "a=[1"], "at 'a=[1'; write KEY=VALUE"),
        (["eszsl", "--budget", "soon"], "--budget 'soon' is neither SECONDS nor SECONDS,MB"),
        (["eszsl", "--budget", "0"], "neither SECONDS nor SECONDS,MB"),
        (["digits", "--config", "a=1"], "are for methods, and 'digits' is a dataset"),
        (["digits", "--kind", "method"], "unknown method 'digits'"),
        (["eszsl", "--device", "tpu"], "--device 'tpu' is not understood"),
    ],
)
def test_bad_input_exits_with_2_and_one_sentence(call, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from gzsl_bench.cli.main import run; run(['check-plugin', '--help']);"
        " print(sorted({'torch', 'mlflow', 'scipy', 'gzsl_bench.testing'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
