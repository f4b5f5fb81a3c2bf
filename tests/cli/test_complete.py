"""What a shell completes, as it asks for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.shell_completion import BashComplete

from gzsl_bench.cli.main import cli


def completed(*words: str, unfinished: str = "") -> set[str]:
    found = BashComplete(cli, {}, "gzsl-bench", "_GZSL_BENCH_COMPLETE").get_completions(
        list(words), unfinished
    )
    return {item.value for item in found if item.type == "plain"}


@pytest.mark.parametrize(
    ("words", "unfinished", "expected"),
    [
        ([], "ta", {"table"}),
        (["run"], "qui", {"quickstart"}),
        (["cite"], "real_small_", {"real_small_val"}),
        (["run", "-d"], "dig", {"digits"}),
        (["run", "-m"], "esz", {"eszsl"}),
        (["run", "--executor"], "", {"local", "inline", "ray", "slurm"}),
        (["run", "--select"], "b", {"best_test"}),
        (["score", "a.npz", "--suite"], "tune", {"tune_eszsl"}),
    ],
)
def test_names_are_completed(words, unfinished, expected):
    assert completed(*words, unfinished=unfinished) == expected


def test_suites_of_a_results_folder_and_data_sets_of_a_data_folder(tmp_path):
    for name in ("one", "other"):
        (tmp_path / "out" / "suites").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "suites" / f"{name}.json").touch()
    out = str(tmp_path / "out")
    assert completed("table", "--out", out, unfinished="o") == {"one", "other"}
    assert completed("table", "--out", str(tmp_path / "none")) == set()
    (tmp_path / "out" / "models").mkdir()
    (tmp_path / "out" / "models" / "ab12.safetensors").touch()
    assert completed("predict", "--out", out, unfinished="a") == {"ab12"}
    (tmp_path / "data" / "MINE").mkdir(parents=True)
    (tmp_path / "data" / "MINE" / "dataset.yaml").touch()
    data = str(tmp_path / "data")
    assert completed("run", "--data", data, "-d", unfinished="MI") == {"MINE"}
    assert completed("run", "--data", str(tmp_path / "none"), "-d", unfinished="dig") == {"digits"}


def test_the_installed_program_answers_a_shell():
    asked = {"COMP_WORDS": "gzsl-bench sui", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "gzsl_bench"],
        env=os.environ | asked | {"_GZSL_BENCH_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "plain,suites\n"
