"""The training: critic and generator in turn, and a classifier after epochs of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch

from gzsl_bench.hooks.method import BatchedMethod
from gzsl_bench.hooks.run import Run, ScoreFunction
from gzsl_bench.hooks.task import Task
from gzsl_bench.stacked.adam import Several, StackedAdam
from gzsl_bench.stacked.critic import Critic
from gzsl_bench.stacked.draws import Generators, normals, subsets
from gzsl_bench.stacked.gan.final import FinalSoftmax
from gzsl_bench.stacked.gan.networks import GANNetworks, Generator
from gzsl_bench.stacked.gan.terms import Terms, critic_terms, generator_terms
from gzsl_bench.stacked.layers import Activation, Linear
from gzsl_bench.stacked.loop import Phase, Progress, train_alternating
from gzsl_bench.stacked.runs import lanes, per_run

#: What a step of the GAN takes, in steps of the classifier; for progress bars only.
STEP_COST = 25
#: Bytes of random numbers drawn at once for each run.  How many steps that makes must not depend on
#: the number of runs: a stream that is read in other portions gives other numbers.
DRAWN = 24 << 20


class FeatureGAN(BatchedMethod):
    """Training of a conditional WGAN-GP on features, and of a classifier after GAN epochs.

    The configuration has ``noise`` (None: as wide as a class embedding), ``{generator,
    critic}_hidden``, ``init_std``, ``batch``, ``epochs``, ``critic_steps``, ``lr``, ``beta1``,
    ``beta2``, ``penalty``, ``samples``, ``classifier_{epochs,batch,lr}`` (batch None: ``samples``)
    and ``evaluate_every``.  An epoch has ceil(rows / batch) steps; each is ``critic_steps`` of the
    critic, every one on a random batch of its own, and one of the generator on the classes of the
    last of them with fresh noise.

    The classifier is trained from scratch after every ``evaluate_every``-th GAN epoch (0: after the
    last alone).  Its epoch k after GAN epoch e is checkpoint (e - 1) * classifier_epochs + k.

    Attributes:
        output: activation of generated features.
        generator_draws: how many noises [R, B, Z] a step of the generator takes.
        other_draws: how many numbers :meth:`draws` gives each run and step, if they are many.
    """

    output: ClassVar[Activation] = "relu"
    generator_draws: int = 1
    other_draws: int = 0

    @classmethod
    def axes(cls, config: Any) -> Mapping[str, int]:
        """GAN epochs, and within them epochs of the classifier."""
        return {"gan_epoch": config.epochs, "classifier_epoch": config.classifier_epochs}

    def embeddings(self, task: Task) -> torch.Tensor:
        """[C, A] class embeddings; as the data set has them."""
        return task.attributes

    def encoder(
        self, runs: Sequence[Run], features: int, attributes: int, noise: int, how: dict[str, Any]
    ) -> Any:
        """A network beside generator and critic, made ``how`` they are; none here."""
        return None

    def latent(
        self,
        networks: GANNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        """[R, B, Z] what the critic's generated features are made from; the noise itself."""
        return noise

    def critic_losses(
        self,
        networks: GANNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        noise: torch.Tensor,
        mix: torch.Tensor,
        penalty_factor: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Terms [R] of a critic's step, ``loss`` is minimised; see :func:`critic_terms`.

        Args:
            networks: those of the stack.
            features: [R, B, D] real features.
            attributes: [R, B, A] embeddings of their classes.
            labels: [R, B] ids of their classes.
            noise: [R, B, Z] standard normal numbers.
            mix: [R, B, 1] uniform numbers.
            penalty_factor: [R].
        """
        generator, critic = networks.generator, networks.critic
        with torch.no_grad():
            latent = self.latent(networks, features, attributes, noise)
        return critic_terms(critic, generator, features, attributes, latent, mix, penalty_factor)

    def generator_losses(
        self,
        networks: GANNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        noises: torch.Tensor,
        more: Terms,
    ) -> dict[str, torch.Tensor]:
        """Terms [R] of a generator's step, ``loss`` is minimised; see :func:`generator_terms`.

        Args:
            networks: those of the stack.
            features: [R, B, D] real features of the critic's last batch.
            attributes: [R, B, A] embeddings of their classes.
            labels: [R, B] ids of their classes.
            noises: [R, generator_draws, B, Z] standard normal numbers.
            more: what :meth:`more_terms` gave.
        """
        generator, critic = networks.generator, networks.critic
        return generator_terms(critic, generator, attributes, labels, noises[:, 0], more)

    def optimizer(self, runs: Sequence[Run], networks: GANNetworks) -> StackedAdam | Several:
        """Of the generator's step."""
        return self.adam(runs, networks.generator.layers, self.config.beta1)

    def adam(self, runs: Sequence[Run], layers: Sequence[Linear], beta1: float) -> StackedAdam:
        """Adam at the configured rate."""
        return StackedAdam([(layers, per_run(runs, "lr"))], betas=(beta1, self.config.beta2))

    def more_terms(self, task: Task, runs: Sequence[Run]) -> Terms:
        """What a method adds to the generator's loss; here it may train what it needs for that."""
        return lambda generated, attributes, labels: {}

    def step_terms(self, networks: GANNetworks, more: Terms, *drawn: torch.Tensor) -> Terms:
        """What one step adds to the generator's loss, given what :meth:`draws` adds; ``more``."""
        return more

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; epochs of classifiers become checkpoints."""
        for stack in lanes(runs, task.device):
            self._fit_stack(task, stack)

    def networks(self, task: Task, runs: Sequence[Run]) -> GANNetworks:
        """What is trained for a stack, with its initial weights."""
        config: Any = self.config
        width, embeddings = task.features.shape[1], self.embeddings(task)
        attributes = embeddings.shape[1]
        noise = config.noise or attributes
        how: dict[str, Any] = {
            "std": config.init_std, "device": task.device, "dtype": task.features.dtype
        }  # fmt: skip
        generator = Generator(
            runs, "generator", noise, attributes, config.generator_hidden,
            width, output=self.output, **how,
        )  # fmt: skip
        critic = Critic(runs, "critic", width, attributes, config.critic_hidden, **how)
        encoder = self.encoder(runs, width, attributes, noise, how)
        return GANNetworks(generator, critic, embeddings, encoder)

    def synthesiser(self, networks: GANNetworks) -> Generator:
        """What makes the classifier's features of unseen classes; the generator here."""
        return networks.generator

    def representation(self, networks: GANNetworks, run: int) -> ScoreFunction | None:
        """What the classifier sees of features in one run: [N, D] -> [N, L]; None: themselves.

        It is asked for again after every GAN epoch that is evaluated.
        """
        return None

    def evaluation(
        self, task: Task, runs: list[Run], networks: GANNetworks
    ) -> tuple[Callable[[int, Progress], None], int]:
        """What makes checkpoints after a GAN epoch, and what that is worth for progress bars.

        Here a softmax on real features of seen classes beside generated ones of unseen classes.

        Returns:
            A function of the number (from 1) of the epoch that is done; a number of units of which
            a step of the GAN takes ``STEP_COST``, by which the function is to advance.
        """
        final = FinalSoftmax(
            task,
            runs,
            networks,
            self.config,
            lambda: self.synthesiser(networks),
            lambda run: self.representation(networks, run),
        )
        return final, final.units

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: Any = self.config
        networks = self.networks(task, runs)
        steps = math.ceil(task.labels.numel() / config.batch)
        every = config.evaluate_every or config.epochs
        evaluated = [e for e in range(1, config.epochs + 1) if e % every == 0 or e == config.epochs]
        evaluate, units = self.evaluation(task, runs, networks)
        passes = self.passes(task, runs, networks)
        cost = len(passes) * steps * STEP_COST
        progress = Progress(runs, config.epochs * cost + len(evaluated) * units)

        def after_epoch(epoch: int) -> None:
            self.epoch_done(networks, epoch)
            progress.advance(cost)
            if epoch in evaluated and not all(run.failure for run in runs):
                evaluate(epoch, progress)

        self._train_gan(task, runs, networks, passes, steps, after_epoch)

    def draws(
        self, task: Task, runs: Sequence[Run], networks: GANNetworks
    ) -> Callable[[int], list[torch.Tensor]]:
        """Steps -> blocks [steps, R, ...] that :meth:`phases` get beside the usual; none here."""
        return lambda steps: []

    def weights(self, task: Task, runs: Sequence[Run]) -> Callable[[int], list[torch.Tensor]]:
        """Epoch (from 0) -> the factors [R] that :meth:`phases` get, the penalty's first."""
        penalty = task.features.new_tensor(per_run(runs, "penalty"))
        return lambda epoch: [penalty]

    def critic_phase(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> Phase:
        """The critic's part of a step."""
        config: Any = self.config
        critic, embeddings = networks.critic, networks.embeddings

        def of_critic(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            picked, noise, mix = (block[:, turn] for block in drawn[:3])
            labels = task.labels[picked]
            return self.critic_losses(
                networks, task.features[picked], embeddings[labels], labels, noise, mix, factors[0]
            )

        optimizer = self.adam(runs, critic.layers, config.beta1)
        return Phase(optimizer, of_critic, "critic/", config.critic_steps)

    def phases(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> list[Phase]:
        """The parts of a step: some of the critic, one of the generator.

        What they are called with: the factors that :meth:`weights` gives; batches
        [R, turns, B], noises [R, turns + generator_draws, B, Z] and mixes [R, turns, B, 1], of
        which each turn of the critic uses its own; what :meth:`draws` adds.
        """
        embeddings, turns = networks.embeddings, self.config.critic_steps
        more = self.more_terms(task, runs)

        def of_generator(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            picked = drawn[0][:, -1]
            labels = task.labels[picked]
            return self.generator_losses(
                networks, task.features[picked], embeddings[labels], labels,
                drawn[1][:, turns:], self.step_terms(networks, more, *drawn[3:]),
            )  # fmt: skip

        return [
            self.critic_phase(task, runs, networks),
            Phase(self.optimizer(runs, networks), of_generator, "generator/"),
        ]

    def epoch_done(self, networks: GANNetworks, epoch: int) -> None:
        """Called after every epoch, with its number from 1, before it is evaluated."""

    def passes(
        self, task: Task, runs: Sequence[Run], networks: GANNetworks
    ) -> list[Sequence[Phase]]:
        """What an epoch does one after the other, ceil(rows / batch) steps each; one pass here."""
        return [self.phases(task, runs, networks)]

    def _train_gan(
        self,
        task: Task,
        runs: list[Run],
        networks: GANNetworks,
        passes: Sequence[Sequence[Phase]],
        steps: int,
        after_epoch: Callable[[int], None],
    ) -> None:
        config: Any = self.config
        device, dtype = task.device, task.features.dtype
        turns, width = config.critic_steps, networks.generator.noise
        noises_a_step = turns + self.generator_draws
        rows = task.labels.numel()
        batch = min(config.batch, rows)
        batches, noises, mixes = (
            Generators(runs, purpose) for purpose in ("batches", "noise", "interpolation")
        )
        others = self.draws(task, runs, networks)

        def draw(count: int) -> list[torch.Tensor]:
            picked = subsets(batches, rows, batch, count * turns, device)
            return [
                picked.view(count, turns, len(runs), batch).transpose(1, 2),
                normals(noises, (noises_a_step, batch, width), count, device).to(dtype),
                mixes.block(
                    lambda stream: torch.rand(count, turns, batch, 1, generator=stream), device
                ).to(dtype),
                *others(count),
            ]

        train_alternating(
            runs,
            passes[0],
            then=passes[1:],
            epochs=config.epochs,
            steps=steps,
            weights=self.weights(task, runs),
            draw=draw,
            after_epoch=after_epoch,
            at_once=max(1, DRAWN // (4 * (noises_a_step * batch * width + self.other_draws))),
        )


def unseen_classes(
    task: Task, runs: Sequence[Run], batch: int
) -> Callable[[int], list[torch.Tensor]]:
    """Steps -> a block [steps, R, batch] of unseen classes, uniform (stream ``unseen``)."""
    sources, count, device = Generators(runs, "unseen"), task.unseen.numel(), task.device

    def draw(steps: int) -> list[torch.Tensor]:
        places = sources.block(
            lambda stream: torch.randint(count, (steps, batch), generator=stream), device
        )
        return [task.unseen[places]]

    return draw
