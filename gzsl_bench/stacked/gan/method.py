"""The training: critic and generator in turn, and a classifier after epochs of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from gzsl_bench.hooks.dataset import DatasetInfo
from gzsl_bench.hooks.method import BatchedMethod
from gzsl_bench.hooks.run import Run, ScoreFunction
from gzsl_bench.hooks.task import Task
from gzsl_bench.stacked.adam import Optimizer, StackedAdam
from gzsl_bench.stacked.draws import Generators, integers, normals, subsets_in_turn, uniforms
from gzsl_bench.stacked.gan.batch import Batch
from gzsl_bench.stacked.gan.final import FinalSoftmax
from gzsl_bench.stacked.gan.networks import GANNetworks, Generator, Maker
from gzsl_bench.stacked.gan.terms import Terms, critic_terms, generator_terms
from gzsl_bench.stacked.layers import Activation, Parameters
from gzsl_bench.stacked.loop import Loss, Phase, Progress, train_alternating
from gzsl_bench.stacked.runs import lanes

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
        recipes: values of data sets by name, where they differ from the defaults.
        output: activation of generated features.
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    output: ClassVar[Activation] = "relu"

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """What :attr:`recipes` say of ``dataset``."""
        return cls.recipes.get(dataset.name, {})

    @classmethod
    def axes(cls, config: Any) -> Mapping[str, int]:
        """GAN epochs, and within them epochs of the classifier."""
        return {"gan_epoch": config.epochs, "classifier_epoch": config.classifier_epochs}

    # Networks ------------------------------------------------------------------------------------

    def embeddings(self, task: Task) -> torch.Tensor:
        """[C, A] class embeddings; as the data set has them."""
        return task.attributes

    def parts(self, make: Maker) -> Any:
        """What is trained, or needed, beside generator and critic; nothing here."""
        return None

    def networks(self, task: Task, runs: Sequence[Run]) -> GANNetworks:
        """What is trained for a stack, with its initial weights."""
        make = Maker(task, runs, self.config, self.embeddings(task))
        generator = make.generator(make.attributes, self.output)
        hidden = make.config.critic_hidden
        critic = make.critic("critic", make.features, make.attributes, hidden)
        return GANNetworks(make, generator, critic, self.parts(make))

    def adam(
        self, networks: GANNetworks, layers: Sequence[Parameters], **settings: Any
    ) -> StackedAdam:
        """Adam at the configured rate; see :meth:`.Maker.adam`."""
        return networks.make.adam(layers, **settings)

    def optimizer(self, networks: GANNetworks) -> Optimizer:
        """Of the generator's step."""
        return self.adam(networks, networks.generator.layers)

    # A step --------------------------------------------------------------------------------------

    def generator_draws(self, networks: GANNetworks) -> int:
        """How many noises [R, B, Z] a step takes after the critic's turns."""
        return 1

    def other_draws(self, networks: GANNetworks) -> int:
        """How many numbers :meth:`draws` gives each run and step, if they are many."""
        return 0

    def draws(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """Steps -> blocks [steps, R, ...] that become a batch's ``own``; none here."""
        return lambda steps: []

    def weights(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """Epoch (from 0) -> the factors [R] of its batches, the penalty's first."""
        penalty = networks.make.values("penalty")
        return lambda epoch: penalty

    def batch(
        self,
        networks: GANNetworks,
        turn: int,
        factors: Sequence[torch.Tensor],
        drawn: Sequence[torch.Tensor],
    ) -> Batch:
        """What the critic's ``turn`` sees, or what comes after all turns (``critic_steps``)."""
        picked, noises, mixes, *own = drawn
        last = min(turn, self.config.critic_steps - 1)
        return Batch(
            networks.task, networks.embeddings, picked[:, last], noises[:, turn:], mixes[:, last],
            turn, factors, own,
        )  # fmt: skip

    def in_turn(
        self, networks: GANNetworks, losses: Callable[[Batch], Mapping[str, torch.Tensor]]
    ) -> Loss:
        """``losses`` of a turn's batch, for a phase that is repeated as the critic's is."""
        return lambda factors, turn, *drawn: losses(self.batch(networks, turn, factors, drawn))

    def after_turns(
        self, networks: GANNetworks, losses: Callable[[Batch], Mapping[str, torch.Tensor]]
    ) -> Loss:
        """``losses`` of the batch after the critic's turns: the last one's rows, other noise."""
        turns = self.config.critic_steps
        return lambda factors, _, *drawn: losses(self.batch(networks, turns, factors, drawn))

    def latent(self, networks: GANNetworks, batch: Batch) -> torch.Tensor:
        """[R, B, Z] what the critic's generated features are made from; the noise itself."""
        return batch.noise

    def critic_losses(self, networks: GANNetworks, batch: Batch) -> dict[str, torch.Tensor]:
        """Terms [R] of a critic's turn, ``loss`` is minimised; see :func:`.critic_terms`."""
        with torch.no_grad():
            latent = self.latent(networks, batch)
        return critic_terms(
            networks.critic, networks.generator, batch.features, batch.attributes, latent,
            batch.mix, batch.factors[0],
        )  # fmt: skip

    def generator_losses(
        self, networks: GANNetworks, batch: Batch, more: Terms
    ) -> dict[str, torch.Tensor]:
        """Terms [R] of a generator's step, ``loss`` is minimised; see :func:`.generator_terms`.

        Args:
            networks: those of the stack.
            batch: what comes after the critic's turns.
            more: what :meth:`more_terms` gave.
        """
        return generator_terms(networks.critic, networks.generator, batch, more)

    def more_terms(self, networks: GANNetworks) -> Terms:
        """What a method adds to the generator's loss; here it may train what it needs for that."""
        return lambda generated, batch: {}

    def critic_phase(self, networks: GANNetworks) -> Phase:
        """The critic's part of a step."""
        loss = self.in_turn(networks, lambda batch: self.critic_losses(networks, batch))
        optimizer = self.adam(networks, networks.critic.layers)
        return Phase(optimizer, loss, "critic/", self.config.critic_steps)

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """The parts of a step: some of the critic, one of the generator."""
        more = self.more_terms(networks)
        loss = self.after_turns(
            networks, lambda batch: self.generator_losses(networks, batch, more)
        )
        generator = Phase(self.optimizer(networks), loss, "generator/")
        return [self.critic_phase(networks), generator]

    def passes(self, networks: GANNetworks) -> list[Sequence[Phase]]:
        """What an epoch does one after the other, ceil(rows / batch) steps each; one pass here."""
        return [self.phases(networks)]

    def epoch_done(self, networks: GANNetworks, epoch: int) -> None:
        """Called after every epoch, with its number from 1, before it is evaluated."""

    # The classifier ------------------------------------------------------------------------------

    def synthesiser(self, networks: GANNetworks) -> Generator:
        """What makes the classifier's features of unseen classes; the generator here."""
        return networks.generator

    def representation(self, networks: GANNetworks, run: int) -> ScoreFunction | None:
        """What the classifier sees of features in one run: [N, D] -> [N, L]; None: themselves.

        It is asked for again after every GAN epoch that is evaluated.
        """
        return None

    def evaluation(self, networks: GANNetworks) -> tuple[Callable[[int, Progress], None], int]:
        """What makes checkpoints after a GAN epoch, and what that is worth for progress bars.

        Here a softmax on real features of seen classes beside generated ones of unseen classes.

        Returns:
            A function of the number (from 1) of the epoch that is done; a number of units of which
            a step of the GAN takes ``STEP_COST``, by which the function is to advance.
        """
        final = FinalSoftmax(
            networks,
            lambda: self.synthesiser(networks),
            lambda run: self.representation(networks, run),
        )
        return final, final.units

    # The training --------------------------------------------------------------------------------

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; epochs of classifiers become checkpoints."""
        for stack in lanes(runs, task.device):
            self._fit_stack(self.networks(task, stack))

    def _fit_stack(self, networks: GANNetworks) -> None:
        config, make, runs = self.config, networks.make, networks.runs
        steps = math.ceil(networks.task.labels.numel() / config.batch)
        every = config.evaluate_every or config.epochs
        evaluated = [e for e in range(1, config.epochs + 1) if e % every == 0 or e == config.epochs]
        evaluate, units = self.evaluation(networks)
        passes = self.passes(networks)
        cost = len(passes) * steps * STEP_COST
        progress = Progress(runs, config.epochs * cost + len(evaluated) * units)

        def after_epoch(epoch: int) -> None:
            self.epoch_done(networks, epoch)
            progress.advance(cost)
            if epoch in evaluated and not all(run.failure for run in runs):
                evaluate(epoch, progress)

        noises = config.critic_steps + self.generator_draws(networks)
        numbers = noises * make.batch * networks.generator.noise + self.other_draws(networks)
        train_alternating(
            runs,
            passes[0],
            then=passes[1:],
            epochs=config.epochs,
            steps=steps,
            weights=self.weights(networks),
            draw=self._draw(networks, noises),
            after_epoch=after_epoch,
            at_once=max(1, DRAWN // (4 * numbers)),
        )

    def _draw(self, networks: GANNetworks, noises: int) -> Callable[[int], list[torch.Tensor]]:
        """Steps -> [steps, R, ...]: of every turn rows and mixes, ``noises`` noises, the own."""
        task, batch, turns = networks.task, networks.make.batch, self.config.critic_steps
        rows, device, width = task.labels.numel(), task.device, networks.generator.noise
        of_rows, of_noise, of_mixes = (
            Generators(networks.runs, purpose) for purpose in ("batches", "noise", "interpolation")
        )
        own = self.draws(networks)

        def draw(steps: int) -> list[torch.Tensor]:
            drawn = [
                subsets_in_turn(of_rows, rows, batch, turns, steps, device),
                normals(of_noise, (noises, batch, width), steps, device),
                uniforms(of_mixes, (turns, batch, 1), steps, device),
                *own(steps),
            ]
            return [x.to(task.features.dtype) if x.is_floating_point() else x for x in drawn]

        return draw


def unseen_classes(networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
    """Steps -> a block [steps, R, B] of unseen classes, uniform (stream ``unseen``)."""
    task, batch = networks.task, networks.make.batch
    source = Generators(networks.runs, "unseen")
    return lambda steps: [
        task.unseen[integers(source, task.unseen.numel(), (batch,), steps, task.device)]
    ]
