"""Steps of a feature-generating GAN beside plain torch: ``python -m benchmarks.gan``.

Processor seconds on one thread, in turns, so that neighbours on the machine count little.  The
plain loop is written as the released codes are: ``torch.nn`` modules, a backward pass each for real
rows, generated rows and the penalty (differentiated twice), torch's default Adam; its classifier
permutes all rows in every epoch.  The roofline is that of :mod:`benchmarks.roofline`, for the
products that the toolkit makes and Adam's traffic.

The bar of the classifier cannot be reached: both loops make the same two products of every batch,
scores and gradient, and on CUB with 1000-d features these alone take 276 ms of the plain loop's 478
(the rest: permuting the rows 94, autograd and log-softmax 63, Adam 45).  With nothing else to do an
epoch would be 1.7 times as fast; the toolkit, at 345 ms, gathers rows, takes a softmax and steps in
the 69 that it has beside them.  The weights change with every batch, so no product serves two
epochs or two checkpoints, and other arithmetic would give other numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import click
import torch
from gzsl_bench_feature_gan.f_clswgan import FCLSWGANConfig
from torch import nn
from torch.nn import functional as F

from benchmarks.measure import SHAPES
from benchmarks.plugin_runs import Clock, alternate, median, random_task
from benchmarks.roofline import FLOAT, Kernels, Phase, least_seconds
from gzsl_bench import Run, Task, markdown
from gzsl_bench.engine.fit import settle
from gzsl_bench.stacked import Batch, Critic, Generator, RestartedClassifier, StackedAdam
from gzsl_bench.stacked.gan.terms import critic_terms, generator_terms

#: Least times that the plain loop takes of what the toolkit takes, and share of the roofline.
BARS = {"critic step": 2.0, "classifier epoch": 5.0}
ROOFLINE = 0.75


@click.command()
@click.option("--dataset", default="CUB", type=click.Choice(list(SHAPES)), show_default=True)
@click.option("--features", default=1000, show_default=True, help="Feature dimensions.")
@click.option("--rounds", default=5, show_default=True, help="Repetitions; medians are shown.")
@click.option("--steps", default=5, show_default=True, help="Steps in a repetition.")
def main(dataset: str, features: int, rounds: int, steps: int) -> None:
    """Time the steps of f-CLSWGAN beside a plain loop and the roofline."""
    settle("0", 1)  # of libraries yet to be loaded, too
    task = random_task(features, *SHAPES[dataset][1:], "cpu")
    lines = []
    for what, ours, plain, least in measure(task, FCLSWGANConfig.model_validate({}), rounds, steps):
        bar = BARS.get(what)
        lines.append(
            [what, f"{1e3 * ours:.1f}", f"{1e3 * plain:.1f}", f"{plain / ours:.2f}",
             f"{bar:g}" if bar else "", f"{plain / least:.2f}", f"{100 * least / ours:.0f} %"]
        )  # fmt: skip
    header = ["part", "ms", "plain ms", "times", "bar", "at most", "of roofline"]
    click.echo(markdown.table(header, lines))
    click.echo(
        "at most: times that the toolkit would reach at its roofline\n"
        f"bar: {100 * ROOFLINE:g} % of the roofline for the critic's step"
    )


def measure(
    task: Task, config: FCLSWGANConfig, rounds: int, steps: int
) -> Iterator[tuple[str, float, float, float]]:
    """Part, processor seconds of the toolkit, of the plain loop, and the roofline's.

    Args:
        task: whose shape is trained on.
        config: widths, batches and rates.
        rounds: repetitions.
        steps: steps of the GAN in a repetition.
    """
    rates = _Kernels(task.device).rates()
    ours, plain = Toolkit(task, config), Plain(task, config)
    for what, repeat, roofline in (
        ("critic step", steps, critic_phases),
        ("generator step", steps, generator_phases),
        ("classifier epoch", 1, classifier_phases),
    ):
        name = what.replace(" ", "_")
        parts = [getattr(ours, name), getattr(plain, name)]
        for part in parts:
            part()  # allocates
        spans = alternate([partial(_seconds, part, repeat) for part in parts], rounds)
        least = least_seconds(roofline(task, config), rates)
        yield what, median(spans[0]), median(spans[1]), least


def _seconds(work: Callable[[], None], repeat: int) -> float:
    begun = time.process_time()
    for _ in range(repeat):
        work()
    return (time.process_time() - begun) / repeat


class _Kernels(Kernels):
    """In processor seconds."""

    def _time(self, call: Callable[[], Any]) -> float:
        return _seconds(call, 1)


class _Steps:
    """One batch, always the same: what is timed does not depend on it."""

    def __init__(self, task: Task, config: FCLSWGANConfig) -> None:
        source = torch.Generator().manual_seed(1)
        self.task, self.config, batch = task, config, config.batch
        self.noise_width = config.noise or task.attributes.shape[1]
        self.labels = task.labels[:batch]
        self.real, self.attributes = task.features[:batch], task.attributes[self.labels]
        self.noise = torch.randn(batch, self.noise_width, generator=source)
        self.mix = torch.rand(batch, 1, generator=source)
        self.made = task.unseen.repeat_interleave(config.samples)


class Toolkit(_Steps):
    """The steps as :class:`gzsl_bench.stacked.FeatureGAN` makes them, for one run."""

    def __init__(self, task: Task, config: FCLSWGANConfig) -> None:
        super().__init__(task, config)
        run = Run(0, task.device, config, Clock(task.device))
        width, attributes = task.features.shape[1], task.attributes.shape[1]
        self.critic = Critic([run], "critic", width, attributes, config.critic_hidden)
        self.generator = Generator(
            [run], "generator", self.noise_width, attributes, config.generator_hidden, width
        )
        betas = config.beta1, config.beta2
        self.of_critic, self.of_generator = (
            StackedAdam([(part.layers, [config.lr])], betas=betas)
            for part in (self.critic, self.generator)
        )
        self.classifier = RestartedClassifier(
            [run], task.features, task.labels, task.num_classes,
            own_labels=self.made, rates=[config.classifier_lr], batch=config.samples,
        )  # fmt: skip
        self.classifier.own.fill_(0.5)
        self.classifier.restart()
        self.factor = torch.tensor([config.penalty])
        self.batch = Batch(
            task, task.attributes, torch.arange(config.batch)[None], self.noise[None, None],
            self.mix[None], config.critic_steps, [self.factor], [],
        )  # fmt: skip

    def critic_step(self) -> None:
        """One step of the critic."""
        terms = critic_terms(
            self.critic, self.generator, self.real[None], self.attributes[None],
            self.noise[None], self.mix[None], self.factor,
        )  # fmt: skip
        terms["loss"].sum().backward()  # type: ignore[no-untyped-call]
        self.of_critic.step()

    def generator_step(self) -> None:
        """One step of the generator, without the seen softmax."""
        terms = generator_terms(self.critic, self.generator, self.batch, _nothing)
        terms["loss"].sum().backward()  # type: ignore[no-untyped-call]
        self.of_generator.step()

    def classifier_epoch(self) -> None:
        """One epoch of the classifier."""
        self.classifier.train_epoch()


def _nothing(generated: torch.Tensor, batch: Batch) -> dict[str, Any]:
    return {}


class Plain(_Steps):
    """The steps as the released codes make them."""

    def __init__(self, task: Task, config: FCLSWGANConfig) -> None:
        super().__init__(task, config)
        width, attributes = task.features.shape[1], task.attributes.shape[1]
        hidden = config.critic_hidden
        self.critic = nn.Sequential(
            nn.Linear(width + attributes, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
        )
        self.generator = nn.Sequential(
            nn.Linear(self.noise_width + attributes, config.generator_hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(config.generator_hidden, width),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(width, task.num_classes)
        betas = config.beta1, config.beta2
        self.of_critic, self.of_generator, self.of_classifier = (
            torch.optim.Adam(part.parameters(), lr=config.lr, betas=betas)
            for part in (self.critic, self.generator, self.classifier)
        )
        made = torch.full((len(self.made), width), 0.5)
        self.rows = torch.cat([task.features, made])
        self.row_labels = torch.cat([task.labels, self.made])

    def critic_step(self) -> None:
        """One step of the critic, its penalty differentiated twice."""
        self.of_critic.zero_grad()
        real, attributes = self.real, self.attributes
        (-self.critic(torch.cat([real, attributes], 1)).mean()).backward()
        fake = self.generator(torch.cat([self.noise, attributes], 1)).detach()
        self.critic(torch.cat([fake, attributes], 1)).mean().backward()
        between = (self.mix * real + (1 - self.mix) * fake).requires_grad_()
        score = self.critic(torch.cat([between, attributes], 1))
        (slope,) = torch.autograd.grad(score.sum(), between, create_graph=True)
        (((slope.norm(2, dim=1) - 1) ** 2).mean() * self.config.penalty).backward()
        self.of_critic.step()

    def generator_step(self) -> None:
        """One step of the generator, without the seen softmax."""
        self.critic.requires_grad_(False)
        self.of_generator.zero_grad()
        fake = self.generator(torch.cat([self.noise, self.attributes], 1))
        (-self.critic(torch.cat([fake, self.attributes], 1)).mean()).backward()
        self.of_generator.step()
        self.critic.requires_grad_(True)

    def classifier_epoch(self) -> None:
        """One epoch of the classifier."""
        batch, order = self.config.samples, torch.randperm(len(self.rows))
        self.rows, self.row_labels = self.rows[order], self.row_labels[order]
        for first in range(0, len(self.rows) - batch + 1, batch):
            self.of_classifier.zero_grad()
            logs = F.log_softmax(self.classifier(self.rows[first : first + batch]), 1)
            loss = F.nll_loss(logs, self.row_labels[first : first + batch])
            loss.backward()  # type: ignore[no-untyped-call]
            self.of_classifier.step()


def _product(name: str, rows: int, inputs: int, outputs: int) -> Phase:
    touched = rows * inputs + inputs * outputs + rows * outputs
    return Phase(name, 2 * rows * inputs * outputs, FLOAT * touched)


def _adam(parameters: int) -> Phase:
    # Reads p, g, m, v and writes p, m, v.
    return Phase("Adam", 12 * parameters, FLOAT * 7 * parameters)


def _widths(task: Task, config: FCLSWGANConfig) -> tuple[int, int, int, int, int]:
    attributes = task.attributes.shape[1]
    beside = (config.noise or attributes) + attributes
    return (
        task.features.shape[1], attributes, beside, config.generator_hidden, config.critic_hidden,
    )  # fmt: skip


def critic_phases(task: Task, config: FCLSWGANConfig) -> list[Phase]:
    """Of a critic's step with its penalty in closed form."""
    width, attributes, beside, inner, hidden = _widths(task, config)
    batch = config.batch
    return [
        _product("generate", batch, beside, inner),
        _product("generate", batch, inner, width),
        _product("features", 2 * batch, width, hidden),
        _product("attributes", batch, attributes, hidden),
        _product("gradient", batch, hidden, width),
        _product("back through the gradient", batch, width, hidden),
        _product("weights", width, 3 * batch, hidden),
        _product("weights", attributes, batch, hidden),
        _adam((width + attributes + 2) * hidden),
    ]


def generator_phases(task: Task, config: FCLSWGANConfig) -> list[Phase]:
    """Of a generator's step."""
    width, attributes, beside, inner, hidden = _widths(task, config)
    batch = config.batch
    return [
        _product("generate", batch, beside, inner),
        _product("generate", batch, inner, width),
        _product("criticise", batch, width + attributes, hidden),
        _product("back to features", batch, hidden, width),
        _product("weights", inner, batch, width),
        _product("back to hidden units", batch, width, inner),
        _product("weights", beside, batch, inner),
        _adam((beside + 1) * inner + (inner + 1) * width),
    ]


def classifier_phases(task: Task, config: FCLSWGANConfig) -> list[Phase]:
    """Of an epoch of the classifier."""
    width, classes, batch = task.features.shape[1], task.num_classes, config.samples
    rows = len(task.labels) + len(task.unseen) * batch
    step = [
        Phase("gather", 0, 2 * FLOAT * batch * width),
        _product("forward", batch, width, classes),
        _product("weights", width, batch, classes),
        _adam((width + 1) * classes),
    ]
    return step * math.ceil(rows / batch)


if __name__ == "__main__":
    main()
