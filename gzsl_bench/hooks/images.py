"""Images that are more than one row of features: region maps beside them, or a second feature set.

Region maps are large (AWA2's take 7.5 GB), so they stay in their file: what is asked for is copied
from it, and nothing else is ever held.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    #: Row numbers [..., n], or a range of rows.
    Wanted: TypeAlias = torch.Tensor | slice

#: What a task may hold besides features and class embedding, in the words of ``MethodSpec.needs``.
EXTRAS = ("regions", "second", "words", "groups", "class_names")

#: Bytes of a map's file that are mapped at once while rows are copied from it.
_MAPPED = 1 << 20


class Regions:
    """Region maps of some images: R vectors of C channels each, or photographs.

    Args:
        values: [N, R, C] maps of all images of the file, int8, float16 or float32; or [N, height,
            width, 3] pixels, uint8.
        scale: [C] float32 that the values are multiplied with, or None.
        rows: [n] the rows of ``values`` that may be asked for; row numbers below mean these.
        device: where gathered maps go.
    """

    def __init__(
        self,
        values: NDArray[Any],
        scale: NDArray[np.float32] | None,
        rows: NDArray[np.int64],
        device: torch.device,
    ) -> None:
        self.device = device
        self._values = np.asarray(values)
        self._scale = scale
        self._rows = rows
        self._file = mapping_behind(values)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, R, C), or (n, height, width, 3) of photographs."""
        return (len(self._rows), *self._values.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, wanted: Wanted) -> torch.Tensor:
        """[..., R, C] float32 maps of the rows [...] asked for, copied, on the device.

        Of photographs [..., height, width, 3], from 0 to 255.

        Raises:
            IndexError: there is no such row.
        """
        import torch

        rows = self._rows[_plain(wanted)]
        found = np.empty((*rows.shape, *self._values.shape[1:]), np.float32)
        flat = found.reshape(-1, *self._values.shape[1:])
        step = max(1, _MAPPED // max(1, self._values[:1].nbytes))
        for start in range(0, rows.size, step):
            # Row by row: neither is a batch held twice, nor are its pages of the file.
            for place, row in enumerate(rows.reshape(-1)[start : start + step].tolist(), start):
                if self._scale is None:
                    flat[place] = self._values[row]
                else:
                    np.multiply(self._values[row], self._scale, out=flat[place])
            if self._file is not None:
                self._file.madvise(mmap.MADV_DONTNEED)
        return torch.from_numpy(found).to(self.device)

    def of(self, wanted: Wanted) -> Regions:
        """The maps of these rows alone, in this order; nothing is read."""
        return Regions(self._values, self._scale, self._rows[_plain(wanted)], self.device)

    def to(self, device: torch.device) -> Regions:
        """The same maps, gathered for another device."""
        return Regions(self._values, self._scale, self._rows, device)


class Images:
    """What the scorers of a method are shown that needs regions or a second feature set.

    Attributes:
        features: [n, D] float32.
        regions: their region maps, or None.
        second: [n, E] float32 features of the second set, or None.
    """

    def __init__(
        self,
        features: torch.Tensor,
        regions: Regions | None = None,
        second: torch.Tensor | None = None,
    ) -> None:
        self.features, self.regions, self.second = features, regions, second

    @property
    def device(self) -> torch.device:
        """Where tensors live and maps are gathered."""
        return self.features.device

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the features: (n, D)."""
        return tuple(self.features.shape)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, wanted: Wanted) -> Images:
        """Some of the images; of maps nothing is read."""
        return Images(
            self.features[wanted],
            None if self.regions is None else self.regions.of(wanted),
            None if self.second is None else self.second[wanted],
        )

    def blocks(self, size: int) -> Iterator[Images]:
        """All images, ``size`` at a time: as many maps as one wants to hold at once."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def clone(self) -> Images:
        """With tensors of its own."""
        second = None if self.second is None else self.second.clone()
        return Images(self.features.clone(), self.regions, second)

    def equal(self, other: Any) -> bool:
        """Whether the tensors hold the same numbers; nobody can write to maps."""
        if not isinstance(other, Images):
            return False
        if self.second is not None and other.second is not None:
            return self.features.equal(other.features) and self.second.equal(other.second)
        return self.features.equal(other.features) and self.second is other.second

    @property
    def _version(self) -> int:
        """How often the tensors were written to, as torch counts it."""
        return self.features._version + (0 if self.second is None else self.second._version)


def _plain(wanted: Wanted) -> Any:
    return wanted if isinstance(wanted, slice) else wanted.cpu().numpy()


def mapping_behind(values: Any) -> mmap.mmap | None:
    """The mapping behind an array, where it lies in a file or in shared memory.

    Its pages are given back after use: they count as this process's memory otherwise, however
    little of the map is in use.  Whoever makes it maps it for reading alone, so nothing is lost.
    """
    while values is not None and not isinstance(values, mmap.mmap):
        if isinstance(values, memoryview):
            values = values.obj
        elif isinstance(values, np.ndarray) and not values.flags.writeable:
            values = values.base
        else:
            return None
    return values
