"""CE-GZSL's networks and losses: among the embedded rows of a batch, and against the classes."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from gzsl_bench.stacked import Maker, Table, seen_places

LEAK = 0.2
#: Numbers of hidden units that are held at once: every row meets every class in each of them.
AT_ONCE = 1 << 25


def contrastive(points: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al., 2020): [R].

    Rows that are alone in their class are left out.

    Args:
        points: [R, B, Z] of unit length.
        labels: [R, B].
        temperature: divides the similarities.
    """
    alone = torch.eye(labels.shape[1], dtype=torch.bool, device=labels.device)
    alike = (labels[:, :, None] == labels[:, None]) & ~alone
    similar = points @ points.mT / temperature
    logs = similar - similar.masked_fill(alone, -torch.inf).logsumexp(-1, keepdim=True)
    counts = alike.sum(-1)
    means = torch.where(alike, logs, 0.0).sum(-1) / counts.clamp(min=1)
    return -means.sum(-1) / (counts > 0).sum(-1).clamp(min=1)


class Comparator:
    """Embedded features [E] beside class embeddings [A] -> Linear -> leaky ReLU -> one number.

    The first layer is split: what it makes of a row and of a class is computed once for each.  The
    last layer's bias, by which no class differs from another, is left out.

    Attributes:
        layers: what an optimiser needs.
    """

    def __init__(self, make: Maker) -> None:
        embedded, hidden = make.config.embedded, make.config.comparator_hidden
        self._rows = make.linear("comparator/rows", embedded, hidden)
        self._classes = Table(make.runs, "comparator/classes", make.attributes, hidden, **make.how)
        self._output = Table(make.runs, "comparator/output", 1, hidden, **make.how)
        self.layers = [self._rows, self._classes, self._output]

    def __call__(self, embedded: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """[R, B, E], [S, A] -> [R, B, S]."""
        classes = attributes @ self._classes()
        scores: torch.Tensor = _Pairs.apply(self._rows(embedded), classes, self._output()[:, 0])  # type: ignore[no-untyped-call]
        return scores

    def loss(
        self,
        embedded: torch.Tensor,
        attributes: torch.Tensor,
        places: torch.Tensor,
        temperature: float,
    ) -> torch.Tensor:
        """NLL [R] of the rows' classes, whose ``places`` [R, B] among ``attributes`` are given."""
        logs = torch.log_softmax(self(embedded, attributes) / temperature, -1)
        return -logs.gather(-1, places[:, :, None]).mean((1, 2))


class _Pairs(torch.autograd.Function):
    """w . leaky_relu(u_b + v_s) of all pairs, a few classes at a time, both ways.

    Kept for the way back are u, v and w alone, not the hidden units of all pairs.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, classes: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(rows, classes, weight)
        parts = [
            torch.nn.functional.leaky_relu_(rows[:, :, None] + some[:, None], LEAK)
            @ weight[:, None, :, None]
            for some in torch.split(classes, _at_once(rows), 1)
        ]
        return torch.cat(parts, 2).squeeze(-1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows, classes, weight = ctx.saved_tensors
        of_rows, of_weight, of_classes = torch.zeros_like(rows), torch.zeros_like(weight), []
        at_once = _at_once(rows)
        for some, share in zip(
            torch.split(classes, at_once, 1), torch.split(grad, at_once, 2), strict=True
        ):
            before = rows[:, :, None] + some[:, None]
            slopes = torch.where(before > 0, share[..., None], share[..., None] * LEAK)
            of_weight += (before.mul_(slopes)).sum((1, 2))
            of_rows += slopes.sum(2)
            of_classes.append(slopes.sum(1))
        w = weight[:, None]
        return of_rows * w, torch.cat(of_classes, 1) * w, of_weight


def _at_once(rows: torch.Tensor) -> int:
    return max(1, AT_ONCE // rows.numel())


class Parts:
    """What CE-GZSL trains beside generator and critic.

    Attributes:
        embedding: features [D] -> ReLU -> [E].
        projection: [E] -> [Z], scaled to unit length.
        comparator: tells the class of an embedded row.
        instances: [R] weight of the contrastive loss of generated rows.
        classes: [R] weight of the comparator's loss of them.
        adams: all optimisers, whose rates decay together.
    """

    def __init__(self, make: Maker) -> None:
        task, config = make.task, make.config
        self.embedding = make.linear("embedding", make.features, config.embedded, "relu")
        self.projection = make.linear("projection", config.embedded, config.projected)
        self.comparator = Comparator(make)
        self.instances, self.classes = make.values("instances", "classes")
        self.adams: list[Any] = []
        self._seen, self._config = make.embeddings[task.seen], config
        self._places = seen_places(task)

    def project(self, embedded: torch.Tensor) -> torch.Tensor:
        """[R, B, E] -> [R, B, Z] at unit length."""
        return F.normalize(self.projection(embedded), dim=-1)

    def losses(
        self, features: torch.Tensor, labels: torch.Tensor, beside: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Contrastive loss and comparator's loss of features [R, B, D] with labels [R, B]: [R].

        ``beside`` [R, B, D], of the same labels, are constant rows to be contrasted with, too.
        """
        config, embedded = self._config, self.embedding(features)
        points, of = self.project(embedded), labels
        if beside is not None:
            with torch.no_grad():
                constant = self.project(self.embedding(beside))
            points, of = torch.cat([points, constant], 1), torch.cat([labels, labels], 1)
        return (
            contrastive(points, of, config.instance_temperature),
            self.comparator.loss(
                embedded, self._seen, self._places[labels], config.class_temperature
            ),
        )
