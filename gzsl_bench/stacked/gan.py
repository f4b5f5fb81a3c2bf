"""Feature-generating Wasserstein GANs: what f-CLSWGAN and its successors share (gan/COMMON 1).

A generator makes features of a class from its embedding and noise, against a critic with a gradient
penalty; a softmax classifier is then trained on the real features of seen classes beside generated
ones of unseen classes.  A method says what it adds to the generator's loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch

from gzsl_bench.hooks.method import BatchedMethod
from gzsl_bench.hooks.run import Latents, Run, ScoreFunction
from gzsl_bench.hooks.task import Task
from gzsl_bench.stacked.adam import Several, StackedAdam
from gzsl_bench.stacked.critic import Critic
from gzsl_bench.stacked.draws import Generators, normals, subsets
from gzsl_bench.stacked.latents import train_on_latents
from gzsl_bench.stacked.layers import Activation, Linear, frozen, linear
from gzsl_bench.stacked.loop import Phase, Progress, train_alternating
from gzsl_bench.stacked.restarted import RestartedClassifier
from gzsl_bench.stacked.runs import HasStreams, lanes, per_run

#: What a step of the GAN takes, in steps of the classifier; for progress bars only.
STEP_COST = 25
#: Rows generated at once; it bounds the memory that noise and hidden layers take.
CHUNK = 2048
#: Bytes of random numbers drawn at once for each run.  How many steps that makes must not depend on
#: the number of runs: a stream that is read in other portions gives other numbers.
DRAWN = 24 << 20


class Terms(Protocol):
    """What a method adds to the generator's loss."""

    def __call__(
        self, generated: torch.Tensor, attributes: torch.Tensor, labels: torch.Tensor
    ) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
        """By name a weight [R] and what it weighs [R].

        Args:
            generated: [R, B, D] features.
            attributes: [R, B, A] embeddings of their classes.
            labels: [R, B] ids of their classes.
        """


class Generator:
    """Noise beside class embeddings -> Linear -> leaky ReLU -> Linear -> features."""

    def __init__(
        self,
        runs: Sequence[HasStreams],
        name: str,
        noise: int,
        attributes: int,
        hidden: int,
        features: int,
        *,
        output: Activation = "relu",
        std: float = 0.02,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Normal weights and zero biases.

        Args:
            runs: the stack.
            name: prefix of the layers' streams.
            noise: Z, width of the noise.
            attributes: A, width of the class embeddings.
            hidden: hidden units.
            features: D, width of what is generated.
            output: activation of the features.
            std: standard deviation of the initial weights.
            device: where the parameters live.
            dtype: their type.
        """
        how: dict[str, Any] = {"std": std, "device": device, "dtype": dtype}
        self.noise = noise
        self.hidden = Linear(
            runs, f"{name}/hidden", noise + attributes, hidden, activation="leaky_relu", **how
        )
        self.output = Linear(runs, f"{name}/output", hidden, features, activation=output, **how)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.hidden, self.output]

    def of(self, run: int) -> Generator:
        """The generator of one run, for inference."""
        one = object.__new__(Generator)
        one.noise = self.noise
        one.hidden, one.output = self.hidden.of(run), self.output.of(run)
        return one

    def __call__(self, noise: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """Noise [R, B, Z] and embeddings [R, B, A] -> features [R, B, D]."""
        return self.output(self.hidden(torch.cat([noise, attributes], -1)))

    @torch.no_grad()
    def features(
        self, attributes: torch.Tensor, stream: torch.Generator, into: torch.Tensor
    ) -> torch.Tensor:
        """Fill ``into`` [M, D] with features of ``attributes`` [M, A]; of one run alone."""
        for rows, part in zip(
            torch.split(attributes, CHUNK), torch.split(into, CHUNK), strict=True
        ):
            noise = torch.randn(len(rows), self.noise, generator=stream).to(rows)
            part.copy_(self(noise[None], rows[None])[0])
        return into


def critic_terms(
    critic: Critic,
    generator: Generator,
    features: torch.Tensor,
    attributes: torch.Tensor,
    noise: torch.Tensor,
    mix: torch.Tensor,
    penalty_factor: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Terms [R] of a critic's step: E[D(x~)] - E[D(x)] + factor (|grad D| - 1)^2 is minimised.

    Args:
        critic: the critic.
        generator: the generator; constant here.
        features: [R, B, D] real features.
        attributes: [R, B, A] embeddings of their classes.
        noise: [R, B, Z] standard normal numbers.
        mix: [R, B, 1] uniform numbers: share of the real feature where the penalty is taken.
        penalty_factor: [R].
    """
    with torch.no_grad():
        generated = generator(noise, attributes)
    real, fake, penalty = critic.losses(features, generated, attributes, mix)
    return {
        "wasserstein": real - fake,
        "penalty": penalty,
        "loss": fake - real + penalty_factor * penalty,
    }


def generator_terms(
    critic: Critic,
    generator: Generator,
    attributes: torch.Tensor,
    labels: torch.Tensor,
    noise: torch.Tensor,
    more: Terms,
) -> dict[str, torch.Tensor]:
    """Terms [R] of a generator's step: -E[D(x~)] and what ``more`` weighs is minimised.

    Args:
        critic: the critic; constant here.
        generator: the generator.
        attributes: [R, B, A] class embeddings.
        labels: [R, B] ids of their classes.
        noise: [R, B, Z] standard normal numbers.
        more: the method's own terms.
    """
    generated = generator(noise, attributes)
    with frozen(*critic.layers):
        loss = -critic(generated, attributes).mean(1)
    terms = {"adversarial": loss}
    for name, (weight, value) in more(generated, attributes, labels).items():
        terms[name], loss = value, loss + weight * value
    return terms | {"loss": loss}


@dataclass(frozen=True, eq=False)
class GANNetworks:
    """What is trained for a stack.

    Attributes:
        generator: makes features.
        critic: tells them from real ones.
        embeddings: [C, A] class embeddings as both see them.
        encoder: what a method adds; None for a plain GAN.
    """

    generator: Generator
    critic: Critic
    embeddings: torch.Tensor
    encoder: Any = None


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
        config: Any = self.config
        made = task.unseen.repeat_interleave(config.samples)
        features, labels = task.features, task.labels
        width, own, represent = features.shape[1], made, self.representation(networks, 0)
        if represent is not None:
            # Every run has features of its own, of real rows, too.
            features, labels = represent(features[:1])[:0], labels[:0]
            own = torch.cat([task.labels, made])
        classifier = RestartedClassifier(
            runs,
            features,
            labels,
            task.num_classes,
            own_labels=own,
            rates=per_run(runs, "classifier_lr"),
            betas=(config.beta1, config.beta2),
            batch=config.classifier_batch or config.samples,
            std=config.init_std,
        )

        def evaluate(epoch: int, progress: Progress) -> None:
            ones = [self.synthesiser(networks).of(number) for number in range(len(runs))]
            represents = [self.representation(networks, number) for number in range(len(runs))]
            for run, one, represent, own in zip(
                runs, ones, represents, classifier.own, strict=True
            ):
                stream = run.generator(f"synthetic/{epoch}")
                classes = networks.embeddings[made]
                if represent is None:
                    one.features(classes, stream, own)
                    continue
                generated = one.features(classes, stream, task.features.new_empty(len(made), width))
                for rows, into in zip(
                    (task.features, generated), own.tensor_split([len(task.features)]), strict=True
                ):
                    for some, part in zip(
                        torch.split(rows, CHUNK), torch.split(into, CHUNK), strict=True
                    ):
                        part.copy_(represent(some))
            classifier.restart(f"classifier/{epoch}")
            embeds = [represent or as_they_are for represent in represents]
            train_on_latents(
                runs,
                classifier,
                embeds,
                latents=generated_latents(networks, runs, ones, embeds),
                epochs=config.classifier_epochs,
                before=(epoch - 1) * config.classifier_epochs,
                progress=progress,
                units=classifier.steps,
            )

        return evaluate, classifier.steps * config.classifier_epochs

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


def as_they_are(features: torch.Tensor) -> torch.Tensor:
    """The features themselves."""
    return features


def generated_latents(
    networks: GANNetworks,
    runs: Sequence[Run],
    generators: Sequence[Generator] = (),
    embeds: Sequence[ScoreFunction] = (),
) -> list[Latents]:
    """For every run: what its classifier sees of real features, and of generated ones.

    Args:
        networks: those of the stack.
        runs: the stack.
        generators: of each run; none: the stack's.
        embeds: features [N, D] -> [N, L] of each run; none: as they are.
    """

    def of(run: Run, generator: Generator, embed: ScoreFunction) -> Latents:
        def semantic(classes: torch.Tensor) -> torch.Tensor:
            into = networks.embeddings.new_empty(len(classes), generator.output.outputs)
            stream = run.generator("visualize/features")
            return embed(generator.features(networks.embeddings[classes], stream, into))

        return Latents(visual=embed, semantic=semantic)

    generators = generators or [networks.generator.of(number) for number in range(len(runs))]
    embeds = embeds or [as_they_are] * len(runs)
    return [of(*each) for each in zip(runs, generators, embeds, strict=True)]


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


def class_means(
    features: torch.Tensor, labels: torch.Tensor, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of a batch's features by class.

    Args:
        features: [R, B, D].
        labels: [R, B] their classes.
        classes: [K] those wanted.

    Returns:
        [R, K, D] means, zero where the batch has none of a class; [R, K] whether it has.
    """
    member = (labels.unsqueeze(1) == classes[:, None]).to(features)
    counts = member.sum(2, keepdim=True)
    return member @ features / counts.clamp(min=1), counts[:, :, 0] > 0


def trained_softmax(
    task: Task,
    runs: Sequence[Run],
    labels: torch.Tensor,
    classes: int,
    *,
    epochs: int,
    batch: int,
    rates: Sequence[float],
    betas: tuple[float, float],
    std: float,
) -> RestartedClassifier:
    """A softmax trained on real features (streams ``seen/init``, ``seen/shuffle``).

    Args:
        task: the real features.
        runs: the stack.
        labels: [N] what is to be told.
        classes: number of outputs.
        epochs: of its training.
        batch: rows in a step.
        rates: learning rate of every run.
        betas: of its Adam.
        std: standard deviation of its initial weights.
    """
    classifier = RestartedClassifier(
        runs, task.features, labels, classes, rates=rates, betas=betas, batch=batch, std=std
    )
    classifier.restart("seen")
    for _ in range(epochs):
        classifier.train_epoch()
    return classifier


def seen_loss(
    task: Task,
    runs: Sequence[Run],
    *,
    epochs: int,
    batch: int,
    lr: float,
    betas: tuple[float, float],
    std: float,
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """NLL of a softmax among seen classes, trained here on real features and constant afterwards.

    Every run trains one of its own (streams ``seen/init``, ``seen/shuffle``), though runs of one
    seed could share it: it takes seconds of the hour that a GAN takes, and runs of other seeds must
    not, for their spread would then be too small.

    Args:
        task: the real features.
        runs: the stack.
        epochs: of this classifier.
        batch: rows in a step.
        lr: its learning rate.
        betas: of its Adam.
        std: standard deviation of its initial weights.

    Returns:
        Features [R, B, D] and ids of seen classes [R, B] -> the mean NLL [R].
    """
    classes = task.seen.numel()
    places = task.seen.new_zeros(task.num_classes)
    places[task.seen] = torch.arange(classes, device=task.device)
    classifier = trained_softmax(
        task, runs, places[task.labels], classes, epochs=epochs, batch=batch,
        rates=[lr] * len(runs), betas=betas, std=std,
    )  # fmt: skip
    weight, bias = classifier.weight.clone(), classifier.bias.clone()

    def loss(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logs = torch.log_softmax(linear(features, weight, bias), -1)
        return -logs.gather(-1, places[labels].unsqueeze(-1)).mean((1, 2))

    return loss
