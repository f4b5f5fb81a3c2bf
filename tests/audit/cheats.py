"""A plugin of methods that do what a method must not do, each in one way, and of honest ones."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch

from gzsl_bench import BatchedMethod, Config, Method, MethodSpec, Scorer, hookimpl, stackable

#: What a method kept between runs.
MEMORY: list[torch.Tensor] = []


class Settings(Config):
    steps: int = 3
    cheat: bool = True
    share: float = stackable(0.1, "how much of what is shown goes into the weights")
    file: str = ""
    sleep: float = 0.0


def ridge(x, y):
    return torch.linalg.solve(x.T @ x + torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)


def wide(x):
    """Tells uniform noise from [0, 1] (deviation 0.289) from features scaled to that range."""
    return bool(x.std(0).mean() > 0.27)


class Base(Method):
    """Ridge regression to class embeddings, a little better at every step."""

    Config = Settings

    def fit(self, task, run):
        self.task, self.run = task, run
        self.embeddings = task.attributes.double()
        self.weights = ridge(task.features.double(), self.embeddings[task.labels])
        for step in range(1, self.config.steps + 1):
            draw = torch.randn(self.weights.shape, generator=run.generator(f"noise {step}"))
            self.current = self.weights + draw.double() * 0.1 / step
            self.step(step)
            run.log(step, size=float(self.current.norm()))
            run.progress(step, self.config.steps)

    def step(self, step):
        self.run.checkpoint(step, self.score)

    def score(self, x):
        return x.double() @ self.current @ self.embeddings.T


class Honest(Base):
    """Offers whole scorers."""


class Shared(Base):
    """Honest too: one encoder for all checkpoints, a classifier that goes on learning."""

    def fit(self, task, run):
        encoder = ridge(task.features.double(), task.attributes[task.labels].double())
        self.embed = lambda x: x.double() @ encoder
        super().fit(task, run)

    def step(self, step):
        gain = 1 + step / 10
        self.run.checkpoint(step, Scorer(self.embed, lambda e: gain * e @ self.embeddings.T))


class Learner(Base):
    """Takes what it is shown for further training rows."""

    def score(self, x):
        scores = super().score(x)
        if self.config.cheat:
            guessed = self.embeddings[scores.argmax(1)]
            self.weights = self.weights + 0.1 * ridge(x.double(), guessed)
        return scores


class RunningStatistics(Base):
    """Its encoder centres rows on a running mean that scoring updates."""

    def fit(self, task, run):
        self.normal = torch.nn.BatchNorm1d(task.features.shape[1], affine=False)
        super().fit(task, run)

    def score(self, x):
        self.normal.train()(x)
        return super().score(self.normal.eval()(x))


class AdaptsOnce(Method):
    """A single checkpoint, whose scorer adapts to the first rows it sees."""

    def fit(self, task, run):
        weights = ridge(task.features.double(), task.attributes[task.labels].double())
        centre = []

        def score(x):
            if not centre:
                centre.append(x.double().mean(0))
            return (x.double() - centre[0]) @ weights @ task.attributes.double().T

        return score


class KeepsState(Base):
    """What the scorers of one run are shown helps the next."""

    def score(self, x):
        if not MEMORY:
            MEMORY.append(x.double().mean(0))
        return super().score(x)

    def fit(self, task, run):
        if MEMORY:
            task.features + MEMORY[0]
            self.bias = float(MEMORY[0].sum())
        super().fit(task, run)

    def step(self, step):
        if MEMORY and hasattr(self, "bias"):
            self.current = self.current + 1e-3 * self.bias
        super().step(step)


class KeepsStateAlone(Method):
    """The same with a single checkpoint."""

    def fit(self, task, run):
        weights = ridge(task.features.double(), task.attributes[task.labels].double())
        weights = weights + 1e-3 * len(MEMORY)
        MEMORY.append(task.features)
        return lambda x: x.double() @ weights @ task.attributes.double().T


class TorchGlobal(Base):
    """Draws from torch's own state."""

    def step(self, step):
        self.current = self.current + 0.01 * torch.randn(1).item()
        super().step(step)


class NumpyGlobal(Base):
    """Draws from numpy's own state."""

    def step(self, step):
        self.current = self.current + 0.01 * np.random.rand()
        super().step(step)


class PythonGlobal(Base):
    """Draws from Python's own state."""

    def step(self, step):
        self.current = self.current + 0.01 * random.random()
        super().step(step)


class Reseeds(Base):
    """Seeds torch's own state: against the rules, but the same every time."""

    def step(self, step):
        torch.manual_seed(self.run.seed)
        self.current = self.current + 0.01 * torch.randn(1).item()
        super().step(step)


class Unseeded(Base):
    """Draws from a generator that is another one every time."""

    def step(self, step):
        self.current = self.current + 0.01 * np.random.default_rng().random()
        super().step(step)


class Stale(Base):
    """Goes on training the encoder whose embedding its checkpoints share."""

    def step(self, step):
        if step == 1:
            self.embed = lambda x: x.double() @ self.current
        self.run.checkpoint(step, Scorer(self.embed, lambda e: e @ self.embeddings.T))


class Centres(Base):
    """Subtracts the mean score of all rows of the call."""

    def score(self, x):
        scores = super().score(x)
        return scores - scores.mean(0)


class FixedSize(Base):
    """Remembers how many rows there are."""

    def score(self, x):
        return super().score(x) if len(x) > 60 else torch.zeros(1, 1)


class LogsWhatItSees(Base):
    """Its scores are its own; its curves are not."""

    def score(self, x):
        self.run.log(99, confidence=float(super().score(x).max()))
        return super().score(x)


class Clock(Base):
    """Logs what is another number every time."""

    def step(self, step):
        self.run.log(step, seconds=time.perf_counter())
        super().step(step)


class StopsEarly(Base):
    """Ends as soon as it is sure of what it is shown."""

    sure = False

    def step(self, step):
        if not self.sure:
            super().step(step)

    def score(self, x):
        self.sure = wide(x)
        return super().score(x)


class Particular(Base):
    """Cannot bear rows it did not expect."""

    def score(self, x):
        if wide(x):
            raise ValueError("these are no features of mine")
        return super().score(x)


class Opens(Base):
    """Reads a file it was told of."""

    def step(self, step):
        if step == 2 and self.config.file:
            Path(self.config.file).read_bytes()
        super().step(step)


class Together(BatchedMethod):
    """Trains runs together; those with a share learn from what they are shown."""

    Config = Settings

    def fit_batch(self, task, runs):
        weights = ridge(task.features.double(), task.attributes[task.labels].double())
        own = [weights.clone() for _ in runs]

        def scorer(i):
            def score(x):
                scores = x.double() @ own[i] @ task.attributes.double().T
                own[i] = own[i] * (1 + runs[i].config.share * float(x.mean()))
                return scores

            return score

        for step in range(1, self.config.steps + 1):
            for i, run in enumerate(runs):
                run.checkpoint(step, scorer(i))


class DiesTheSecondTime(Base):
    """Fine once, gone when trained again in the same process."""

    def fit(self, task, run):
        MEMORY.append(task.features)
        if len(MEMORY) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(task, run)


class Slow(Base):
    """Takes its time."""

    def step(self, step):
        time.sleep(self.config.sleep)
        super().step(step)


class Maps(Method):
    """Ridge regression from mean regions; offers two checkpoints."""

    def fit(self, task, run):
        x = task.regions[:].mean(1).double()
        self.embeddings = task.attributes.double()
        self.weights = ridge(x, self.embeddings[task.labels])
        for step in (1, 2):
            run.checkpoint(step, self.score)

    def score(self, images):
        return self.pooled(images) @ self.weights @ self.embeddings.T

    def pooled(self, images):
        return torch.cat([part.regions[:].mean(1) for part in images.blocks(16)]).double()


class MapLearner(Maps):
    """Takes the maps it is shown for further training rows."""

    def score(self, images):
        scores, x = super().score(images), self.pooled(images)
        self.weights = self.weights + 0.1 * ridge(x, self.embeddings[scores.argmax(1)])
        return scores


class MapCentres(Maps):
    """Subtracts the mean map of all rows of the call."""

    def pooled(self, images):
        rows = super().pooled(images)
        return rows - rows.mean(0)


class MapOpens(Maps):
    """Opens the file behind its maps by the path that numpy keeps."""

    def fit(self, task, run):
        file = getattr(task.regions._values.base, "filename", None)
        if file:
            np.load(file, mmap_mode="r")
        super().fit(task, run)


METHODS = {
    "honest": Honest,
    "shared": Shared,
    "learner": Learner,
    "running": RunningStatistics,
    "adapts_once": AdaptsOnce,
    "keeps_state": KeepsState,
    "keeps_state_alone": KeepsStateAlone,
    "torch_global": TorchGlobal,
    "numpy_global": NumpyGlobal,
    "python_global": PythonGlobal,
    "reseeds": Reseeds,
    "unseeded": Unseeded,
    "stale": Stale,
    "centres": Centres,
    "fixed_size": FixedSize,
    "logs": LogsWhatItSees,
    "clock": Clock,
    "stops_early": StopsEarly,
    "particular": Particular,
    "opens": Opens,
    "together": Together,
    "dies": DiesTheSecondTime,
    "slow": Slow,
}
SPECS = {
    name: MethodSpec(name, factory, citation="tests", fidelity="paper", preprocessing="minmax")
    for name, factory in METHODS.items()
}
ON_MAPS = {
    name: MethodSpec(name, factory, citation="tests", fidelity="paper", needs=("regions",))
    for name, factory in (
        ("maps", Maps),
        ("map_learner", MapLearner),
        ("map_centres", MapCentres),
        ("map_opens", MapOpens),
    )
}


@hookimpl
def gzsl_bench_methods():
    yield from SPECS.values()
