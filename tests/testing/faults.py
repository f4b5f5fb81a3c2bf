"""Methods with one fault each, and honest ones to tell them from."""

from __future__ import annotations

import importlib
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import ConfigDict, Field

from gzsl_bench import BatchedMethod, Config, Latents, Method, NotApplicable, Scorer, stackable
from gzsl_bench.stacked import (
    Generators,
    Linear,
    Progress,
    StackedAdam,
    lanes,
    per_run,
    subsets,
    train,
)

#: What a method kept between runs.
MEMORY: list[torch.Tensor] = []


class Settings(Config):
    steps: int = Field(3, ge=1, description="how many checkpoints")
    noise: float = stackable(0.05, "deviation of what is added to the weights")


def ridge(x, y):
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return torch.linalg.solve(x.T @ x + eye, x.T @ y)


class Honest(Method):
    """Ridge regression to class embeddings, less noisy at every step; scores are -distances."""

    Config = Settings

    def fit(self, task, run):
        self.task, self.run = task, run
        self.embeddings = task.attributes.double()
        self.weights = self.learn(self.padded(task.features))
        steps = self.config.steps
        for step in range(1, steps + 1):
            self.current = self.weights + self.draw(step) * self.config.noise / step
            self.step(step)
            run.log(step, size=float(self.current.norm()))
            self.progress(step, steps)

    def padded(self, x):
        """[N, D + 1] with a constant."""
        return torch.cat([x.double(), x.new_ones(len(x), 1).double()], 1)

    def learn(self, x):
        return ridge(x, self.embeddings[self.task.labels])

    def draw(self, step):
        drawn = torch.randn(self.weights.shape, generator=self.run.generator(f"noise {step}"))
        return drawn.to(self.weights)

    def step(self, step):
        self.run.checkpoint(step, self.score)

    def progress(self, done, total):
        self.run.progress(done, total)

    def score(self, x):
        return -torch.cdist(self.padded(x) @ self.current, self.embeddings)


class Together(BatchedMethod):
    """The same without a bias, for several runs at once."""

    Config = Settings

    def fit_batch(self, task, runs):
        x, embeddings = task.features.double(), task.attributes.double()
        weights = ridge(x, embeddings[task.labels])
        steps = self.config.steps
        for step in range(1, steps + 1):
            drawn = self.draws(runs, weights.shape, step)
            stacked = weights + drawn * self.rates(runs) / step
            for run, mine in zip(runs, stacked, strict=True):
                run.checkpoint(step, lambda x, w=mine: -torch.cdist(x.double() @ w, embeddings))
                run.progress(step, steps)

    def draws(self, runs, shape, step):
        return torch.stack([torch.randn(shape, generator=r.generator(f"{step}")) for r in runs]).to(
            runs[0].device, torch.float64
        )

    def rates(self, runs):
        return torch.tensor([r.config.noise for r in runs], device=runs[0].device)[:, None, None]


class Stacked(BatchedMethod):
    """A linear map to class embeddings by the toolkit: on a GPU, runs as one in captured graphs."""

    class Config(Config):
        epochs: int = Field(40, ge=1, description="passes over the training rows")
        rate: float = stackable(0.03, "learning rate", gt=0)

    def fit_batch(self, task, runs):
        for stack in lanes(runs, task.device):
            self.fit_stack(task, stack)

    def fit_stack(self, task, runs):
        width, rows = task.features.shape[1], len(task.labels)
        self.layer = Linear(runs, "map", width, task.attributes.shape[1], device=task.device)
        batch, batches = min(16, rows), Generators(runs, "batches")
        progress = Progress(runs, self.config.epochs)
        self.begin(task)
        train(
            runs,
            StackedAdam([([self.layer], per_run(runs, "rate"))]),
            epochs=self.config.epochs,
            steps=-(-rows // batch),
            weights=lambda epoch: [torch.ones(len(runs), device=task.device)],
            draw=lambda steps: [subsets(batches, rows, batch, steps, task.device)],
            loss=lambda weights, picked: {"loss": weights[0] * self.error(task, picked)},
            after_epoch=lambda: (progress.advance(1), self.begin(task)),
        )
        for r, run in enumerate(runs):
            one = self.layer.of(r)
            run.checkpoint(
                1, lambda x, one=one: -torch.cdist(one(x[None])[0].detach(), task.attributes)
            )

    def begin(self, task):
        """Called before every epoch."""

    def error(self, task, picked):
        """[R] squared errors of the rows ``picked`` [R, B]."""
        wanted = task.attributes[task.labels[picked]]
        return (self.layer(task.features[picked]) - wanted).square().mean(2).sum(1)


class ClosedForm(Method):
    """Done at once."""

    class Config(Config):
        pass

    def fit(self, task, run):
        embeddings = task.attributes.double()
        weights = ridge(task.features.double(), embeddings[task.labels])
        return Scorer(lambda x: x.double() @ weights, lambda e: -torch.cdist(e, embeddings))


class Binary(Honest):
    """Wants embeddings of zeros and ones."""

    def fit(self, task, run):
        if not ((task.attributes == 0) | (task.attributes == 1)).all():
            raise NotApplicable("needs binary attributes")
        super().fit(task, run)


class Continuous(Honest):
    """Wants embeddings that are not binary: does not apply to the easy task."""

    def fit(self, task, run):
        if ((task.attributes == 0) | (task.attributes == 1)).all():
            raise NotApplicable("needs continuous attributes")
        super().fit(task, run)


class WithModules(Honest):
    """Trains a torch.nn module, honestly: weights from its generator, everything moved."""

    def learn(self, x):
        net = torch.nn.utils.skip_init(torch.nn.Linear, x.shape[1], self.embeddings.shape[1])
        with torch.no_grad():
            for name, weight in net.named_parameters():
                drawn = torch.randn(weight.shape, generator=self.run.generator(name))
                weight.copy_(0.01 * drawn)
        net = net.to(self.run.device, torch.float64)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        order = torch.randperm(len(x), generator=self.run.generator("order"))
        for rows in order.split(24) * 10:
            loss = (net(x[rows]) - self.embeddings[self.task.labels[rows]]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        bias = torch.zeros_like(net.weight[:, :1])
        return (
            torch.cat([net.weight.detach()[:, :-1], bias], 1).T
            + torch.cat([bias.new_zeros(x.shape[1] - 1, len(bias)), net.bias.detach()[None]])
            + torch.cat([bias.new_zeros(x.shape[1] - 1, len(bias)), net.weight.detach()[:, -1:].T])
        )


# Scores ------------------------------------------------------------------------------------------


class SeenColumns(Honest):
    def score(self, x):
        return super().score(x)[:, self.task.seen]


class Flat(Honest):
    def score(self, x):
        return super().score(x).argmax(1)


class Integers(Honest):
    def score(self, x):
        return (1000 * super().score(x)).long()


class Arrays(Honest):
    def score(self, x):
        return super().score(x).cpu().numpy()


class NotANumber(Honest):
    def score(self, x):
        scores = super().score(x)
        return scores / (scores != scores.max()) - scores.max() * (scores == scores.max()) * 0 / 0.0


class Masked(Honest):
    def score(self, x):
        scores = super().score(x)
        scores[:, 0] = -torch.inf
        return scores


# Shapes ------------------------------------------------------------------------------------------


class SpreadOfUnseen(Honest):
    """The deviation over unseen classes: NaN for one."""

    def score(self, x):
        return super().score(x) / self.embeddings[self.task.unseen].std(0).mean()


class SpreadOfClasses(Honest):
    """The deviation over a class's images: NaN for one."""

    def score(self, x):
        task = self.task
        spreads = torch.stack([task.features[task.labels == c].std(0).mean() for c in task.seen])
        return super().score(x) / spreads.mean()


class SquareRoots(Honest):
    """Of features that may be negative."""

    def padded(self, x):
        return super().padded(x.sqrt())


class Squeezes(Honest):
    """Loses the dimension of one."""

    def learn(self, x):
        return ridge(x, self.embeddings[self.task.labels]).squeeze()


class SeenFirst(Honest):
    """Takes the first ids for the seen classes."""

    def learn(self, x):
        seen = self.embeddings[: len(self.task.seen)]
        return ridge(x, torch.eye(len(seen), device=x.device)[self.task.labels].double() @ seen)


class Broken(Honest):
    def learn(self, x):
        raise ValueError("no luck")


class ReturnsItsWeights(Honest):
    def fit(self, task, run):
        return torch.zeros(3, 2)


class Never(Honest):
    def fit(self, task, run):
        raise NotApplicable("needs a word embedding of every class name")


# Learning ----------------------------------------------------------------------------------------


class GuessesUnseen(Honest):
    """Every row's scores of unseen classes are drawn."""

    def score(self, x):
        scores, unseen = super().score(x), self.task.unseen
        codes = (
            self.embeddings[unseen]
            @ torch.arange(1.0, 7).to(self.embeddings).exp()[: self.embeddings.shape[1]]
        )
        scores[:, unseen] = torch.sin(1e3 * x.double().sum(1, keepdim=True) * codes)
        return scores


class SeenOnly(Honest):
    """Knows no unseen class."""

    def score(self, x):
        scores = super().score(x)
        scores[:, self.task.unseen] = -1e4
        return scores


class UnseenOnly(Honest):
    """Knows no seen class."""

    def score(self, x):
        scores = super().score(x)
        scores[:, self.task.seen] = -1e4
        return scores


class DrawsPerClass(Honest):
    """No fault: which class gets which numbers follows from its id, and no id is favoured."""

    def learn(self, x):
        source = self.run.generator("classes")
        noise = torch.randn(self.embeddings.shape, generator=source).double()
        self.embeddings = self.embeddings + 0.1 * noise.to(self.embeddings.device)
        return super().learn(x)


class PrefersLowIds(Honest):
    def score(self, x):
        scores = super().score(x)
        return scores - 0.1 * torch.arange(scores.shape[1], device=x.device)


# Randomness and state ----------------------------------------------------------------------------


class TorchGlobal(Honest):
    def draw(self, step):
        return torch.randn(self.weights.shape, device=self.run.device).double()


class Layers(Honest):
    """A layer's own initialisation, though none of it is used."""

    def learn(self, x):
        torch.nn.Linear(3, 3)
        return super().learn(x)


class NumpyGlobal(Honest):
    def draw(self, step):
        return torch.from_numpy(np.random.normal(size=self.weights.shape)).to(self.run.device)


class PythonGlobal(Honest):
    def draw(self, step):
        return self.weights * random.random()


class Reseeds(Honest):
    def draw(self, step):
        torch.manual_seed(self.run.seed)
        return torch.randn(self.weights.shape, device=self.run.device).double()


class Unseeded(Honest):
    def draw(self, step):
        return self.weights * np.random.default_rng().random()


class IgnoresSeed(Honest):
    def draw(self, step):
        return self.weights * 0.5


class Counts(Honest):
    """A class attribute that goes on between runs."""

    runs: ClassVar[int] = 0

    def fit(self, task, run):
        type(self).runs += 1
        super().fit(task, run)

    def draw(self, step):
        return super().draw(step) * (1 + 0.01 * self.runs)


class Remembers(Honest):
    """A module variable that keeps the first run's weights."""

    def learn(self, x):
        if not MEMORY:
            MEMORY.append(super().learn(x))
        return MEMORY[0] if MEMORY[0].shape[0] == x.shape[1] else super().learn(x)


class DefaultArgument(Honest):
    """A default argument, made once, that keeps what every run adds to it."""

    def draw(self, step, kept=[]):  # noqa: B006
        kept.append(step)
        return super().draw(step) * (1 + 0.01 * len(kept))


class KnowsMain(Honest):
    """Needs what only the process that checks has set up."""

    def learn(self, x):
        return super().learn(x) * sys.modules["__main__"].gz_faults_scale


class Configured(Honest):
    """Uses a module variable that only the process that checks has set."""

    scale: ClassVar[float] = 1.0

    def score(self, x):
        scores = super().score(x)
        return scores + self.scale * scores[:, :1] * torch.linspace(
            0, 1, scores.shape[1], device=x.device
        )


def local_method():
    class Local(Honest):
        pass

    return Local


# What scorers are shown --------------------------------------------------------------------------


class Learner(Honest):
    """Trains on the rows it is shown."""

    def score(self, x):
        scores = super().score(x)
        guessed = self.embeddings[scores.argmax(1)]
        self.weights = self.weights + 0.1 * ridge(self.padded(x), guessed)
        return scores


class Stale(Honest):
    """Goes on training the encoder behind an embedding that checkpoints share."""

    def step(self, step):
        if step == 1:
            self.embed = lambda x: self.padded(x) @ self.current
        self.run.checkpoint(step, Scorer(self.embed, lambda e: -torch.cdist(e, self.embeddings)))


class Normalises(Honest):
    """Batch normalisation in training mode."""

    def fit(self, task, run):
        self.normal = torch.nn.BatchNorm1d(task.features.shape[1], affine=False).to(run.device)
        super().fit(task, run)

    def padded(self, x):
        return super().padded(self.normal.train()(x))


class Centres(Honest):
    def score(self, x):
        scores = super().score(x)
        return scores - scores.mean(0)


class CentresAtOnce(ClosedForm):
    """Every row gets a little of the row before it, whichever that is."""

    def fit(self, task, run):
        scorer = super().fit(task, run)

        def score(x):
            scores = scorer(x)
            return scores + 0.3 * scores.roll(1, 0)

        return score


# Tensors of others -------------------------------------------------------------------------------


class CentresTask(Honest):
    def fit(self, task, run):
        task.features -= task.features.mean(0)
        super().fit(task, run)


class CentresTaskInNumpy(Honest):
    def fit(self, task, run):
        array = task.attributes.cpu().numpy()
        array -= array.mean(0)
        super().fit(task, run)


def spread_of(task):
    return task.features.std(0)


class ScalesShared(Honest):
    """Changes what task.shared gives to everybody."""

    def fit(self, task, run):
        task.shared(spread_of).mul_(2)
        super().fit(task, run)


class ClampsRows(Honest):
    def score(self, x):
        return super().score(x.clamp_(0, 0.5))


class ClampsRowsInNumpy(Honest):
    def score(self, x):
        np.clip(x.cpu().numpy(), 0, 0.5, out=x.cpu().numpy())
        return super().score(x)


# Devices -----------------------------------------------------------------------------------------


class NoDevice(Honest):
    def learn(self, x):
        return torch.linalg.solve(
            x.T @ x + torch.eye(x.shape[1]), x.T @ self.embeddings[self.task.labels]
        )


class LayerOnCpu(Honest):
    """A module that is never moved."""

    def fit(self, task, run):
        self.layer = torch.nn.utils.skip_init(torch.nn.Linear, 1, task.num_classes)
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)
        super().fit(task, run)

    def score(self, x):
        return super().score(x) + self.layer(x[:, :1])


class DrawsOnDevice(Honest):
    def draw(self, step):
        generator = self.run.generator(f"noise {step}")
        shape, device = self.weights.shape, self.run.device
        return torch.randn(shape, generator=generator, device=device).double()


class ToNumpy(Honest):
    def learn(self, x):
        solved = np.linalg.lstsq(x.numpy(), self.embeddings[self.task.labels].cpu().numpy())[0]
        return torch.from_numpy(solved).to(self.run.device)


class ScoresOnCpu(Honest):
    def score(self, x):
        return super().score(x).cpu()


class WantsCuda(Honest):
    def learn(self, x):
        return super().learn(x.to("cuda")).to(x)


# In company, on the clock ------------------------------------------------------------------------


class OneGenerator(Together):
    """All runs draw from the first run's generator."""

    def draws(self, runs, shape, step):
        generator = runs[0].generator(f"{step}")
        return torch.randn((len(runs), *shape), generator=generator).double().to(runs[0].device)


class MeanRate(Together):
    """Divides by the number of runs."""

    def rates(self, runs):
        return super().rates(runs) / len(runs)


class MeanOverRuns(Stacked):
    """A mean over the runs: unseen on a CPU, where the toolkit trains them one by one."""

    def error(self, task, picked):
        error = super().error(task, picked)
        return error.mean().expand(error.shape) ** 2


class ReadsItsLoss(Stacked):
    """Looks at every step's loss on the host."""

    def error(self, task, picked):
        error = super().error(task, picked)
        self.largest = max(getattr(self, "largest", 0.0), error.sum().item())
        return error


class BringsNumbers(Stacked):
    """Makes a tensor of Python numbers in every step."""

    def error(self, task, picked):
        return super().error(task, picked) * torch.tensor([2.0], device=task.device)


class SortsOut(Stacked):
    """Takes the rows that a mask picks: how many depends on their values."""

    def error(self, task, picked):
        shift = task.features[task.features[:, 0] > 0.5].mean() * 0
        return super().error(task, picked) + shift


class CountsSteps(Stacked):
    """A Python number that grows from step to step."""

    def begin(self, task):
        self.steps = getattr(self, "steps", 0)

    def error(self, task, picked):
        self.steps += 1
        return super().error(task, picked) * (1 + self.steps % 7) ** 2


class TensorPerEpoch(Stacked):
    """A tensor made anew before every epoch, which a captured step never sees."""

    def begin(self, task):
        self.epoch = getattr(self, "epoch", 0) + 1
        self.scale = torch.full((1,), 3.0 if self.epoch < 10 else 1.0, device=task.device)

    def error(self, task, picked):
        target = task.attributes[task.labels[picked]] * self.scale
        return (self.layer(task.features[picked]) - target).square().mean(2).sum(1)


class CountsBatches(Honest):
    """Numbers its checkpoints by batches."""

    def step(self, step):
        self.run.checkpoint(step * len(self.task.labels) // 8, self.score)


class BeyondItsAxes(Honest):
    """Says that there are two checkpoints, and offers three."""

    @classmethod
    def axes(cls, config):
        return {"epoch": 2}


class Silent(Honest):
    def progress(self, done, total):
        pass


class StopsShort(Honest):
    def progress(self, done, total):
        if done < total:
            super().progress(done, total)


class Slow(Honest):
    """Takes its time, and says so."""

    def step(self, step):
        time.sleep(0.3)
        super().step(step)


class SlowAndDeaf(ClosedForm):
    """Takes its time and hears nothing."""

    def fit(self, task, run):
        time.sleep(0.3)
        return super().fit(task, run)


class Endless(ClosedForm):
    """A loop without an end, which takes what stops it for an error of its own, once."""

    def fit(self, task, run):
        stubborn = True
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                if not stubborn:
                    raise
                stubborn = False


class Hungry(Honest):
    def learn(self, x):
        large = torch.ones(40, 1_000_000)
        return super().learn(x) + 0 * large[0, 0]


class TriesOut(Honest):
    """Looks for a folder for temporary files, as libraries do."""

    def learn(self, x):
        with tempfile.NamedTemporaryFile() as passing:
            passing.write(b"x")
        return super().learn(x)


class ImportsLate(Honest):
    """Needs a library that draws numbers and reads a file as it is imported."""

    def learn(self, x):
        importlib.import_module("gz_late")
        return super().learn(x)


class Reads(Honest):
    file: ClassVar[Path]

    def learn(self, x):
        self.file.read_bytes()
        return super().learn(x)


# Configurations ----------------------------------------------------------------------------------


class Undocumented(Honest):
    class Config(Settings):
        steps: int = 3
        rate: float = 0.1


class Lenient(Honest):
    class Config(Settings):
        model_config = ConfigDict(extra="ignore")


class NoDefault(Honest):
    class Config(Settings):
        rate: float = Field(description="learning rate")


class KnowsOnlyCub(Honest):
    @classmethod
    def defaults(cls, dataset):
        return {"CUB": {"steps": 4}}[dataset.name]


class WrongDefaults(Honest):
    @classmethod
    def defaults(cls, dataset):
        return {"steps": 0} if dataset.name == "SUN" else {}


# Latents -----------------------------------------------------------------------------------------


class Drawable(Honest):
    """Offers the space it compares in: images mapped to embeddings, embeddings with noise."""

    def step(self, step):
        weights = self.current.clone()
        offered = Latents(
            visual=lambda x: self.padded(x) @ weights, semantic=lambda c: self.sample(c, step)
        )
        self.run.checkpoint(step, Scorer(lambda x: x, self.score, offered))

    def sample(self, classes, step):
        stream = self.run.generator(f"visualize {step}")
        noise = torch.randn(len(classes), self.embeddings.shape[1], generator=stream)
        return self.embeddings[classes] + 0.1 * noise.to(self.embeddings)


class NeedsAll(Honest):
    """Takes everything that a task may hold, and tells classes apart by their regions."""

    def fit(self, task, run):
        rows = task.regions[:].mean(1)
        assert task.second.shape[0] == len(rows)
        assert task.words.shape[0] == len(task.groups) == task.attributes.shape[1]
        assert len(task.class_names) == task.num_classes
        super().fit(replace(task, features=rows), run)

    def score(self, images):
        assert len(images.second) == len(images)
        return super().score(torch.cat([part.regions[:].mean(1) for part in images.blocks(16)]))


class MapsOfTheMachine(NeedsAll):
    """Puts what it gathers on the machine's device and not on the run's."""

    def score(self, images):
        device = torch.device("cpu")
        rows = torch.cat([part.to(device)[:].mean(1) for part in [images.regions]])
        return Honest.score(self, rows)


class DrawnAnew(Drawable):
    """Its noise goes on from call to call."""

    def fit(self, task, run):
        self.stream = run.generator("visualize")
        super().fit(task, run)

    def sample(self, classes, step):
        noise = torch.randn(len(classes), self.embeddings.shape[1], generator=self.stream)
        return self.embeddings[classes] + noise


class TwoSpaces(Drawable):
    """Semantic latents in a space of their own."""

    def sample(self, classes, step):
        return super().sample(classes, step)[:, :-1]


class OnePerClass(Drawable):
    """One sample per class, whatever was asked for."""

    def sample(self, classes, step):
        return super().sample(classes.unique(), step)


class NotFinite(Drawable):
    """The logarithm of something negative."""

    def sample(self, classes, step):
        return super().sample(classes, step).sub(100).log()


class RaisesWhenDrawn(Drawable):
    """Only fit for the classes of a batch."""

    def sample(self, classes, step):
        raise IndexError("no such class")


class ShiftsItself(Drawable):
    """Drawing its images moves the weights of the steps that follow."""

    def step(self, step):
        weights = self.current.clone()

        def visual(x):
            self.weights[0] += 1e-3
            return self.padded(x) @ weights

        offered = Latents(visual=visual, semantic=lambda c: self.sample(c, step))
        self.run.checkpoint(step, Scorer(lambda x: x, self.score, offered))


class ScalesClasses(Drawable):
    """Changes the class ids it was given."""

    def sample(self, classes, step):
        return super().sample(classes.clamp_(max=3), step)
