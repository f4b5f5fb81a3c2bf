"""LisGAN beside plain torch, written after its sheet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from gzsl_bench_feature_gan.lisgan import LisGAN, soul_samples
from gzsl_bench_feature_gan.lisgan_cascade import LisGANCascade
from plain_gan import CLSWGAN, PlainCLSWGAN, beside
from scipy.stats import entropy
from sklearn.cluster import KMeans

from gzsl_bench import Task

SETTINGS = CLSWGAN | {"sample_souls": 0.3, "class_souls": 0.2, "class_samples": 5}


class PlainLisGAN(PlainCLSWGAN):
    noises = 4  # 1 for the batch, 20 rows of 8 for the class means

    def prepare(self):
        super().prepare()
        self.souls = {}
        for label in self.task.seen.tolist():
            rows = self.task.features[self.task.labels == label].numpy()
            model = KMeans(n_clusters=3, random_state=3, n_init=10).fit(rows)
            self.souls[label] = [
                torch.from_numpy(np.mean(rows[model.labels_ == k], 0)) for k in range(3)
            ]

    def loss(self, real, attributes, labels, noises):
        total = super().loss(real, attributes, labels, noises)
        fake = self.make(noises[0], attributes)
        distances = [
            min(((x - soul) ** 2).sum() for soul in self.souls[label])
            for x, label in zip(fake, labels.tolist(), strict=True)
        ]
        total = total + self.config.sample_souls * sum(distances) / len(distances)
        rest, of_classes = noises[1:].reshape(-1, noises.shape[-1]), 0.0
        for place, label in enumerate(self.task.seen.tolist()):
            z = rest[5 * place : 5 * place + 5]
            mean = self.make(z, self.attributes[label].expand(5, -1)).mean(0)
            of_classes = of_classes + min(((mean - s) ** 2).sum() for s in self.souls[label])
        return total + self.config.class_souls * of_classes / len(self.souls)


class PlainCascade(PlainLisGAN):
    def evaluate(self, epoch, test):
        task, config = self.task, self.config
        made = task.unseen.repeat_interleave(config.samples)
        z = torch.randn(
            len(made), config.noise, generator=self.stream(f"synthetic/{epoch}")
        ).double()
        with torch.no_grad():
            rows = torch.cat([task.features, self.make(z, self.attributes[made])])
        labels = torch.cat([task.labels, made])
        *_, model = self.classify(f"classifier/{epoch}", rows, labels, 6, 5, 0.02, 2)

        def logs(x):
            return model(x).detach().log_softmax(1)

        found = logs(task.unlabelled)
        sure = entropy(found.numpy(), axis=1)
        best = np.argsort(-sure)[: int(0.5 * len(sure))]
        rows = torch.cat([rows, task.unlabelled[best]])
        labels = torch.cat([labels, found[best].argmax(1)])
        first = logs(test)
        keep = torch.from_numpy(entropy(first.numpy(), axis=1) >= sure[best].min())
        *_, model = self.classify(f"cascade/{epoch}", rows, labels, 6, 5, 0.02, 3, model)
        assert keep.any()
        assert not keep.all()
        return {epoch: torch.where(keep[:, None], first, logs(test))}


def test_the_cascade_is_the_released_second_stage(task):
    test = torch.rand(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    more = torch.rand(6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    both = replace(task, unlabelled=torch.cat([more, test]))
    settings = SETTINGS | {"ratio": 0.5, "second_epochs": 3}
    beside(both, LisGANCascade, PlainCascade, settings, (2, 3))


def test_it_is_the_released_loop(task):
    beside(task, LisGAN, PlainLisGAN, SETTINGS)


def test_a_class_of_two_rows_has_one_of_its_souls_twice():
    rows = torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0], [6.0, 5.0], [5.0, 6.0], [9.0, 9.0]])
    labels, seen = torch.tensor([0, 0, 2, 2, 2, 2]), torch.tensor([0, 2])
    souls = soul_samples(Task(rows, labels, torch.eye(3), seen, torch.tensor([1])))
    assert souls.shape == (2, 3, 2)
    assert {tuple(soul) for soul in souls[0].tolist()} == {(0.0, 0.0), (1.0, 1.0)}
    assert torch.equal(souls[0, 1], souls[0, 2])
