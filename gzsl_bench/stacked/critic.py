"""The critic of a Wasserstein GAN, with the gradient penalty in closed form.

D(x, a) = w2 . leaky_relu(W1 [x, a] + b1) + b2 is linear wherever no hidden unit changes its sign,
so its gradient by the features is a product of matrices, (w2 * slope) W1, and the gradient of the
penalty by the parameters is one of first order: the slopes are constants almost everywhere.  Equal
to ``autograd.grad(..., create_graph=True)`` to rounding, with seven products of the size [B, D, H]
instead of eight, and the attributes' part of the hidden layer computed once for real, generated and
interpolated rows, which share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gzsl_bench.stacked.layers import (
    LEAK,
    Linear,
    add_bias_gradient,
    add_weight_gradient,
    linear,
    products,
)
from gzsl_bench.stacked.runs import HasStreams


class Critic:
    """Linear -> leaky ReLU -> one number, on features beside class embeddings (gan/COMMON 1).

    Attributes:
        hidden: [D + A] -> [H].
        output: [H] -> [1].
        features: D.
    """

    def __init__(
        self,
        runs: Sequence[HasStreams],
        name: str,
        features: int,
        attributes: int,
        hidden: int,
        *,
        std: float = 0.02,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Normal weights and zero biases.

        Args:
            runs: the stack.
            name: prefix of the layers' streams.
            features: D, width of the features.
            attributes: A, width of the class embeddings; 0 for a critic of features alone.
            hidden: H.
            std: standard deviation of the initial weights.
            device: where the parameters live.
            dtype: their type.
        """
        how: dict[str, Any] = {"std": std, "device": device, "dtype": dtype}
        inputs, self.features = features + attributes, features
        self.hidden = Linear(runs, f"{name}/hidden", inputs, hidden, activation="leaky_relu", **how)
        self.output = Linear(runs, f"{name}/output", hidden, 1, **how)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.hidden, self.output]

    def __call__(self, features: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """D of features [R, B, D] beside attributes [R, B, A]: [R, B].

        Within :func:`~gzsl_bench.stacked.layers.frozen` the attributes are constants, too.
        """
        if self.hidden.frozen:
            weight = self.hidden.weight.detach()
            side = linear(
                attributes.detach(), weight[:, :, self.features :], self.hidden.bias.detach()
            )
            before = products(features, weight[:, :, : self.features].mT) + side
            hidden = torch.nn.functional.leaky_relu(before, LEAK)
            return (hidden * self.output.weight.detach()).sum(-1) + self.output.bias.detach()
        return self.output(self.hidden(torch.cat([features, attributes], -1))).squeeze(-1)

    def losses(
        self,
        real: torch.Tensor,
        generated: torch.Tensor,
        attributes: torch.Tensor,
        mix: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Means over a batch, to be differentiated by the critic's parameters and attributes alone.

        Args:
            real: [R, B, D] features.
            generated: [R, B, D] features; constants here.
            attributes: [R, B, A] of both; what they are made of gets its gradient.
            mix: [R, B, 1] share of the real row in the interpolated one.

        Returns:
            [R] each: D of the real rows, D of the generated rows, and (|grad_x D| - 1)^2 at the
            interpolated rows (Gulrajani et al., 2017, Eq. 3).
        """
        found: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = _Losses.apply(  # type: ignore[no-untyped-call]
            self.hidden.weight, real, generated.detach(), attributes, mix, self
        )
        return found


def _slopes(before: torch.Tensor) -> torch.Tensor:
    """Derivative of the leaky ReLU at ``before``."""
    return torch.where(before > 0, before.new_ones(()), before.new_full((), LEAK))


class _Losses(torch.autograd.Function):
    """See :meth:`Critic.losses`; H is the hidden width, v = w2 * slope."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: torch.Tensor,
        real: torch.Tensor,
        generated: torch.Tensor,
        attributes: torch.Tensor,
        mix: torch.Tensor,
        critic: Critic,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        width, batch = critic.features, real.shape[1]
        by_features, by_attributes = weight[:, :, :width], weight[:, :, width:]
        out_weight = critic.output.weight.detach()
        rows = torch.cat([real, generated], 1)
        before = products(rows, by_features.mT)
        side = products(attributes, by_attributes.mT).add_(critic.hidden.bias.detach()[:, None])
        before[:, :batch].add_(side)
        before[:, batch:].add_(side)
        # What is linear in the features can be interpolated after the product.
        between = torch.lerp(before[:, batch:], before[:, :batch], mix)
        slopes, hat_slopes = _slopes(before), _slopes(between)
        hidden = before.mul_(slopes)
        scores = (hidden * out_weight).sum(-1) + critic.output.bias.detach()
        chain = hat_slopes * out_weight
        gradient = products(chain, by_features)
        norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        ctx.critic, ctx.batch = critic, batch
        ctx.save_for_backward(
            rows, attributes, hidden, slopes, hat_slopes, chain, gradient, norm, weight
        )
        penalty = (norm - 1).square_().mean((1, 2))
        return scores[:, :batch].mean(1), scores[:, batch:].mean(1), penalty

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        critic: Critic = ctx.critic
        nothing = (None,) * 6
        if not critic.hidden.wanted():
            return nothing
        rows, attributes, hidden, slopes, hat_slopes, chain, gradient, norm, whole = (
            ctx.saved_tensors
        )
        by_features = whole[:, :, : critic.features]
        batch, out_weight = ctx.batch, critic.output.weight.detach()
        of_real, of_generated, of_penalty = (grad[:, None, None] / batch for grad in grads)
        of_scores = torch.cat(
            [of_real.expand(-1, batch, 1), of_generated.expand(-1, batch, 1)], dim=1
        )
        # The norm's gradient at zero is zero, as autograd has it.
        unit = torch.where(norm > 0, gradient / norm, 0.0)
        of_gradient = unit * (2 * of_penalty * (norm - 1))
        of_chain = products(of_gradient, by_features.mT)
        of_hidden = (of_scores * hidden).sum(1, keepdim=True)
        of_hidden += (of_chain * hat_slopes).sum(1, keepdim=True)
        # The means' gradients, not the sum over rows: where it is zero, as in E[D(x~)] - E[D(x)],
        # Adam would make whole steps of what rounding leaves of it.
        _add(critic.output, of_hidden, (grads[0] + grads[1])[:, None])
        of_before = of_scores * out_weight * slopes
        both = of_before[:, :batch] + of_before[:, batch:]
        layer, width = critic.hidden, critic.features
        by_rows, beside = torch.cat([of_before, chain], 1), torch.cat([rows, of_gradient], 1)
        add_weight_gradient(layer, by_rows, beside, layer.weight_grad[:, :, :width])
        add_weight_gradient(layer, both, attributes, layer.weight_grad[:, :, width:])
        add_bias_gradient(layer, both)
        layer.fresh = False
        by_attributes = whole[:, :, width:]
        # The penalty's is zero: slopes are constants almost everywhere.
        side = products(both, by_attributes) if ctx.needs_input_grad[3] else None
        return None, None, None, side, None, None


def _add(layer: Linear, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Add to the gradients of a layer."""
    for target, value in ((layer.weight_grad, weight), (layer.bias_grad, bias)):
        target.copy_(value) if layer.fresh else target.add_(value)
    layer.fresh = False
