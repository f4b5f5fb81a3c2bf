"""Images -> pooled features and region maps in a data set's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data import editing
from gzsl_bench.data.description import DESCRIPTION_FILE
from gzsl_bench.errors import DataError, GzslBenchError, in_one_line
from gzsl_bench.extract import folder as target
from gzsl_bench.extract.backbones import Backbone
from gzsl_bench.extract.files import Draft, Workplace, quantised
from gzsl_bench.extract.images import Listing
from gzsl_bench.extract.pooling import pooled
from gzsl_bench.extract.transform import Transform

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["float32", "float16", "bfloat16"]
Regions = Literal["none", "float16", "int8", "pixels"]
#: Largest finite float16.
_HALF = 65504.0


@dataclass(frozen=True)
class Order:
    """What is to be extracted, and how.

    Attributes:
        name: of the feature set.
        transform: what images go through.
        pool: how features are made of a map; see :mod:`gzsl_bench.extract.pooling`.
        regions: whether maps are kept, and in which numbers; ``pixels`` keeps the photographs.
        precision: arithmetic of the network.
        batch: images at a time; rounding depends on it, so it stays the same in a run that goes on.
        device: where the network runs.
        threads: that read images.
        again: replace what is there.
    """

    name: str
    transform: Transform
    pool: str = "auto"
    regions: Regions = "none"
    precision: Precision = "float32"
    batch: int = 32
    device: str = "cpu"
    threads: int = 4
    again: bool = False


@dataclass(frozen=True)
class Outcome:
    """What has become of it.

    Attributes:
        files: written, features first.
        description: the data set's ``dataset.yaml``.
        images: N.
        width: D.
        regions: [R, C], or None; of photographs [height, width, 3].
        reused: images that an earlier run had done.
        older: images that were written since an earlier run made all this.
    """

    files: tuple[Path, ...]
    description: Path
    images: int
    width: int
    regions: tuple[int, ...] | None
    reused: int
    older: tuple[str, ...] = ()


def extract(
    images: Listing,
    folder: Path,
    backbone: Backbone,
    order: Order,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Write ``features/NAME.npy``, maybe ``regions/NAME.npy``, and say so in ``dataset.yaml``.

    Args:
        images: which, in the order of rows.
        folder: of the data set; made where there is none.
        backbone: what turns them into numbers.
        order: how.
        progress: is told how many images are done, and of how many.

    Raises:
        DataError: an image, the network or the folder does not fit; the message says which.
    """
    with _arithmetic():
        network = _Network(backbone, order)
        source = {
            "backbone": backbone.name,
            "weights": backbone.weights,
            "weights_sha256": backbone.digest,
            "layer": backbone.layer,
            "pool": network.pool,
            "transform": order.transform.to_json(),
            "precision": order.precision,
            "trained_on": backbone.trained_on or "unknown",
            "libraries": backbone.libraries,
        }
        target.check(folder, images)
        return _written(images, folder, network, order, source, progress)


def _written(
    images: Listing,
    folder: Path,
    network: _Network,
    order: Order,
    source: dict[str, Any],
    progress: Callable[[int, int], None],
) -> Outcome:
    count = len(images.names)
    if order.regions != "none" and network.regions is None:
        raise DataError(
            f"{network.what} gives no map, so there are no regions to keep; name a layer that does"
            " with --layer, or leave --regions out"
        )
    there = target.finished(folder, order.name, source, order.regions, order.again)
    if there is not None:
        progress(count, count)
        older = tuple(images.names[row] for row in images.changed_since(there[0]))
        return Outcome(
            there, folder / DESCRIPTION_FILE, count, network.width, network.regions, count, older
        )
    plan = {"source": source, "regions": order.regions, "batch": order.batch,
            "device": network.kind}  # fmt: skip
    with Workplace(folder, order.name, plan, images, order.again) as place:
        drafts = [Draft(place.folder / "features.npy", (count, network.width), "<f4")]
        if network.regions is not None and order.regions != "none":
            dtype = "|u1" if order.regions == "pixels" else "<f2"
            drafts.append(Draft(place.folder / "regions.npy", (count, *network.regions), dtype))
        reused = place.begin(drafts)
        for start, rows in _batches(images, network, order, reused):
            for draft, values in zip(drafts, rows, strict=False):
                draft.put(start, values)
            place.count(start + len(rows[0]))
            progress(start + len(rows[0]), count)
        if drafts[0].path.exists() and target.has_features(folder, order.name):
            target.clear(folder, order.name, len(drafts) == 1 or drafts[1].path.exists())
        files = [folder / target.features_file(order.name)]
        if len(drafts) > 1:
            files += _regions(drafts[1].path, folder, order)
        description = editing.add(folder, _parts(images, folder, order, source, len(files)))
        _move(drafts[0].path, files[0])  # last, so that what is described is not another's
        place.clear()
    return Outcome(tuple(files), description, count, network.width, network.regions, reused)


def _parts(
    images: Listing, folder: Path, order: Order, source: dict[str, Any], files: int
) -> dict[str, Any]:
    """What ``dataset.yaml`` is to say of the set."""
    part = {"file": target.features_file(order.name), "images": "rows", "source": source}
    parts = target.description(folder, images) | {"features": {order.name: part}}
    if files > 1:
        names = target.regions_files(order.name)[: files - 1]
        parts["regions"] = {order.name: dict(zip(("file", "scale"), names, strict=False))}
    elif target.has_features(folder, order.name):  # maps of what was there before
        parts["regions"] = {order.name: None}
    return parts


def _regions(draft: Path, folder: Path, order: Order) -> list[Path]:
    """The maps' files in their place."""
    maps, scale = (folder / name for name in target.regions_files(order.name))
    if order.regions != "int8":
        _move(draft, maps)
        return [maps]
    if draft.exists():  # else a run was killed between here and the description
        quantised(draft, maps, scale)
        draft.unlink()
    return [maps, scale]


def _move(draft: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    if draft.exists():  # else a run was killed after it had moved it
        draft.replace(path)


class _Network:
    """A backbone on its device, tried once on an empty image.

    Attributes:
        width: D.
        regions: [R, C], or None.
        pool: the way of pooling in use.
        what: how messages call it.
        kind: ``cpu`` or ``cuda``: the plan's, for they round differently.
    """

    def __init__(self, backbone: Backbone, order: Order) -> None:
        import torch

        if backbone.module is None:
            raise DataError(f"{backbone.name} is an encoder of texts, but images need a module")
        self.what = f"the layer {backbone.layer} of {backbone.name}"
        self.pool, self._order = order.pool, order
        self._backbone, self._device = backbone, torch.device(order.device)
        self._dtype: torch.dtype = getattr(torch, order.precision)
        backbone.module.to(self._device, self._dtype)
        self.kind = self._device.type
        side = order.transform.crop
        try:
            found, regions = self._run(np.zeros((1, 3, side, side), np.float32))
        except GzslBenchError:
            raise
        except Exception as error:
            raise DataError(
                f"{backbone.name} fails on an image of {side} x {side} pixels:"
                f" {in_one_line(error)[:300]}"
            ) from None
        self.width = int(found.shape[1])
        self.regions = None if regions is None else tuple(map(int, regions.shape[1:]))
        if order.regions == "pixels":
            self.regions = (side, side, 3)

    def __call__(self, pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """[B, D] float32, and [B, R, C] float16 or the pixels [B, h, w, 3] where they are kept.

        Raises:
            DataError: a number is not finite, or too large for float16.
        """
        found, regions = self._run(self._order.transform.scaled(pixels))
        rows: list[NDArray[Any]] = [found.cpu().numpy()]
        if not np.isfinite(rows[0]).all():
            wide = self._order.precision == "float32"
            raise DataError(
                f"{self.what} gives NaN or Inf; "
                + (
                    "its weights may be damaged, or --mean and --std wrong"
                    if wide
                    else "a wider --precision may help (bfloat16, float32)"
                )
            )
        if self._order.regions == "pixels":
            rows.append(pixels)
        elif self._order.regions != "none" and regions is not None:
            maps = regions.float().cpu().numpy()
            if not np.abs(maps).max() <= _HALF:
                raise DataError(
                    f"{self.what} gives regions beyond {_HALF:.0f}, the most that float16 holds;"
                    " name another with --layer"
                )
            rows.append(maps.astype("<f2"))
        return rows

    def _run(self, images: NDArray[np.float32]) -> tuple[Tensor, Tensor | None]:
        import torch

        backbone = self._backbone
        with torch.inference_mode():
            raw, own = backbone.run(torch.from_numpy(images).to(self._device, self._dtype))
            found, regions, self.pool = pooled(
                raw, own, self.pool, backbone.prefix, backbone.channels_last, self.what
            )
        return found, regions


def _batches(
    images: Listing, network: _Network, order: Order, start: int
) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """First row and values of each batch; the next batch's images are read in the meantime."""
    spans = [
        images.names[at : at + order.batch] for at in range(start, len(images.names), order.batch)
    ]

    def read(name: str) -> NDArray[np.uint8]:
        return order.transform(images.root / name)

    with ThreadPoolExecutor(order.threads) as pool:
        waiting = [pool.submit(read, name) for name in spans[0]] if spans else []
        try:
            for number in range(len(spans)):
                batch = np.stack([job.result() for job in waiting])
                after = spans[number + 1] if number + 1 < len(spans) else ()
                waiting = [pool.submit(read, name) for name in after]
                yield start + number * order.batch, network(batch)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _arithmetic() -> Iterator[None]:
    """Plain float32 and algorithms that give the same bits every time; as it was, afterwards."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)
    matmul.allow_tf32 = cudnn.allow_tf32 = cudnn.benchmark = False
    cudnn.deterministic = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before
