"""The last stage of latent-space methods: a classifier trained on samples of encoded rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gzsl_bench.hooks.run import Latents, Run, ScoreFunction, Scorer
from gzsl_bench.hooks.task import Task
from gzsl_bench.stacked.cada_vae import first_rows, samples
from gzsl_bench.stacked.loop import Progress
from gzsl_bench.stacked.runs import HasStreams
from gzsl_bench.stacked.softmax import Softmax

#: Rows encoded at once; it bounds the memory that hidden layers take.
CHUNK = 8192


def embed_in_chunks(
    encode: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, chunk: int = CHUNK
) -> torch.Tensor:
    """Apply ``encode`` [1, n, D] -> [1, n, K] to ``rows`` [N, D], a chunk at a time: [N, K]."""
    with torch.no_grad():
        parts = [encode(part.unsqueeze(0))[0] for part in torch.split(rows, chunk)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def latent_training_set(
    task: Task,
    runs: Sequence[HasStreams],
    encode_features: Callable[[int, torch.Tensor], torch.Tensor],
    encode_attributes: Callable[[int, torch.Tensor], torch.Tensor],
    *,
    seen_samples: int,
    unseen_samples: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy latents of seen classes' images and of unseen classes' embeddings.

    Drawn once and fixed while the classifier trains (CADA-VAE and ACMR, released code).  A row that
    is sampled many times (a tiled image, the one embedding of a class) is encoded once; the noise,
    one number per sample, comes from the streams ``latents/visual`` and ``latents/attributes``.

    Args:
        task: where images and embeddings come from.
        runs: whose streams to draw from; their number is R.
        encode_features: number of the run, [N, D] -> [N, 2 L] means and log-variances.
        encode_attributes: number of the run, [U, A] -> [U, 2 L] means and log-variances.
        seen_samples: samples of each seen class.
        unseen_samples: samples of each unseen class.

    Returns:
        [R, M, L] latents and [M] labels, seen classes first.
    """
    images, tiles = torch.unique(
        first_rows(task.labels, task.seen, seen_samples), return_inverse=True
    )
    repeats = torch.arange(task.unseen.numel(), device=task.device)
    repeats = repeats.repeat_interleave(unseen_samples)
    labels = torch.cat(
        [
            task.seen.repeat_interleave(seen_samples),
            task.unseen.repeat_interleave(unseen_samples),
        ]
    )
    features, embeddings = task.features[images], task.attributes[task.unseen]
    latents = []
    with torch.no_grad():
        for number, run in enumerate(runs):
            visual = encode_features(number, features)
            semantic = encode_attributes(number, embeddings)
            latents.append(
                torch.cat(
                    [
                        samples(visual, tiles, run.generator("latents/visual")),
                        samples(semantic, repeats, run.generator("latents/attributes")),
                    ]
                )
            )
    return torch.stack(latents), labels


def sampled_latents(
    task: Task,
    run: HasStreams,
    embed: ScoreFunction,
    encode_attributes: Callable[[torch.Tensor], torch.Tensor],
) -> Latents:
    """What a latent-space method offers to be drawn: the classifier's test inputs and samples.

    Samples of a class, seen or unseen, are made as those of unseen classes are made to train the
    classifier: its embedding is encoded once, the noise is one number per sample.  The noise comes
    from the stream ``visualize/attributes``, begun anew at every call, so nothing else changes.

    Args:
        task: where class embeddings come from.
        run: whose stream to draw from.
        embed: features [N, D] -> latents [N, L], as at test time.
        encode_attributes: [U, A] -> [U, 2 L] means and log-variances.
    """

    def semantic(classes: torch.Tensor) -> torch.Tensor:
        wanted, places = torch.unique(classes, return_inverse=True)
        with torch.no_grad():
            statistics = encode_attributes(task.attributes[wanted])
            return samples(statistics, places, run.generator("visualize/attributes"))

    return Latents(visual=embed, semantic=semantic)


def train_on_latents(
    runs: Sequence[Run],
    classifier: Softmax,
    embeds: Sequence[ScoreFunction],
    *,
    latents: Sequence[Latents] = (),
    epochs: int,
    first_checkpoint: int = 1,
    before: int = 0,
    progress: Progress | None = None,
    units: int = 1,
) -> None:
    """Train ``classifier`` and offer every run a checkpoint after each epoch.

    Checkpoints are numbered by completed epochs, from ``before + 1``.  A run whose
    classifier is no longer finite is given up.

    Args:
        runs: the stack; runs that failed before are skipped.
        classifier: not trained yet.
        embeds: for every run, features [N, D] -> latents [N, L]; shared by its checkpoints.
        latents: for every run, what its checkpoints offer to be drawn; empty offers nothing.
        epochs: number of epochs.
        first_checkpoint: earlier epochs are trained but not offered.
        before: numbers that belong to earlier trainings of the classifier.
        progress: told after each epoch.
        units: what an epoch is worth there.
    """
    for epoch in range(1, epochs + 1):
        classifier.train_epoch()
        losses = classifier.loss()
        finite = classifier.finite()
        for number, run in enumerate(runs):
            if run.failure:
                continue
            if not finite[number]:
                run.fail(f"the classifier is not finite after epoch {before + epoch}")
                continue
            run.log(before + epoch, classifier_loss=losses[number])
            if epoch >= first_checkpoint:
                offered = latents[number] if latents else None
                scorer = Scorer(embeds[number], classifier.scorer(number), offered)
                run.checkpoint(before + epoch, scorer)
        if progress is not None:
            progress.advance(units)
        if all(run.failure for run in runs):
            return
