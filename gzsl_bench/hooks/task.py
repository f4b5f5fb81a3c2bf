"""What a method is allowed to see of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.streams import generator

if TYPE_CHECKING:
    import torch

    from gzsl_bench.hooks.images import Regions

T = TypeVar("T")

#: Part of every key: raise it when a method is handed other rows, in another order or rounded
#: otherwise, for the same data (preprocessing and folds have numbers of their own).
NUMERICS = 1


def unlabelled_order(rows: int) -> torch.Tensor:
    """The order [rows] in which a transductive method gets the test rows, both parts mixed."""
    import torch

    return torch.randperm(rows, generator=generator(0, "unlabelled order"))


@dataclass(frozen=True, eq=False)
class Task:
    """Training rows of seen classes, and the embedding of every class.

    Nothing of the test set is in here, nor the data set's name.  A validation fold is a ``Task``
    like any other: its class ids are dense and truly unseen classes are absent from it.

    Attributes:
        features: [N, D] float32, preprocessed, in the order of ``trainval_loc``.
        labels: [N] int64, class ids in ``0..C-1``; only ids of ``seen`` occur.
        attributes: [C, A] float32, one class embedding a row.
        seen: [S] int64, ascending ids of the classes with training rows.
        unseen: [U] int64, ascending ids of the classes without.
        unlabelled: [M, D] float32 test features in shuffled order; only in a transductive setting,
            otherwise None.
        regions: region maps of the training rows; this and all that follow only where the method's
            spec asks for them and the data set has them, otherwise None.
        second: [N, E] float32, the training rows in a second feature set, preprocessed alike.
        words: [A, W] float32, a word vector for each dimension of the class embedding.
        groups: [A] int64, the group that each dimension of the class embedding belongs to.
        class_names: [C] names.
    """

    features: torch.Tensor
    labels: torch.Tensor
    attributes: torch.Tensor
    seen: torch.Tensor
    unseen: torch.Tensor
    unlabelled: torch.Tensor | None = None
    regions: Regions | None = None
    second: torch.Tensor | None = None
    words: torch.Tensor | None = None
    groups: torch.Tensor | None = None
    class_names: tuple[str, ...] | None = None
    _shared: dict[Callable[..., Any], tuple[Any, str]] = field(
        default_factory=dict, init=False, repr=False
    )

    def shared(self, make: Callable[[Task], T]) -> T:
        """What ``make(task)`` gives, computed once for all runs that are trained together.

        For work that every one of them would repeat: the eigenvectors of X'X, say.  Whoever asks
        must leave the result as it is; runs of which one changes its tensors fail.

        Args:
            make: a function at the top of a module, so that it depends on the task alone; it must
                draw no random numbers.

        Raises:
            PluginError: ``make`` is a lambda, a method or a function within another one.
        """
        name = getattr(make, "__qualname__", None)
        if name is None or not name.isidentifier():
            raise PluginError(
                f"task.shared takes a function at the top of a module, not {name or make!r}: what"
                " it gives must depend on the task alone"
            )
        if make not in self._shared:
            value = make(self)
            self._shared[make] = value, _digest(value)
        return cast("T", self._shared[make][0])

    def shared_changed(self) -> str | None:
        """The name of a shared result whose tensors somebody changed, or None."""
        for make, (value, digest) in self._shared.items():
            if _digest(value) != digest:
                return make.__qualname__
        return None

    @property
    def num_classes(self) -> int:
        """C, seen and unseen classes together."""
        return int(self.attributes.shape[0])

    @property
    def device(self) -> torch.device:
        """Where all tensors of the task live."""
        return self.features.device


def _digest(value: Any) -> str:
    """Hash of the tensors in a shared result."""
    import torch

    hasher = hashlib.sha256()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            plain = item.detach().cpu().contiguous()
            hasher.update(f"{plain.dtype} {tuple(plain.shape)}".encode())
            hasher.update(plain.reshape(-1).view(torch.uint8).numpy().data)
        elif is_dataclass(item) and not isinstance(item, type):
            waiting += vars(item).values()
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, tuple | list):
            waiting += item
    return hasher.hexdigest()
