"""SSE: zero-shot learning via semantic similarity embedding (Zhang and Saligrama)."""

from __future__ import annotations

import torch
from pydantic import Field

from gzsl_bench import Config, Method, MethodSpec, Run, Task
from gzsl_bench_classic.shared import class_statistics
from gzsl_bench_classic.simplex import mixtures

#: Entries of a [rows, S, D] block that are worked on at once; on a CPU it should stay in a cache.
_BLOCK = {"cpu": 1 << 19, "cuda": 1 << 27}


class SSEConfig(Config):
    """Hyper-parameters of SSE."""

    ridge: float = Field(
        0.01, gt=0, description="gamma, penalty on the mixture weights of a class embedding"
    )
    penalty: float = Field(
        1e-4, ge=0, description="weight of ||w||^2 / (2 D) beside the mean hinge"
    )
    margin: float = Field(1.0, gt=0, description="Delta, by which the true class should win")
    epochs: int = Field(20, ge=1, description="passes over the training rows")
    batch: int = Field(64, ge=1, description="rows in a step")
    weight_rate: float = Field(0.1, gt=0, description="Adam's learning rate of w")
    reference_rate: float = Field(0.01, gt=0, description="Adam's learning rate of v")
    checkpoint_every: int = Field(5, ge=1, description="epochs between checkpoints")


class SSE(Method):
    """Images and classes as mixtures of the S seen classes, compared by a learnt similarity.

    A class c is alpha_c, the point of the simplex that minimises
    ||a_c - sum_s alpha_s a_s||^2 / 2 + (gamma / 2) ||alpha||^2.  An image x [D] is the histogram
    h_s(x) = <w, psi_s(x)> with the intersection kernel psi_s(x) = min(x, v_s), element by element,
    and its score is sum_s alpha_cs h_s(x).  References v [S, D] start at the class means; v and w
    [D] minimise the multi-class hinge max(0, max_c Delta + score_c - score_y) over seen classes.

    Since min(x, v) = x - max(0, x - v) and alpha sums to 1, the paper's other kernel
    psi_s(x) = max(0, x - v_s) gives the same differences between scores with -w for w: one form
    serves both.

    No public implementation was read.  Filled in: Adam on small batches instead of alternating
    solvers, equal weights w to begin with, every value of a hyper-parameter.  The paper's term that
    ties histograms to alpha is left out.
    """

    Config = SSEConfig

    def fit(self, task: Task, run: Run) -> None:
        """Solve for alpha, then train w and v, offering a checkpoint every few epochs."""
        config, classes = self.config, task.shared(class_statistics)
        alpha = mixtures(task.attributes, task.attributes[task.seen], config.ridge).float()
        model = Histograms(classes.means, alpha[task.seen], config)
        steps = [
            Adam(model.weights, model.weight_slope, config.weight_rate),
            Adam(model.references, model.reference_slope, config.reference_rate),
        ]
        shuffle, rows = run.generator("shuffle"), len(task.labels)
        for epoch in range(1, config.epochs + 1):
            order = torch.randperm(rows, generator=shuffle).to(task.device)
            total = 0.0
            for picked in torch.split(order, config.batch):
                hinge = model.gradients(task.features[picked], classes.index[picked])
                for step in steps:
                    step()
                total += hinge
            run.log(epoch, hinge=total / rows)
            run.progress(epoch, config.epochs)
            if epoch % config.checkpoint_every == 0 or epoch == config.epochs:
                run.checkpoint(epoch, lambda x: model(x) @ alpha.T)


class Histograms:
    """h_s(x) = - sum_d w_d max(0, sqrt(D) x_d - v_sd) / D: min(x, v) less what no class differs in.

    Features of unit length are stretched so that their entries are about 1, whatever D is.

    Attributes:
        references: v, [S, D].
        weights: w, [D].
        reference_slope: gradient of v.
        weight_slope: gradient of w.
    """

    def __init__(self, means: torch.Tensor, mixtures: torch.Tensor, config: SSEConfig) -> None:
        """Start at class means [S, D]; ``mixtures`` [S, S] are alpha of the seen classes."""
        width = means.shape[1]
        self._stretch, self._mixtures = width**0.5, mixtures
        self._margin, self._penalty = config.margin, config.penalty
        self.references = (means * self._stretch).float().contiguous()
        self.weights = torch.full((width,), 10.0, device=means.device)
        self.reference_slope = torch.zeros_like(self.references)
        self.weight_slope = torch.zeros_like(self.weights)
        self._rows = max(1, _BLOCK[means.device.type] // means.numel())

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Histograms [N, S] of features [N, D]."""
        blocks = torch.split(features, self._rows)
        return torch.cat([self._histogram(self._excess(block)) for block in blocks])

    def gradients(self, features: torch.Tensor, index: torch.Tensor) -> float:
        """Set the gradients of a batch: its mean hinge plus penalty/2 mean(w^2).

        Args:
            features: [B, D].
            index: [B] which seen class each row belongs to.

        Returns:
            The sum of the hinges.
        """
        weights, references = self.weight_slope, self.reference_slope
        width, total = features.shape[1], features.new_zeros(())
        torch.mul(self.weights, self._penalty / width, out=weights)
        references.zero_()
        for block, true in zip(
            torch.split(features, self._rows), torch.split(index, self._rows), strict=True
        ):
            excess = self._excess(block)
            scores = self._histogram(excess) @ self._mixtures.T
            rivals = (scores + self._margin).scatter_(
                1, true[:, None], scores.gather(1, true[:, None])
            )
            worst, rival = rivals.max(1)
            hinge = worst - scores.gather(1, true[:, None])[:, 0]
            total += hinge.sum()
            # A row that wins by the margin has itself as rival, and no gradient.
            slope = (self._mixtures[rival] - self._mixtures[true]) / (len(index) * width)
            weights.sub_(slope.flatten() @ excess.view(-1, width))
            references.add_(excess.sign_().mul_(slope[:, :, None]).sum(0))
        references.mul_(self.weights)
        return float(total)

    def _excess(self, features: torch.Tensor) -> torch.Tensor:
        """max(0, x - v), [B, S, D]."""
        stretched = features * self._stretch
        return torch.sub(stretched[:, None], self.references).clamp_(min=0.0)

    def _histogram(self, excess: torch.Tensor) -> torch.Tensor:
        rows, count, width = excess.shape
        return -(excess.view(-1, width) @ self.weights).view(rows, count) / width


class Adam:
    """Adam for one tensor whose gradient is written by hand; equal to ``torch.optim.Adam``.

    That one imports torch's compiler, which takes longer than a training on a small task.
    """

    def __init__(self, values: torch.Tensor, slope: torch.Tensor, rate: float) -> None:
        self._values, self._slope, self._rate = values, slope, rate
        self._first, self._second = torch.zeros_like(values), torch.zeros_like(values)
        self._steps = 0

    def __call__(self) -> None:
        """One step along the gradient as it is now."""
        self._steps += 1
        self._first.lerp_(self._slope, 0.1)
        self._second.mul_(0.999).addcmul_(self._slope, self._slope, value=0.001)
        root = (self._second / (1 - 0.999**self._steps)).sqrt_().add_(1e-8)
        self._values.addcdiv_(self._first, root, value=-self._rate / (1 - 0.9**self._steps))


SPEC = MethodSpec(
    name="sse",
    factory=SSE,
    citation="Zhang and Saligrama, Zero-shot learning via semantic similarity embedding, ICCV 2015",
    version="1",
    fidelity="approximation",
    family="Embedding",
    preprocessing="l2",
    summary="Images and classes as mixtures of seen classes, compared by a learnt similarity.",
)
