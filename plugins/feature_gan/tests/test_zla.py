"""ZLA beside plain torch, written after its sheet."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_feature_gan.adjusted import log_priors
from gzsl_bench_feature_gan.zla import ZLA
from plain_gan import SETTINGS, Plain, beside
from torch import nn
from torch.nn import functional as F

from gzsl_bench import DatasetInfo

ZERO = SETTINGS | {
    "prototype_hidden": 7, "temperature": 0.3, "ratio": 9.0, "classifier_epochs": 3,
    "halved_after": 2, "weight_decay": 0.05, "samples": 3, "classifier_batch": 8,
}  # fmt: skip


class PlainZLA(Plain):
    def prepare(self):
        pass

    def optimizers(self):
        return [self.adam(self.generator, self.config.lr)]

    def fake(self, real, attributes, noise):
        self.last = noise
        return super().fake(real, attributes, noise)

    def loss(self, real, attributes, labels, noises):
        noise = self.last if self.config.reused_noise else noises[0]
        return -self.score(self.make(noise, attributes), attributes)

    def evaluate(self, epoch, test):
        task, config, name = self.task, self.config, f"classifier/{epoch}"
        made = task.unseen.repeat_interleave(3)
        z = torch.randn(6, config.noise, generator=self.stream(f"synthetic/{epoch}")).double()
        with torch.no_grad():
            rows = torch.cat([task.features, self.make(z, self.attributes[made])])
        labels = torch.cat([task.labels, made])
        prototypes = nn.Sequential(
            self.linear(f"init/{name}/hidden", 4, 7), nn.LeakyReLU(0.2),
            self.linear(f"init/{name}/output", 7, 6),
        )  # fmt: skip
        adam = torch.optim.Adam(
            prototypes.parameters(), 0.02, (0.5, config.beta2), weight_decay=0.05
        )
        prior = torch.zeros(6, dtype=torch.float64)
        for c in range(6):
            share = (task.labels == c).double().mean().item()
            prior[c] = math.log(share * 9 / 10) if share else math.log(1 / 2 / 10)
        left, scores = torch.empty(0, dtype=torch.int64), {}
        for k in (1, 2, 3):
            for _ in range(5):  # 35 rows in batches of 8
                while len(left) < 8:
                    again = torch.randperm(35, generator=self.stream(f"{name}/shuffle"))
                    left = torch.cat([left, again])
                picked, left = left[:8], left[8:]
                guess = prototypes(self.attributes)
                cosine = F.cosine_similarity(rows[picked][:, None], guess[None], dim=2)
                adam.zero_grad()
                F.cross_entropy(cosine / 0.3 + prior, labels[picked]).backward()
                adam.step()
            if k == 2:
                adam.param_groups[0]["lr"] = 0.01
            with torch.no_grad():
                guess = prototypes(self.attributes)
                scores[3 * epoch - 3 + k] = F.cosine_similarity(test[:, None], guess, dim=2)
        return scores


@pytest.mark.parametrize("reused", [True, False])
def test_it_is_the_sheet_in_plain_torch(task, reused):
    beside(task, ZLA, PlainZLA, ZERO | {"reused_noise": reused}, range(4, 10))


def test_priors_are_a_distribution(task):
    priors = log_priors(task, torch.tensor([3.0, 30.0], dtype=torch.float64)).exp()
    torch.testing.assert_close(priors.sum(1), torch.ones(2, dtype=torch.float64))
    unseen = priors[:, task.unseen].sum(1)
    torch.testing.assert_close(unseen, torch.tensor([1 / 4, 1 / 31], dtype=torch.float64))


def test_the_ratio_is_that_of_data_set_and_embedding():
    assert ZLA.defaults(DatasetInfo("CUB", "res101", "att")) == {"ratio": 45.0}
    assert ZLA.defaults(DatasetInfo("CUB", "res101", "sentences")) == {}
    assert ZLA.defaults(DatasetInfo("AWA2", "res101", "att")) == {"ratio": 1000.0}
