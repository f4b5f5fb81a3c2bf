"""A few small images of three classes, and a backbone in a file."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BACKBONE = """
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, stride=4)
        self.head = nn.Linear(width, 2)

    def forward_features(self, images):
        return torch.relu(self.stem(images))

    def forward(self, images):
        return self.head(self.forward_features(images).mean((2, 3)))


def tiny(width=5):
    return Tiny(width)


class Letters:
    '''Texts as counts of letters.'''

    def encode(self, texts):
        return [[text.lower().count(letter) for letter in "abcde"] for text in texts]
"""


@pytest.fixture
def backbone_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny_backbone.py"
    path.write_text(textwrap.dedent(BACKBONE), encoding="utf-8")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three folders of four images, wide, tall, grey and with transparency."""
    rng = np.random.default_rng(0)
    for name, colour in (("red fox", 0), ("green frog", 1), ("blue whale", 2)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number, shape in enumerate([(20, 31), (29, 17), (16, 16), (40, 24)]):
            pixels = rng.integers(0, 100, (*shape, 4), dtype=np.uint8)
            pixels[..., colour] += 100
            image = Image.fromarray(pixels).convert(("RGB", "L", "RGBA", "RGB")[number])
            image.save(folder / f"{number}.png")
    return tmp_path / "photos"
