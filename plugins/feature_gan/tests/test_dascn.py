"""DASCN beside plain torch, written after its sheet."""

from __future__ import annotations

import math

import torch
from gzsl_bench_feature_gan.dascn import DASCN
from plain_gan import CLSWGAN, PlainCLSWGAN, beside
from torch import nn
from torch.nn import functional as F

from gzsl_bench.stacked.draws import subset_block

SETTINGS = CLSWGAN | {
    "dual_hidden": 9, "dual_critic_hidden": 10, "dual": 0.7, "visual": 0.5, "semantic": 0.3,
}  # fmt: skip


def wgan(critic, real, fakes, given, mixes, factor):
    """What a critic of two kinds of fakes minimises."""
    loss = -critic(torch.cat([real, given], 1)).mean()
    for fake, u in zip(fakes, mixes, strict=True):
        between = (u * real + (1 - u) * fake).requires_grad_()
        score = critic(torch.cat([between, given], 1))
        (slope,) = torch.autograd.grad(score.sum(), between, create_graph=True)
        penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
        loss = loss + (critic(torch.cat([fake, given], 1)).mean() + factor * penalty) / 2
    return loss


class PlainDASCN(PlainCLSWGAN):
    def train(self, test):
        task, config = self.task, self.config
        self.prepare()
        self.dual = nn.Sequential(
            self.linear("init/dual/hidden", 6, 9), nn.LeakyReLU(0.2),
            self.linear("init/dual/output", 9, 4),
        )  # fmt: skip
        self.dual_critic = nn.Sequential(
            self.linear("init/dual/critic/hidden", 4, 10), nn.LeakyReLU(0.2),
            self.linear("init/dual/critic/output", 10, 1),
        )  # fmt: skip
        adams = {
            module: self.adam(module, config.lr)
            for module in (self.critic, self.dual_critic, self.generator, self.dual)
        }
        centres = {c: task.features[task.labels == c].mean(0) for c in task.seen.tolist()}

        def step(module, loss):
            adams[module].zero_grad()
            loss.backward()
            adams[module].step()
            return loss.item()

        def cycle(a, z, again):
            x1 = self.make(z, a)
            a1 = self.dual(x1)
            return x1, a1, self.make(again, a1)

        rows, batch, turns = len(task.labels), config.batch, config.critic_steps
        steps, scores, curves = math.ceil(rows / batch), {}, {"critic/loss": {}, "dual/loss": {}}
        curves |= {"dual_critic/loss": {}, "generator/loss": {}}
        for epoch in range(1, config.epochs + 1):
            picked = subset_block(rows, batch, steps * turns, self.stream("batches"))
            picked = picked.view(steps, turns, batch)
            noise = torch.randn(
                steps, 2 * turns + 2, batch, config.noise, generator=self.stream("noise")
            ).double()
            mix, other = (
                torch.rand(steps, n * turns, batch, 1, generator=self.stream(name)).double()
                for n, name in ((1, "interpolation"), (3, "dual/interpolation"))
            )
            sums = dict.fromkeys(curves, 0.0)
            for s in range(steps):
                for t in range(turns):
                    real, labels = task.features[picked[s, t]], task.labels[picked[s, t]]
                    a = self.attributes[labels]
                    x1, _, x2 = cycle(a, noise[s, t], noise[s, turns + t])
                    fakes, mixes = (x1.detach(), x2.detach()), (mix[s, t], other[s, t])
                    loss = wgan(self.critic, real, fakes, a, mixes, config.penalty)
                    sums["critic/loss"] += step(self.critic, loss) / turns / steps
                for t in range(turns):
                    real, labels = task.features[picked[s, t]], task.labels[picked[s, t]]
                    a = self.attributes[labels]
                    fakes = self.dual(self.make(noise[s, t], a)).detach(), self.dual(real).detach()
                    mixes = other[s, turns + t], other[s, 2 * turns + t]
                    loss = wgan(self.dual_critic, a, fakes, a[:, :0], mixes, config.penalty)
                    sums["dual_critic/loss"] += step(self.dual_critic, loss) / turns / steps
                x1, a1, x2 = cycle(a, noise[s, -2], noise[s, -1])
                loss = -self.score(x1, a) - self.score(x2, a)
                loss = loss - config.dual * self.dual_critic(a1).mean()
                loss = loss + config.semantic * F.mse_loss(a1, a)
                present = labels.unique().tolist()
                for x in (x1, x2):
                    nll = F.nll_loss(
                        F.log_softmax(self.seen(x), 1), torch.searchsorted(task.seen, labels)
                    )
                    far = sum(((x[labels == c].mean(0) - centres[c]) ** 2).sum() for c in present)
                    loss = loss + config.classification * nll / 2
                    loss = loss + config.visual * far / len(present) / 2
                sums["generator/loss"] += step(self.generator, loss) / steps
                a1 = self.dual(self.make(noise[s, -2], a).detach())
                loss = -(self.dual_critic(a1).mean() + self.dual_critic(self.dual(real)).mean()) / 2
                loss = loss + config.semantic * F.mse_loss(a1, a)
                sums["dual/loss"] += step(self.dual, loss) / steps
            for name, value in sums.items():
                curves[name][epoch] = value
            if epoch % config.evaluate_every == 0 or epoch == config.epochs:
                scores.update(self.evaluate(epoch, test))
        return scores, curves


def test_it_is_the_sheet_in_plain_torch(task):
    beside(task, DASCN, PlainDASCN, SETTINGS)
