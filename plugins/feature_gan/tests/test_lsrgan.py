"""LsrGAN beside plain torch, written after its sheet."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_feature_gan.lsrgan import RECIPES, LsrGAN
from plain_gan import SETTINGS, Plain, beside
from torch.nn import functional as F

LSR = SETTINGS | {
    "seen_epochs": 2, "seen_batch": 6, "classification": 0.4, "halved_at": 2, "centroids": 0.6,
    "unseen_classification": 0.7, "similarity": 2.0, "neighbours": 3, "band": 0.02,
}  # fmt: skip


class PlainLsrGAN(Plain):
    noises = 2

    def prepare(self):
        task, config = self.task, self.config
        self.joint = self.linear("init/joint", 6, task.num_classes)
        self.of_joint = self.adam(self.joint, config.classifier_lr)
        *_, _ = self.classify(
            "seen", task.features, task.labels, task.num_classes, config.seen_batch,
            config.classifier_lr, config.seen_epochs, self.joint, self.of_joint,
        )  # fmt: skip
        self.of_generator = self.adam(self.generator, config.lr)
        self.centroids = {c: task.features[task.labels == c].mean(0) for c in task.seen.tolist()}
        self.epoch = 1

    def optimizers(self):
        return [self.of_generator]

    def weight(self):
        return self.config.classification / (2 if self.epoch > self.config.halved_at else 1)

    def nll(self, x, y):
        return F.nll_loss(F.log_softmax(self.joint(x), 1), y)

    def similar(self, fake, labels):
        if self.config.sr_loss == "off":
            return 0.0
        total = 0.0
        for c in labels.unique().tolist():
            mean, wanted = fake[labels == c].mean(0), {}
            for s in self.centroids:
                wanted[s] = F.cosine_similarity(self.attributes[c], self.attributes[s], dim=0)
            near = sorted(wanted, key=wanted.get)[-self.config.neighbours :]
            for s in near:
                found = F.cosine_similarity(mean, self.centroids[s], dim=0)
                above = F.relu(found - (wanted[s] + self.config.band))
                below = F.relu(wanted[s] - self.config.band - found)
                total = total + (above**2 + below**2) / len(near)
        return self.config.similarity * total

    def loss(self, real, attributes, labels, noises):
        fake = self.make(noises[0], attributes)
        self.last = real, labels, noises[1]
        far = sum(
            (fake[labels == c].mean(0) - self.centroids[c]).norm() for c in labels.unique().tolist()
        ) / len(self.centroids)
        return (
            -self.score(fake, attributes) + self.weight() * self.nll(fake, labels)
            + self.config.centroids * far + self.similar(fake, labels)
        )  # fmt: skip

    def after_step(self):
        if self.epoch == 1:
            return
        real, labels, noise = self.last
        chosen = self.task.unseen[self.unseen.pop(0)]
        if not self.config.recalled:
            self.of_generator.zero_grad()
        self.of_joint.zero_grad()  # of the seen step
        fake = self.make(noise, self.attributes[chosen])
        (
            self.config.unseen_classification * self.nll(fake, chosen)
            + self.weight() * self.nll(real, labels) + self.similar(fake, chosen)
        ).backward()  # fmt: skip
        self.of_generator.step()
        self.of_joint.step()

    def begin_epoch(self, epoch, steps):
        self.epoch = epoch
        drawn = torch.randint(2, (steps, self.config.batch), generator=self.stream("unseen"))
        self.unseen = list(drawn)

    def evaluate(self, epoch, test):
        with torch.no_grad():
            return {epoch: self.joint(test)}


@pytest.mark.parametrize("more", [{}, {"sr_loss": "grad", "recalled": False}])
def test_it_is_the_released_loop(task, more):
    beside(task, LsrGAN, PlainLsrGAN, LSR | more, (2, 3))


def test_the_final_softmax_may_be_f_clswgans(task):
    class Softmax(PlainLsrGAN):
        evaluate = Plain.evaluate

    beside(task, LsrGAN, Softmax, LSR | {"classifier": "softmax"})


def test_the_released_values():
    assert LsrGAN.Config(**RECIPES["AWA1"]).halved_at == 15
    assert LsrGAN.Config(**RECIPES["SUN"]).similarity == 10.0
