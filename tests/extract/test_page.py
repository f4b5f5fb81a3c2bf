"""The page's example works: from photographs to a table that says where its numbers come from."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gzsl_bench.cli.main import run

PAGE = Path(__file__).parents[2] / "docs" / "extract.md"

#: Images and texts in one space of three colours.
CLIP = """
import torch
from torch import nn


class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return images.mean((2, 3)).clamp(min=0) * self.scale

    def encode(self, texts):
        words = ("red", "green", "blue")
        return torch.tensor([[float(word in text) for word in words] for text in texts])


def colours():
    return Colours()
"""
COLOURS = {
    "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "red green": (1, 1, 0),
    "red blue": (1, 0, 1), "green blue": (0, 1, 1), "red green blue": (1, 1, 1),
}  # fmt: skip


@pytest.fixture
def photographs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        folder = tmp_path / "photographs" / f"{name} tiger".replace(" ", "_")
        folder.mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 40, (24, 20, 3)) + 200 * np.array(colour)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")


def test_from_photographs_to_a_table(
    photographs: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    (tmp_path / "colours.py").write_text(CLIP, encoding="utf-8")
    section = PAGE.read_text(encoding="utf-8").partition("## From photographs to a table")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", section.partition("\n## ")[0], re.S)
    small = "--resize 12 --crop 12 --mean 0 --std 1 --trained-on imagenet-1k"
    for line in block.strip().splitlines():
        line = line.replace("open_clip:ViT-B-32 --weights laion2b_s34b_b79k", "colours.py:colours")
        line = line.replace("-m eszsl", "").replace("photographs/", f"photographs/ {small}")
        line += " --tracking-uri none --inline" if "gzsl-bench run" in line else ""
        words = shlex.split(line)
        assert words[0] == "gzsl-bench"
        assert run(words[1:]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    words = "1 of 1 unseen classes may have been seen by the backbone, trained on imagenet-1k: "
    assert f"FLOWERS: {words}green_tiger (tiger?)." in said.out
    (suite,) = set(re.findall(r"gzsl-bench table (\S+)", said.out + said.err))
    assert run(["table", suite, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(len(row["seeds"]) == 1 for row in rows)
    last = next(row for row in rows if row["selection"] == "val")
    assert last["harmonic_mean"]["mean"] == 100.0
    assert next(row for row in rows if row["selection"] == "val+gamma")["gamma"]
    assert "colours.py:colours; weights its own" in last["notes"][0]
    assert "prompts a photo of a {}, a flower." in last["notes"][1]
    assert last["exposure"].startswith(words)
