"""From class scores to predictions, on the device, one small transfer per checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.metric import FloatArray, IntArray, Predictions
from gzsl_bench.hooks.run import Latents, ScoreFunction, Scorer
from gzsl_bench.hooks.streams import generator

if TYPE_CHECKING:
    import torch

    from gzsl_bench.hooks.images import Images

#: Part of every key: raise it when the same scorer gives other predictions: the order in which it
#: is shown the rows, what becomes of equal scores, how scores are kept.
NUMERICS = 1


def shown_order(seed: int, rows: int) -> torch.Tensor:
    """The order [rows] in which the scorers of a run are shown the test rows."""
    import torch

    return torch.randperm(rows, generator=generator(seed, "test order"))


class TestSet:
    """Test rows of both parts, mixed and shuffled, and the way back to the file's order.

    A scorer sees the rows of seen and unseen classes in one call and in shuffled order, so it
    cannot tell them apart.  Results are returned in the order given: test_seen, then test_unseen.

    Args:
        features: [N, D] float32 rows on the device, in the order of ``labels``; for a method that
            needs more than features, images.
        labels: [N] true class ids.
        seen: [S] ids of seen classes.
        unseen: [U] ids of unseen classes.
        order: [N] a permutation: the order in which a scorer gets the rows.
    """

    __test__ = False  # pytest: this is no test class

    def __init__(
        self,
        features: torch.Tensor | Images,
        labels: IntArray,
        seen: IntArray,
        unseen: IntArray,
        order: torch.Tensor,
    ) -> None:
        import torch

        device = features.device
        self.labels = labels
        self.seen = seen
        self.unseen = unseen
        self.order = order.numpy()
        self._features = features[order.to(device)]
        self._back = torch.argsort(order).to(device)
        self._seen = torch.as_tensor(seen, device=device)
        self._unseen = torch.as_tensor(unseen, device=device)
        self._num_classes = int(seen.size + unseen.size)

    @property
    def shown(self) -> torch.Tensor | Images:
        """[N, D] the rows that scorers are shown, in the order of ``order``."""
        return self._features

    def predict(self, scorer: ScoreFunction, embeddings: EmbeddingCache) -> Predictions:
        """Score all rows and keep the best class overall, among seen and among unseen ones.

        Raises:
            PluginError: scores of the wrong shape or kind, or scores that are not finite.
        """
        import torch

        with torch.no_grad():
            rows = self._features
            before = rows._version
            if isinstance(scorer, Scorer):
                rows = embeddings.get(scorer.embed, self._features)
                inner = getattr(rows, "_version", 0)
                scores = scorer.score(rows)
                changed = getattr(rows, "_version", 0) != inner
            else:
                scores, changed = scorer(rows), False
            if changed or self._features._version != before:
                # The next checkpoint would be scored on something else.
                raise PluginError("the scorer changed the features it was shown; copy them first")
            self._check(scores)
            scores = scores[self._back]
            seen_scores, unseen_scores = scores[:, self._seen], scores[:, self._unseen]
            # argmax promises the first of equal values; max(dim) promises nothing.
            best = scores.argmax(1)
            among_seen = seen_scores.argmax(1)
            among_unseen = unseen_scores.argmax(1)
            return Predictions(
                labels=self.labels,
                seen=self.seen,
                unseen=self.unseen,
                predicted=best.cpu().numpy(),
                predicted_seen=self._seen[among_seen].cpu().numpy(),
                predicted_unseen=self._unseen[among_unseen].cpu().numpy(),
                best_seen=_gather(seen_scores, among_seen),
                best_unseen=_gather(unseen_scores, among_unseen),
            )

    def latents(self, offered: Latents) -> tuple[FloatArray, FloatArray, IntArray]:
        """What a method offers to be drawn of its latent space, checked.

        The rows are shown in the order in which they are scored, the classes in ascending order: as
        many samples of each as it has test images.  Neither tells which image is of which class.

        Returns:
            [N, K] latents of the images in the order given, [N, K] samples, [N] their classes.

        Raises:
            PluginError: latents of the wrong shape or kind, not finite, or changed arguments.
        """
        import torch

        classes = np.sort(self.labels)
        wanted = torch.as_tensor(classes, dtype=torch.int64, device=self._features.device)
        found = []
        for name, call, shown in (
            ("visual", offered.visual, self._features),
            ("semantic", offered.semantic, wanted),
        ):
            before = shown._version
            with torch.no_grad():
                given = call(shown)
            if shown._version != before:
                raise PluginError(f"the {name} latents changed what they were shown; copy it first")
            _check_latents(name, given, len(shown))
            found.append(given.detach().clone())
        visual, semantic = found
        if visual.shape[1] != semantic.shape[1]:
            raise PluginError(
                f"the visual latents have {visual.shape[1]} dimensions and the semantic ones"
                f" {semantic.shape[1]}; they must share one space"
            )
        back = self._back.to(visual.device)
        return visual[back].cpu().numpy(), semantic.cpu().numpy(), classes

    def _check(self, scores: object) -> None:
        import torch

        expected = (int(self._features.shape[0]), self._num_classes)
        if not isinstance(scores, torch.Tensor):
            raise PluginError(f"the scorer gave {type(scores).__name__} where a tensor is expected")
        if tuple(scores.shape) != expected:
            raise PluginError(
                f"the scorer gave scores of shape {tuple(scores.shape)} where {expected}"
                " (test rows, classes) is expected"
            )
        if not scores.is_floating_point():
            raise PluginError(f"the scorer gave {scores.dtype} scores where floats are expected")
        if not bool(torch.isfinite(scores).all()):
            raise PluginError("the scorer gave scores that are NaN or infinite")


def _check_latents(name: str, given: object, rows: int) -> None:
    import torch

    if not isinstance(given, torch.Tensor):
        raise PluginError(f"the {name} latents are {type(given).__name__}; a tensor is expected")
    if given.ndim != 2 or given.shape[0] != rows or given.shape[1] < 1:
        raise PluginError(
            f"the {name} latents have the shape {tuple(given.shape)} where ({rows}, K) is expected"
        )
    if given.dtype not in (torch.float32, torch.float64):
        raise PluginError(f"the {name} latents are {given.dtype}; float32 or float64 is expected")
    if not bool(torch.isfinite(given).all()):
        raise PluginError(f"the {name} latents hold values that are NaN or infinite")


class EmbeddingCache:
    """The test features as the last encoder sees them: checkpoints that share it embed once."""

    def __init__(self) -> None:
        self._embed: ScoreFunction | None = None
        self._embedded: torch.Tensor | None = None

    def get(self, embed: ScoreFunction, features: torch.Tensor | Images) -> torch.Tensor:
        """``embed(features)``, remembered for as long as the same callable asks."""
        if self._embed is not embed or self._embedded is None:
            self._embedded = embed(features)
            self._embed = embed
        return self._embedded


def _gather(scores: torch.Tensor, index: torch.Tensor) -> np.ndarray:
    """Scores of the chosen columns, in full precision: ties must stay ties."""
    picked = scores.gather(1, index[:, None])[:, 0]
    return np.asarray(picked.double().cpu().numpy())
