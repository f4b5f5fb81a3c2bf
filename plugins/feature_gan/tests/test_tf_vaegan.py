"""TF-VAEGAN beside a loop in plain torch, written after the sheet, on the same random numbers."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_feature_gan import tf_vaegan
from gzsl_bench_feature_gan.adaptive import AdaptivePenalty
from gzsl_bench_feature_gan.tf_vaegan import TFVAEGAN, TFVAEGANConfig
from plain_gan import VAEGAN, PlainVAEGAN, beside, train
from torch import nn

SETTINGS = VAEGAN | {
    "decoded": 0.6,
    "decoder_lr": 0.02,
    "feedback": 0.7,
    "feedback_lr": 0.03,
    "synthesis_feedback": 0.4,
}


class PlainTFVAEGAN(PlainVAEGAN):
    passes = ("", "feedback/")

    def prepare(self):
        super().prepare()
        width, classes = self.task.features.shape[1], self.attributes.shape[1]
        units, lr = self.config.generator_hidden, self.config.decoder_lr
        self.decoder_hidden = nn.Sequential(
            self.linear("init/decoder/hidden", width, units), nn.LeakyReLU(0.2)
        )
        self.decoder_output = self.linear("init/decoder/output", units, classes)
        self.feedback = nn.Sequential(
            self.linear("init/feedback/first", units, units),
            nn.LeakyReLU(0.2),
            self.linear("init/feedback/second", units, units),
            nn.LeakyReLU(0.2),
        )
        self.decoder = nn.ModuleList([self.decoder_hidden, self.decoder_output])
        self.of_decoder = self.adam(self.decoder, lr)
        self.of_feedback = self.adam(self.feedback, self.config.feedback_lr)

    def optimizers(self):
        return [*super().optimizers(), self.of_decoder, self.of_feedback]

    def stepping(self, optimizers):
        left_out = [] if self.now else [self.of_feedback]
        if self.config.freeze_decoder:
            left_out.append(self.of_decoder)
        return [one for one in optimizers if all(one is not other for other in left_out)]

    def decode(self, features):
        found = self.decoder_output(self.decoder_hidden(features))
        return found / found.pow(2).sum(1).sqrt().unsqueeze(1)

    def error(self, features, attributes):
        found = self.decode(features)
        weights = (found - attributes).pow(2)
        weights = weights / weights.sum(1).sqrt().unsqueeze(1)
        return (weights * (found - attributes).abs()).sum() / len(found)

    def fed(self, noise, attributes, about, weight):
        told = self.feedback(self.decoder_hidden(about).detach())
        first, leaky, *rest = self.generator
        hidden = leaky(first(torch.cat([noise, attributes], 1))) + weight * told
        return nn.Sequential(*rest)(hidden)

    def make(self, noise, attributes):
        made = super().make(noise, attributes)
        if not self.now:
            return made
        return self.fed(noise, attributes, made, self.config.feedback)

    def from_noise(self, noise, attributes, reconstruction):
        if not self.now:
            return super().make(noise, attributes)
        return self.fed(noise, attributes, reconstruction, self.config.feedback)

    def synthesise(self, noise, attributes):
        made = PlainVAEGAN.make(self, noise, attributes)
        return self.fed(noise, attributes, made, self.config.synthesis_feedback)

    def refine(self, features):
        with torch.no_grad():
            return torch.cat([features, self.decode(features), self.decoder_hidden(features)], 1)

    def before_critic(self, real, attributes, labels):
        self.of_decoder.zero_grad()
        (self.config.decoded * self.error(real, attributes)).backward()
        self.of_decoder.step()
        return 0.0

    def after_critic(self, penalty):
        if self.config.adaptive_penalty and penalty > 1.05:
            self.penalty_weight *= 1.1
        elif self.config.adaptive_penalty and penalty < 1.001:
            self.penalty_weight /= 1.1

    def of_generated(self, generated, attributes):
        return self.config.decoded * self.error(generated, attributes)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"encoded_noise": False},
        {"freeze_decoder": True, "adaptive_penalty": False, "encoded_noise": False},
    ],
)
def test_it_is_the_released_loop(task, settings):
    beside(task, TFVAEGAN, PlainTFVAEGAN, SETTINGS | settings)


def test_latents_are_what_the_classifier_sees(task):
    (sink,) = train(task, (3,), task.features, TFVAEGAN, **SETTINGS)
    made = sink.latents[3]
    assert made.shape == (3, 6 + 4 + 11)
    torch.testing.assert_close(made[:, 6:10].norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert torch.equal(made, sink.latents[4])
    assert not torch.equal(made, sink.latents[5])


def test_the_penalty_s_weight_follows_its_mean():
    penalty = AdaptivePenalty(torch.tensor([10.0, 10.0, 10.0]))
    for seen in ([1.2, 1.02, 0.5], [1.0, 1.02, 1.4]):
        penalty.seen(torch.tensor(seen))
    penalty.adapt(2)
    torch.testing.assert_close(penalty.weight, torch.tensor([11.0, 10.0, 10 / 1.1]))
    penalty.adapt(1)  # the means begin anew
    assert (penalty.weight < torch.tensor([10.5, 9.5, 9.0])).all()


def test_defaults_are_the_released_values():
    configs = {name: TFVAEGANConfig(**values) for name, values in tf_vaegan.RECIPES.items()}
    assert configs["CUB"] == TFVAEGANConfig()
    fields = ("gamma", "lr", "feedback_lr", "decoder_lr", "decoded", "feedback")
    fields += ("synthesis_feedback", "epochs", "samples", "classifier_lr")
    for name, wanted in {
        "CUB": (10, 1e-4, 1e-5, 1e-4, 0.01, 1, 1, 300, 300, 1e-3),
        "AWA2": (10, 1e-5, 1e-4, 1e-4, 0.1, 0.01, 0.01, 120, 1800, 1e-3),
        "SUN": (1, 1e-3, 1e-4, 1e-4, 0.01, 0.1, 0.01, 400, 400, 5e-4),
        "FLO": (10, 1e-4, 1e-5, 1e-4, 0.01, 0.5, 0.5, 500, 1200, 1e-3),
    }.items():
        assert tuple(getattr(configs[name], field) for field in fields) == wanted
    assert [name for name, c in configs.items() if c.freeze_decoder] == ["AWA1", "AWA2"]
    assert [name for name, c in configs.items() if not c.encoded_noise] == ["APY", "FLO"]
