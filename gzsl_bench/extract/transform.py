"""What an image goes through before a backbone sees it: one recipe, the same for all backbones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.errors import DataError

Interpolation = Literal["bilinear", "bicubic", "lanczos", "nearest"]


@dataclass(frozen=True)
class Transform:
    """To RGB, shorter side resized with Pillow, square cut out of the middle, channels scaled.

    The other side is rounded to whole pixels; left and top edge of the crop are integer halves.
    Colour profiles and EXIF's orientation are left aside, as in torchvision's and timm's pipelines.

    Attributes:
        resize: pixels of the shorter side.
        crop: pixels of the square's side.
        interpolation: of the resizing.
        mean: of each channel, on a scale where pixels run from 0 to 1.
        std: of each channel, on the same scale.
    """

    resize: int = 256
    crop: int = 224
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if not 0 < self.crop <= self.resize:
            raise DataError(
                f"a crop of {self.crop} pixels cannot be cut out of an image whose shorter side has"
                f" {self.resize}; --crop must be at most --resize"
            )
        if min(self.std) <= 0:
            raise DataError(
                "--std holds a number that is not positive, but pixels are divided by it"
            )

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """[crop, crop, 3] pixels, as they are before channels are scaled.

        Raises:
            DataError: the file is no image, or a damaged one.
        """
        from PIL import Image

        try:
            with Image.open(path) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise DataError(
                        f"the image {path} has more than 8 bits a pixel (mode {opened.mode}), most"
                        " of which would become white; save it with 8 bits"
                    )
                image = opened.convert("RGB")
        except Image.DecompressionBombError as error:
            raise DataError(f"the image {path} is not read: {error}") from None
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read as an image ({error})") from None
        width, height = image.size
        scale = self.resize / min(width, height)
        size = (max(self.resize, round(width * scale)), max(self.resize, round(height * scale)))
        image = image.resize(size, Image.Resampling[self.interpolation.upper()])
        left, top = ((side - self.crop) // 2 for side in size)
        image = image.crop((left, top, left + self.crop, top + self.crop))
        return np.asarray(image)

    def scaled(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[..., 3, crop, crop] float32 of pixels [..., crop, crop, 3]."""
        mean, std = (np.array(values) * 255 for values in (self.mean, self.std))
        found = (pixels.astype(np.float32) - mean.astype(np.float32)) / std.astype(np.float32)
        return np.ascontiguousarray(np.moveaxis(found, -1, -3))

    def to_json(self) -> dict[str, Any]:
        """Plain data, as ``dataset.yaml`` keeps it."""
        return {
            "resize": self.resize,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }
