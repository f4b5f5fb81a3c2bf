"""DEM: learning a deep embedding model for zero-shot learning (Zhang et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from pydantic import Field

from gzsl_bench import Config, DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import Linear, per_run, precision_of
from gzsl_bench_classic.ridge import RidgeMethod, squared_distances, truncated_normal

Distance: TypeAlias = Literal["euclidean", "cosine"]


class DEMConfig(Config):
    """Hyper-parameters of DEM; defaults are AWA2's, but for the weakest penalty, SUN's."""

    hidden: int = Field(1600, ge=1, description="hidden units")
    penalty: float = stackable(1e-5, "weight of half the squares of weights and biases", ge=0)
    lr: float = stackable(1e-4, "learning rate of Adam", gt=0)
    batch: int = Field(64, ge=1, description="images in a step; all of them where there are fewer")
    epochs: int = Field(100, ge=1, description="passes over the images")
    checkpoint_every: int = Field(2, ge=1, description="epochs between checkpoints")
    distance: Distance = Field("euclidean", description="by what the nearest prototype is found")
    attribute_scale: float = stackable(1.0, "multiplies the class embeddings", gt=0)


#: The released scripts, but for epochs: they run 10^6 steps, print test results every 1000, and
#: have no rule to stop.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {
        "hidden": 1200,
        "penalty": 1e-2,
        "lr": 1e-5,
        "batch": 100,
        "distance": "cosine",
        "epochs": 1000,
        "checkpoint_every": 20,
    },
    "SUN": {"epochs": 200, "checkpoint_every": 4},
    "AWA1": {"penalty": 1e-3},
    "AWA2": {"penalty": 1e-3},
    "APY": {"penalty": 1e-4, "epochs": 300, "checkpoint_every": 6},
}


class DEM(RidgeMethod):
    """Class embeddings to features: g(a) = ReLU(W2 ReLU(W1 a + b1) + b2), the nearest g(a_c) wins.

    Minimises the mean over batch and dimensions of (g(a_y) - x)^2 plus penalty / 2 times the
    squares of all weights and biases, by Adam; weights start as normal numbers of deviation 0.1
    cut off at two deviations, biases at 0.1.  Features are taken as they are.  Deviations: the last
    batch of an epoch is left out where it is not full; epochs are fixed (the scripts never stop:
    about 30000 steps here, 70000 on CUB); class embeddings are taken as they are, while
    the scripts of AWA1 and CUB read a file of their own, presumably with attributes from 0 to 100.
    On CUB's ``att`` (unit length) the released penalty leaves all prototypes alike, and at lengths
    of 400 the units that begin below 0 for every class never learn: it is multiplied by 20, where
    the training error falls.
    """

    Config = DEMConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``, or the defaults.

        Where there are none the penalty is the weakest released one: a strong one, weighed against
        the spread of other features, leaves all prototypes alike.
        """
        values = dict(RECIPES.get(dataset.name, {}))
        if (dataset.name, dataset.attributes) == ("CUB", "att"):
            values["attribute_scale"] = 20.0
        return values

    def fit_stack(self, task: Task, runs: list[Run]) -> None:
        """Every few epochs become a checkpoint."""
        config: DEMConfig = self.config
        network = Network(runs, task, config.hidden)
        self.train(
            task,
            runs,
            network.layers,
            lambda picked: dem_error(network(task.labels[picked]), task.features[picked]),
            lambda: lambda run: nearest(network.prototypes(run), config.distance),
            every=config.checkpoint_every,
        )


class Network:
    """Two layers with ReLU behind both, from class ids to prototypes, for all runs of a stack."""

    def __init__(self, runs: Sequence[Run], task: Task, hidden: int) -> None:
        scales = torch.tensor(per_run(runs, "attribute_scale"), device=task.device)
        self.classes = scales[:, None, None] * task.attributes  # [R, C, A]
        widths = (task.attributes.shape[1], hidden, task.features.shape[1])
        how: dict[str, Any] = {"device": task.device, "precision": precision_of(runs)}
        self.layers = [
            Linear(runs, name, inputs, outputs, activation="relu", **how)
            for name, inputs, outputs in zip(
                ("first", "second"), widths[:-1], widths[1:], strict=True
            )
        ]
        with torch.no_grad():
            for name, layer in zip(("first", "second"), self.layers, strict=True):
                layer.bias.fill_(0.1)
                for r, run in enumerate(runs):
                    shape = tuple(layer.weight[r].shape)
                    layer.weight[r].copy_(truncated_normal(shape, 0.1, run, name))

    def __call__(self, labels: torch.Tensor) -> torch.Tensor:
        """Class ids [R, B] -> prototypes [R, B, D]."""
        runs = torch.arange(len(labels), device=labels.device)[:, None]
        first, second = self.layers
        return second(first(self.classes[runs, labels]))

    @torch.no_grad()
    def prototypes(self, run: int) -> torch.Tensor:
        """Prototypes [C, D] of all classes in one run."""
        first, second = (layer.of(run) for layer in self.layers)
        return second(first(self.classes[run : run + 1]))[0]


def dem_error(guess: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Mean over batch and dimensions of the squared error: [R, B, D] -> [R]."""
    return (guess - features).square().mean((1, 2))


def nearest(prototypes: torch.Tensor, distance: Distance) -> Callable[[torch.Tensor], torch.Tensor]:
    """Scores [N, C] of features [N, D]: the cosine, or the negative squared distance."""
    if distance == "euclidean":
        return lambda x: -squared_distances(x, prototypes)
    unit = torch.nn.functional.normalize(prototypes)
    return lambda x: torch.nn.functional.normalize(x) @ unit.T


SPEC = MethodSpec(
    name="dem",
    factory=DEM,
    citation="Zhang et al., Learning a Deep Embedding Model for Zero-Shot Learning, CVPR 2017",
    version="1",
    fidelity="approximation",
    family="Embedding",
    preprocessing="none",
    precisions=("float32", "tf32", "bf16"),
    summary="A network maps class embeddings into the space of features; the nearest one wins.",
)
