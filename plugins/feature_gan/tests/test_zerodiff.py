"""ZeroDiff beside plain torch, written after its sheet."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from gzsl_bench_feature_gan.zerodiff import ZeroDiff
from plain_gan import VAEGAN, PlainVAEGAN, beside, train
from torch import nn
from torch.nn import functional as F

from gzsl_bench.stacked import Diffusion
from gzsl_bench.stacked.draws import subset_block

SETTINGS = VAEGAN | {
    "diffusion_steps": 3, "time_width": 5, "vae": 0.6, "distillation": 0.7, "decoded": 0.8,
    "decoder_lr": 0.02, "penalty": 10.0, "gamma": 2.0,
}  # fmt: skip


class Schedule:
    """The released functions, number by number."""

    def __init__(self, T):
        times = [i / T * (1 - 1e-3) + 1e-3 for i in range(T + 1)]
        bars = [math.exp(2 * (-(t**2) * (20 - 0.1) / 4 - t * 0.1 / 2)) for t in times]
        self.betas = [1e-8] + [1 - b / a for a, b in zip(bars[:-1], bars[1:], strict=True)]
        self.clean = [
            math.prod(math.sqrt(1 - b) for b in self.betas[: i + 1]) for i in range(T + 1)
        ]
        self.after = [math.prod(1 - b for b in self.betas[1 : i + 2]) for i in range(T)]

    def pair(self, x, t, e1, e2):
        less, further = [], []
        for row, i, a, b in zip(x, t.tolist(), e1, e2, strict=True):
            less.append(self.clean[i] * row + math.sqrt(1 - self.clean[i] ** 2) * a)
            beta = self.betas[i + 1]
            further.append(math.sqrt(1 - beta) * less[-1] + math.sqrt(beta) * b)
        return torch.stack(less), torch.stack(further)

    def back(self, x, noisy, t, noise):
        rows = []
        for x0, xt, i, e in zip(x, noisy, t.tolist(), noise, strict=True):
            beta, now = self.betas[i + 1], self.after[i]
            before = self.after[i - 1] if i else 1.0
            mean = beta * math.sqrt(before) / (1 - now) * x0
            mean = mean + (1 - before) * math.sqrt(1 - beta) / (1 - now) * xt
            variance = max(beta * (1 - before) / (1 - now), 1e-20)
            rows.append(mean + (math.sqrt(variance) * e if i else 0.0))
        return torch.stack(rows)


class PlainZeroDiff(PlainVAEGAN):
    def prepare(self):
        super().prepare()
        lin = self.linear
        self.schedule = Schedule(3)
        self.second = self.task.second if self.config.second else None
        extra = 0 if self.second is None else 5
        self.generator = nn.Sequential(
            lin("init/generator/hidden", 3 + 4 + 6 + 5 + extra, 11), nn.LeakyReLU(0.2),
            lin("init/generator/output", 11, 6), nn.Sigmoid(),
        )  # fmt: skip
        self.noisy_critic = nn.Sequential(
            lin("init/noisy_critic/hidden", 6 + 6 + 4 + 5 + extra, 12), nn.LeakyReLU(0.2),
            lin("init/noisy_critic/output", 12, 1),
        )  # fmt: skip
        self.time, self.critic_time = (
            nn.Sequential(self.xavier(f"{name}/first"), nn.SiLU(), self.xavier(f"{name}/second"))
            for name in ("time", "noisy_critic/time")
        )
        self.decoder_hidden = nn.Sequential(lin("init/decoder/hidden", 6, 11), nn.LeakyReLU(0.2))
        self.decoder_output = lin("init/decoder/output", 11, 4)
        if extra:
            self.seen, self.critic_seen = (
                nn.Sequential(
                    lin(f"init/{name}/first", 7, 5), nn.SiLU(), lin(f"init/{name}/last", 5, 5)
                )
                for name in ("second", "noisy_critic/second")
            )
            self.second_critic = nn.Sequential(
                lin("init/second_critic/hidden", 6 + 5, 12), nn.LeakyReLU(0.2),
                lin("init/second_critic/output", 12, 1),
            )  # fmt: skip
            self.train_second()

    def xavier(self, name):
        return self.linear(f"init/{name}", 5, 5)

    def decode(self, x):
        return F.normalize(self.decoder_output(self.decoder_hidden(x)), dim=1)

    def error(self, x, a):
        off = (self.decode(x) - a).abs()
        weights = off**2 / (off**2).sum(1, keepdim=True).sqrt()
        return (weights * off).sum() / len(x)

    def waves(self, t):
        rates = torch.tensor([1.0, 0.01], dtype=torch.float64)  # 10000 to the power of -i / 2
        angles = t[:, None].double() * rates
        return torch.cat([angles.sin(), angles.cos(), torch.zeros(len(t), 1).double()], 1)

    def guess(self, z, a, further, t, r=None):
        more = [] if r is None else [self.seen(r)]
        return self.generator(torch.cat([z, a, further, self.time(self.waves(t)), *more], 1))

    def train_second(self):
        """The generator of the second set, from noise and by two critics alone."""

        def lin(name, *shape):
            return self.linear(f"second/init/{name}", *shape)

        def mlp(name, inputs, hidden, outputs, *last):
            layers = lin(f"{name}/hidden", inputs, hidden), nn.LeakyReLU(0.2)
            return nn.Sequential(*layers, lin(f"{name}/output", hidden, outputs), *last)

        self.maker = mlp("generator", 3 + 4 + 7 + 5, 11, 7, nn.Sigmoid())
        clean, noisy = mlp("critic", 7 + 4, 12, 1), mlp("noisy_critic", 7 + 7 + 4 + 5, 12, 1)
        self.maker_time, critic_time = (
            nn.Sequential(lin(f"{name}/first", 5, 5), nn.SiLU(), lin(f"{name}/second", 5, 5))
            for name in ("time", "noisy_critic/time")
        )
        of_critics = self.adam(nn.ModuleList([clean, noisy, critic_time]), 0.01)
        of_maker = self.adam(nn.ModuleList([self.maker, self.maker_time]), 0.01)
        self.second_curve = {}
        for epoch in (1, 2, 3):
            picked = subset_block(29, 8, 8, self.stream("second/batches")).view(4, 2, 8)
            z = torch.randn(4, 3, 8, 3, generator=self.stream("second/noise")).double()
            names = ("interpolation", "diffusion/interpolation")
            mixes = [
                torch.rand(4, 2, 8, 1, generator=self.stream(f"second/{name}")).double()
                for name in names
            ]
            times = torch.randint(3, (4, 3, 8), generator=self.stream("second/diffusion/times"))
            source = self.stream("second/diffusion/noise")
            noise = torch.randn(4, 3, 3, 8, 7, generator=source).double()
            total = 0.0
            for s in range(4):
                for n in range(3):
                    rows, t, e = picked[s, min(n, 1)], times[s, n], noise[s, n]
                    r, a = self.second[rows], self.attributes[self.task.labels[rows]]
                    less, further = self.schedule.pair(r, t, e[0], e[1])
                    shown = torch.cat([z[s, n], a, less, self.maker_time(self.waves(t))], 1)
                    fake = self.maker(shown)
                    fake_less = self.schedule.back(fake, further, t, e[2])
                    given = torch.cat([further, a, critic_time(self.waves(t))], 1)
                    of_critics.zero_grad()
                    of_maker.zero_grad()
                    if n == 2:
                        judged = clean(torch.cat([fake, a], 1))
                        judged = judged + noisy(torch.cat([fake_less, given], 1))
                        total -= judged.mean().item() / 4
                        (-judged.mean()).backward()
                        of_maker.step()
                        break
                    one, p1 = self.wgan(clean, r, fake.detach(), a, mixes[0][s, n])
                    two, p2 = self.wgan(noisy, less, fake_less.detach(), given, mixes[1][s, n])
                    (-one.mean() - two.mean() + 10.0 * (p1 + p2)).backward()
                    of_critics.step()
            self.second_curve[epoch] = total

    def synthesise(self, noise, attributes):
        raise NotImplementedError

    def evaluate(self, epoch, test):
        task, config, stream = self.task, self.config, self.stream(f"synthetic/{epoch}")
        made = task.unseen.repeat_interleave(7)
        a = self.attributes[made]
        with torch.no_grad():
            noisy, r = torch.randn(14, 6, generator=stream).double(), None
            if self.second is not None:
                r, t = torch.randn(14, 7, generator=stream).double(), torch.full((14,), 2)
                of_noise = torch.randn(14, 3, generator=stream).double()
                torch.randn(14, 7, generator=stream)  # of a step back that nobody takes
                waves = self.maker_time(self.waves(t))
                r = self.maker(torch.cat([of_noise, a, r, waves], 1))
            z = torch.randn(14, 3, generator=stream).double()  # one for all steps
            for step in [2, 1, 0] if config.progressive else [2]:
                t = torch.full((14,), step)
                x = self.guess(z, a, noisy, t, r)
                again = torch.randn(14, 6, generator=stream).double()
                noisy = self.schedule.back(x, noisy, t, again)
            x = noisy if config.progressive else x
            rows, test = self.refine(torch.cat([task.features, x])), self.refine(test)
        models = self.classify(
            f"classifier/{epoch}", rows, torch.cat([task.labels, made]), 6, 5, 0.02, 2
        )
        return {2 * epoch - 2 + k: model(test).detach() for k, model in enumerate(models, 1)}

    def refine(self, x):
        if self.config.classifier_input == "V":
            return x
        return torch.cat([x, self.decoder_hidden(x), self.decode(x)], 1)

    def wgan(self, critic, real, fake, given, u):
        between = (u * real + (1 - u) * fake).requires_grad_()
        score = critic(torch.cat([between, given.detach()], 1))
        (slope,) = torch.autograd.grad(score.sum(), between, create_graph=True)
        apart = critic(torch.cat([real, given], 1)) - critic(torch.cat([fake, given], 1))
        return apart[:, 0], ((slope.norm(2, dim=1) - 1) ** 2).mean()

    def train(self, test):
        task = self.task
        self.prepare()
        critics = nn.ModuleList([self.critic, self.noisy_critic, self.critic_time])
        of_second = self.second is not None
        makers = nn.ModuleList([self.generator, self.time])
        if of_second:
            critics.extend([self.second_critic, self.critic_seen])
            makers.append(self.seen)
        decoder = nn.ModuleList([self.decoder_hidden, self.decoder_output])
        of_critics, of_decoder = self.adam(critics, 0.01), self.adam(decoder, 0.02)
        of_maker = self.adam(makers, 0.01)
        of_encoder = self.adam(self.encoder, 0.01, 0.9)
        every = [of_critics, of_decoder, of_maker, of_encoder]

        def step(loss, *adams):
            for adam in every:
                adam.zero_grad()
            loss.backward()
            for adam in adams:
                adam.step()
            return loss.item()

        weight, scores, curves = 10.0, {}, {"critic/loss": {}, "generator/loss": {}}
        curves |= {"decoder/loss": {}}
        for epoch in (1, 2, 3):
            picked = subset_block(29, 8, 8, self.stream("batches")).view(4, 2, 8)
            z = torch.randn(4, 3, 8, 3, generator=self.stream("noise")).double()
            mix, other = (
                torch.rand(4, 2, 8, 1, generator=self.stream(name)).double()
                for name in ("interpolation", "diffusion/interpolation")
            )
            third = self.stream("diffusion/interpolation/second")
            third = torch.rand(4, 2, 8, 1, generator=third).double()
            times = torch.randint(3, (4, 3, 8), generator=self.stream("diffusion/times"))
            noise = torch.randn(4, 3, 3, 8, 6, generator=self.stream("diffusion/noise")).double()
            sums = dict.fromkeys(curves, 0.0)
            for s in range(4):
                penalties = 0.0
                for n in range(3):
                    rows = picked[s, min(n, 1)]
                    x, a, t = task.features[rows], self.attributes[task.labels[rows]], times[s, n]
                    less, further = self.schedule.pair(x, t, noise[s, n, 0], noise[s, n, 1])
                    mean, log_var = self.encode(x, a)
                    code = mean + z[s, n] * torch.exp(0.5 * log_var)
                    r = self.second[rows] if of_second else None
                    found = self.guess(code, a, further, t, r)
                    found_less = self.schedule.back(found, further, t, noise[s, n, 2])
                    more = [self.critic_seen(r)] if of_second else []
                    given = torch.cat([further, a, self.critic_time(self.waves(t)), *more], 1)
                    if n == 2:
                        break
                    sums["decoder/loss"] += step(self.error(x, a), of_decoder) / 8
                    one, p1 = self.wgan(self.critic, x, found.detach(), a, mix[s, n])
                    two, p2 = self.wgan(
                        self.noisy_critic, less, found_less.detach(), given, other[s, n]
                    )
                    factor = torch.tensor(
                        [self.schedule.clean[i] ** 1.5 for i in t.tolist()], dtype=torch.float64
                    )
                    apart = (one - two.detach()) ** 2 + (two - one.detach()) ** 2
                    apart = factor * apart
                    wanted, p = -one.mean() - two.mean(), p1 + p2
                    if of_second:
                        three, p3 = self.wgan(
                            self.second_critic, x, found.detach(), more[0], third[s, n]
                        )
                        wanted, p = wanted - three.mean(), p + p3
                        with_noisy = (two - three.detach()) ** 2 + (three - two.detach()) ** 2
                        with_clean = (one - three.detach()) ** 2 + (three - one.detach()) ** 2
                        apart = apart + factor * with_noisy + with_clean
                    loss = 2.0 * (wanted + weight * p) + 0.7 * apart.mean()
                    penalties += p.item() / 2  # of all critics together
                    sums["critic/loss"] += step(loss, of_critics) / 8
                if penalties > 1.05:
                    weight *= 1.1
                elif penalties < 1.001:
                    weight /= 1.1
                bce = F.binary_cross_entropy(found, x, reduction="sum") / 8
                kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / 8
                judged = self.score(found, a)
                judged = judged + self.noisy_critic(torch.cat([found_less, given], 1)).mean()
                if of_second:
                    judged = judged + self.second_critic(torch.cat([found, *more], 1)).mean()
                loss = 0.6 * (bce + kl) - 2.0 * judged + 0.8 * self.error(found, a)
                sums["generator/loss"] += step(loss, of_maker, of_encoder) / 4
            for name, value in sums.items():
                curves[name][epoch] = value
            if epoch > 1:
                scores.update(self.evaluate(epoch, test))
        if of_second:
            curves["second/generator/loss"] = self.second_curve
        return scores, curves


@pytest.mark.parametrize("more", [{}, {"progressive": True, "classifier_input": "VS"}])
def test_it_is_the_sheet_in_plain_torch(task, more):
    beside(task, ZeroDiff, PlainZeroDiff, SETTINGS | more)


@pytest.mark.parametrize("more", [{}, {"progressive": True, "classifier_input": "VS"}])
def test_a_second_set_conditions_generator_and_critics(task, more):
    second = torch.rand(29, 7, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    both = replace(task, second=second)
    beside(both, ZeroDiff, PlainZeroDiff, SETTINGS | more)
    if not more:  # one set alone is the option that it falls back to
        test = torch.rand(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        (one,) = train(both, [3], test, ZeroDiff, **SETTINGS, second=False)
        (other,) = train(task, [3], test, ZeroDiff, **SETTINGS)
        assert all(one.scores[n].equal(other.scores[n]) for n in other.scores)


def test_a_step_back_from_the_truth_has_the_law_of_a_step_less():
    # q(x_t | x_0) is what comes of x_{t+1} ~ q and the posterior: same mean, same variance.
    diffusion = Diffusion(4, (0.1, 20.0), torch.zeros(1, dtype=torch.float64))
    source = torch.Generator().manual_seed(0)
    x = torch.full((1, 20000, 1), 0.7, dtype=torch.float64)
    for step in range(4):
        index = torch.full((1, 20000), step)
        a, b, c = torch.randn(3, 1, 20000, 1, generator=source, dtype=torch.float64)
        less, further = diffusion.pair(x, index, a, b)
        again = diffusion.back(x, further, index, c)
        assert again.mean().item() == pytest.approx(less.mean().item(), abs=0.02)
        assert again.std().item() == pytest.approx(less.std().item(), abs=0.02)
