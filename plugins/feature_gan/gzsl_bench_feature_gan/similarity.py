"""What LsrGAN's generator is held to: centroids of seen classes, and similarities to them."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from gzsl_bench.stacked import GANNetworks, class_means


class Similarity:
    """Seen classes' centroids, and how similar each class's embedding is to the nearest of theirs.

    Attributes:
        centroids: [S, D] means of real features.
    """

    def __init__(self, networks: GANNetworks, neighbours: int, band: torch.Tensor) -> None:
        """Of ``neighbours`` seen classes at most; half the width of the band [R] is ``band``."""
        task = networks.task
        self._seen, self._band = task.seen, band
        self.centroids = class_means(task.features[None], task.labels[None], task.seen)[0][0]
        unit = F.normalize(networks.embeddings, dim=1)
        self._near = (unit @ unit[task.seen].t()).topk(min(neighbours, task.seen.numel()))

    def distance(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[R] distances of seen classes' means to their centroids, those of absent ones 0."""
        means, present = class_means(features, labels, self._seen)
        off = torch.where(present[..., None], means - self.centroids, 0)
        found: torch.Tensor = torch.linalg.vector_norm(off, dim=-1).mean(1)
        return found

    def loss(
        self, features: torch.Tensor, labels: torch.Tensor, classes: torch.Tensor
    ) -> torch.Tensor:
        """[R] squared distances to a band around wanted similarities, summed over present classes.

        Args:
            features: [R, B, D] generated.
            labels: [R, B] their classes.
            classes: [K] those to look at.
        """
        means, present = class_means(features, labels, classes)
        wanted, near = self._near.values[classes], self._near.indices[classes]
        found = F.normalize(means, dim=-1) @ F.normalize(self.centroids, dim=-1).t()
        found = found.gather(2, near.expand(len(means), -1, -1))
        outside = ((found - wanted).abs() - self._band[:, None, None]).clamp(min=0)
        return torch.where(present, outside.square().mean(2), 0).sum(1)
