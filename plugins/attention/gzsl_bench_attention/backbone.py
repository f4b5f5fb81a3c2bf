"""A backbone that is trained with the head behind it."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator

from gzsl_bench import Config, Regions, Task
from gzsl_bench.errors import DataError


class Backbone(Config):
    """Which network, from which weights, and how it is trained.

    Its batch normalisation keeps its statistics, so an image's map depends on that image alone.
    """

    name: str = Field(
        description="timm:MODEL, torchvision:MODEL, or package.module:Class of an installed package"
        " (or a method of the class that makes one)"
    )
    arguments: dict[str, Any] = Field({}, description="that it is made with")
    weights: str = Field(
        description="a file, package:name for a file of an installed package, or random"
    )
    layer: str = Field("", description="whose output is the map; the library's usual one")
    mean: tuple[float, float, float] = Field(
        (0.485, 0.456, 0.406), description="taken off channels that run from 0 to 1"
    )
    std: tuple[float, float, float] = Field(
        (0.229, 0.224, 0.225), description="that channels are then divided by"
    )
    lr: float = Field(1e-4, gt=0, description="learning rate of its SGD, all epochs alike")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of its SGD")
    weight_decay: float = Field(5e-4, ge=0, description="weight decay of its SGD")
    identity: str = Field(
        "", description="filled in: hash of the weights' file and version of the package"
    )

    @model_validator(mode="before")
    @classmethod
    def _identified(cls, given: Any) -> Any:
        """What the weights and the code are is part of a cell's key, wherever they lie."""
        if not isinstance(given, dict) or not {"name", "weights"} <= given.keys():
            return given
        found = _identity(str(given["name"]), str(given["weights"]))
        if given.get("identity") not in (None, "", found):
            raise ValueError(f"the backbone is {found} here, and not {given['identity']}")
        return {**given, "identity": found}


def _identity(name: str, weights: str) -> str:
    from gzsl_bench.extract import importing
    from gzsl_bench.extract import weights as files

    library, _, model = name.partition(":")
    if not model or importing.is_file(library):
        raise ValueError(
            f"the backbone {name!r} is none of timm:MODEL, torchvision:MODEL and"
            " package.module:Class; no file named in a suite is executed"
        )
    try:
        path = None if weights == files.RANDOM else files.file_of(weights)
        versions = ", ".join(f"{n} {v}" for n, v in importing.version(library).items())
    except DataError as error:
        raise ValueError(str(error)) from None
    if weights == files.RANDOM:
        return f"random, {versions}"
    if path is None:
        raise ValueError(f"the weights {weights!r} are no file, whose hash could stand in keys")
    stat = path.stat()
    return f"{_digest(path, stat.st_size, stat.st_mtime_ns)}, {versions}"


@lru_cache(maxsize=16)
def _digest(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file; the rest tells that it is still the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Tuned:
    """A backbone with its optimiser; photographs [B, h, w, 3] become maps [B, P, C].

    Args:
        spec: what it is.
        pixels: photographs it will be shown, of which one is tried.

    Raises:
        DataError: it cannot be made, or gives no maps.
    """

    def __init__(self, spec: Backbone, pixels: Regions) -> None:
        from gzsl_bench.extract.backbones import Asked, backbone

        if spec.name.partition(":")[0] not in ("timm", "torchvision"):
            _refuse_others(spec.name)
        asked = Asked(spec.name, spec.weights, spec.arguments, spec.layer)
        self.made = backbone(asked)
        module = self.made.module
        if module is None:
            raise DataError(f"the backbone {spec.name} is no torch.nn.Module")
        module.to(pixels.device).requires_grad_(True)
        self.mean = torch.tensor(spec.mean, device=pixels.device) * 255
        self.std = torch.tensor(spec.std, device=pixels.device) * 255
        self.optimizer = torch.optim.SGD(
            module.parameters(), spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
        )
        with torch.no_grad():
            self.shape = tuple(self.maps(pixels[:1]).shape[1:])

    def maps(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, P, C] of pixels [B, h, w, 3] from 0 to 255."""
        from gzsl_bench.extract.pooling import pooled

        made = self.made
        images = ((pixels - self.mean) / self.std).permute(0, 3, 1, 2).contiguous()
        what = f"the layer {made.layer} of {made.name}"
        raw, _ = made.run(images)
        _, regions, _ = pooled(raw, None, "auto", made.prefix, made.channels_last, what)
        if regions is None:
            raise DataError(f"{what} gives no map; name another layer")
        return regions

    def task(self, task: Task) -> Task:
        """The task with maps of the shape that the backbone gives, to make a head for."""
        assert task.regions is not None
        rows = len(task.regions)
        blank = np.broadcast_to(np.zeros(1, np.float32), (rows, *self.shape))
        return replace(task, regions=Regions(blank, None, np.arange(rows), task.device))

    def begin(self) -> None:
        """Begin a step without gradients."""
        self.optimizer.zero_grad()

    def step(self) -> None:
        """Move the weights along the gradients of the last backward pass."""
        self.optimizer.step()


def _refuse_others(name: str) -> None:
    """A suite calls nothing but classes of networks, and what these classes offer.

    Raises:
        DataError: it names something else.
    """
    from gzsl_bench.extract.importing import imported

    place, _, path = name.rpartition(":")
    owner = imported(f"{place}:{path.partition('.')[0]}", "the backbone")
    if not inspect.isclass(owner) or not issubclass(owner, torch.nn.Module):
        raise DataError(f"the backbone {name} is of no class of torch.nn.Module, which is called")
