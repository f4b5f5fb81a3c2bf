"""What a method is handed of a task's arrays, and what its scorers are shown."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gzsl_bench.hooks.images import Images, Regions
from gzsl_bench.hooks.task import Task, unlabelled_order

if TYPE_CHECKING:
    import torch

    from gzsl_bench.data.tasks import TaskData

    #: The test rows in the order of the labels: seen classes, then unseen ones.
    Tests: TypeAlias = torch.Tensor | Images


def hand_over(
    data: TaskData,
    given: Collection[str],
    setting: str,
    tensor: Callable[[np.ndarray], torch.Tensor],
    maps: np.ndarray | None = None,
) -> tuple[Task, Tests]:
    """The task, and its test rows.

    Args:
        data: the arrays.
        given: what of ``hooks.images.EXTRAS`` the method gets; the arrays have it.
        setting: ``transductive`` adds unlabelled test features.
        tensor: makes a tensor on the device.
        maps: region maps mapped for reading alone, where those of ``data`` are not.
    """
    features = tensor(data.test_features)
    more: dict[str, Any] = {}
    shown: dict[str, Any] = {}
    if "regions" in given:
        values = data.regions if maps is None else maps
        assert values is not None
        assert data.train_rows is not None
        assert data.test_rows is not None
        for place, rows in ((more, data.train_rows), (shown, data.test_rows)):
            place["regions"] = Regions(values, data.region_scale, rows, features.device)
    if "second" in given:
        assert data.train_second is not None
        assert data.test_second is not None
        more["second"], shown["second"] = tensor(data.train_second), tensor(data.test_second)
    more |= {n: tensor(getattr(data, n)) for n in ("words", "groups") if n in given}
    if "class_names" in given:
        assert data.class_names is not None
        more["class_names"] = tuple(data.class_names.tolist())
    unlabelled = None
    if setting == "transductive":
        unlabelled = features[unlabelled_order(len(features)).to(features.device)]
    task = Task(
        features=tensor(data.train_features),
        labels=tensor(data.train_labels),
        attributes=tensor(data.attributes),
        seen=tensor(data.seen),
        unseen=tensor(data.unseen),
        unlabelled=unlabelled,
        **more,
    )
    return task, Images(features, **shown) if shown else features
