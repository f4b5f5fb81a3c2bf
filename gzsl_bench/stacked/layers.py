"""Linear layers with a leading run axis.

A layer keeps the weights and biases of all runs in one [R, P] matrix whose rows begin at 64-byte
boundaries, and their gradients in a second one of the same shape.  The backward pass writes
straight into the latter, so a step allocates no gradient and the optimiser walks over contiguous
memory.  In ``bf16`` a third matrix holds the parameters rounded for the products of a step.

The rows of a weight begin at cache lines, too: with 1665 inputs, 1000 outputs and 50 rows the
gradient's product then took 2.2 ms instead of 4.4 (one thread).  The numbers in between are zero
and stay zero, since their gradient is.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch.autograd.function import once_differentiable

from gzsl_bench.stacked.backend import together
from gzsl_bench.stacked.runs import HasStreams

#: A cache line, in bytes.
LINE = 64
#: Slope of a leaky ReLU below 0, that of all sheets under ``gan/``.
LEAK = 0.2
#: What a layer may do to its outputs.
Activation: TypeAlias = Literal["relu", "leaky_relu", "sigmoid", "tanh"]
_threshold_backward = torch.ops.aten.threshold_backward.default
#: Rows and blocks are padded to this many numbers: whole cache lines of bfloat16 and float32.
ALIGNMENT = 32


def padded(count: int) -> int:
    """``count`` rounded up to a whole number of cache lines."""
    return -(-count // ALIGNMENT) * ALIGNMENT


class Parameters:
    """Parameters of all runs in one matrix, their gradients in another: what an optimiser moves.

    Attributes:
        flat: [R, P] all parameters; row r belongs to run r alone.
        grad: [R, P] their gradients, or None in a layer made for inference.
        frozen: the parameters are constants for now, see :func:`frozen`.
        fresh: no gradient has been written since the last step.
        stale: the optimiser has moved the parameters since they were last rounded.
    """

    flat: torch.Tensor
    grad: torch.Tensor | None
    frozen: bool = False
    fresh: bool = True
    stale: bool = True
    #: Autograd's end of the parameters, a node.
    _end: Any

    def zero_grad(self) -> None:
        """Forget the gradients of earlier backward passes."""
        self.fresh = True

    def _ends_at(self, leaf: torch.Tensor) -> None:
        """A backward pass that reaches ``leaf`` is to reach the parameters."""
        self._end = leaf.view_as(leaf).grad_fn.next_functions[0][0]  # type: ignore[union-attr]

    def wanted(self) -> bool:
        """Within a backward pass: whether it is to add to the parameters' gradients.

        Raises:
            RuntimeError: the pass is to be differentiated again.
        """
        if torch.is_grad_enabled():
            raise RuntimeError(
                f"a gradient through gzsl_bench.stacked.{type(self).__name__} cannot be"
                " differentiated again (create_graph=True); for a critic's penalty use"
                " Critic.losses, for constant parameters call the layer within frozen(...)"
            )
        reached: bool = torch._C._will_engine_execute_node(self._end)
        return reached


class Linear(Parameters):
    """y = x W' + b for every run, and an activation of it.

    Gradients follow autograd's rules: ``backward()`` adds them to ``grad`` until the optimiser's
    step (or :meth:`zero_grad`), ``autograd.grad(..., x)`` adds nothing, and within :func:`frozen`
    the parameters are constants.  A gradient through a layer can be differentiated again within
    :func:`frozen` alone; a critic's penalty is in :class:`~gzsl_bench.stacked.critic.Critic`.

    Attributes:
        weight: [R, out, in] view.
        bias: [R, out] view.
        low: [R, P] parameters rounded to bfloat16, where training multiplies in it; else None.
        activation: what is done to the outputs, or None.
    """

    def __init__(
        self,
        runs: Sequence[HasStreams],
        name: str,
        inputs: int,
        outputs: int,
        *,
        gain: float = 1.0,
        std: float | None = None,
        heads: int = 1,
        activation: Activation | None = None,
        biased: bool = True,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        precision: str = "float32",
    ) -> None:
        """Xavier-uniform or normal weights, zero biases, from each run's stream ``init/<name>``.

        Args:
            runs: where the streams come from; their number is R.
            name: names the stream, so that layers do not depend on the order they are made in.
            inputs: width of the input.
            outputs: width of the output.
            gain: Xavier gain; the bound is gain * sqrt(6 / (fan_in + fan_out)).
            std: normal weights of this standard deviation instead.
            heads: the output is this many layers side by side, each with its own fan-out.
            activation: ``relu``, ``leaky_relu`` (slope 0.2), ``sigmoid`` or ``tanh`` of outputs.
            biased: biases are trained; else they stay zero.  Before a normalisation by the batch
                their gradient is what rounding leaves, of which Adam makes whole steps.
            device: where the parameters live.
            dtype: their type.
            precision: arithmetic of the products in training; see :mod:`.precision`.
        """
        self.inputs, self.outputs, self.activation = inputs, outputs, activation
        self.biased = biased
        size = outputs * padded(inputs) + padded(outputs)
        self.flat = torch.zeros(len(runs), size, device=device, dtype=dtype)
        self.grad = torch.zeros_like(self.flat)
        self.low = self.flat.bfloat16() if precision == "bf16" else None
        bound = gain * math.sqrt(6.0 / (inputs + outputs // heads))
        self._lone: _Lone | None = None
        self._make_views()
        for weight, run in zip(self.weight, runs, strict=True):
            stream = run.generator(f"init/{name}")
            if std is not None:
                weight.copy_(torch.randn(outputs, inputs, generator=stream) * std)
                continue
            draw = torch.rand(outputs * inputs, generator=stream)
            weight.copy_((draw * 2 - 1).view(outputs, inputs) * bound)
        self.weight.requires_grad_()
        self.bias.requires_grad_()
        self._ends_at(self.weight)

    def _make_views(self) -> None:
        self.weight, self.bias = self._split(self.flat)
        if self.grad is not None:
            self.weight_grad, self.bias_grad = self._split(self.grad)
            if self.flat.shape[0] == 1 and self.low is None and not together(self.flat):
                self._lone = _Lone(
                    self.weight[0],
                    self.weight[0].t(),
                    self.bias[0],
                    self.weight_grad[0],
                    self.bias_grad[0],
                )

    def rounded_weight(self) -> torch.Tensor | None:
        """[R, out, in] bfloat16 copy of the weights as they are now, or None in full precision."""
        if self.low is None:
            return None
        if self.stale:
            self.low.copy_(self.flat.detach())
            self.stale = False
        return self._split(self.low)[0]

    def _split(self, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        width = padded(self.inputs)
        size = self.outputs * width
        weight = flat.detach()[:, :size].view(-1, self.outputs, width)[:, :, : self.inputs]
        bias = flat.detach()[:, size : size + self.outputs]
        return weight, bias

    def of(self, run: int) -> Linear:
        """The layer of one run alone, for inference; it shares the parameters."""
        one = object.__new__(Linear)
        one.inputs, one.outputs, one.activation = self.inputs, self.outputs, self.activation
        one.frozen = True
        one.flat, one.grad, one.low = self.flat[run : run + 1], None, None
        one._lone = None
        one._make_views()
        return one

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[R, B, in] -> [R, B, out]."""
        if self.frozen or self.grad is None or not torch.is_grad_enabled():
            return linear(x, self.weight.detach(), self.bias.detach(), activation=self.activation)
        if self._lone is not None:
            return _LoneLinear.apply(x, self.weight, self, self._lone)  # type: ignore[no-untyped-call, no-any-return]
        return _Linear.apply(x, self.weight, self.bias, self)  # type: ignore[no-untyped-call, no-any-return]


@contextlib.contextmanager
def frozen(*layers: Parameters) -> Iterator[None]:
    """Within the block the layers' parameters are constants; gradients by their inputs remain.

    For a step of one network through another: the generator's through the critic.
    """
    before = [layer.frozen for layer in layers]
    try:
        for layer in layers:
            layer.frozen = True
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.frozen = was


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    *,
    activation: Activation | None = None,
) -> torch.Tensor:
    """Compute x W' + b: x [R, B, in], weight [R, out, in], bias [R, out] -> [R, B, out].

    On a CPU the runs are multiplied one by one, see :class:`.Backend`.

    Where ``x`` and ``weight`` are bfloat16 and ``bias`` is float32, the product is rounded to
    bfloat16 and the sum is float32.
    """
    if x.dtype != bias.dtype:
        out = products(x, weight.mT).to(bias.dtype).add_(bias.unsqueeze(1))
    elif together(x):
        out = torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
    elif x.shape[0] == 1:
        out = torch.addmm(bias[0], _aligned(x[0]), weight[0].t()).unsqueeze(0)
    else:
        out = torch.stack(
            [
                torch.addmm(b, _aligned(rows), w.t())
                for rows, w, b in zip(x, weight, bias, strict=True)
            ]
        )
    return activated(out, activation)


def activated(out: torch.Tensor, activation: Activation | None) -> torch.Tensor:
    """The activation of ``out``, in its place."""
    if activation is None:
        return out
    if activation == "leaky_relu":
        return torch.nn.functional.leaky_relu_(out, LEAK)
    in_place: torch.Tensor = getattr(torch, f"{activation}_")(out)
    return in_place


def _before_activation(
    grad: torch.Tensor, out: torch.Tensor | None, activation: Activation | None
) -> torch.Tensor:
    """The gradient by what the activation was given, from its result ``out``."""
    if activation is None or out is None:
        return grad
    aten = torch.ops.aten
    if activation == "relu":
        passed = _threshold_backward(grad, out, 0)
    elif activation == "leaky_relu":
        passed = aten.leaky_relu_backward(grad, out, LEAK, True)
    elif activation == "sigmoid":
        passed = aten.sigmoid_backward(grad, out)
    else:
        passed = aten.tanh_backward(grad, out)
    return passed  # type: ignore[no-any-return]


def _aligned(matrix: torch.Tensor) -> torch.Tensor:
    """The same numbers from the beginning of a cache line on.

    Libraries pick another kernel, with other rounding, for memory that begins elsewhere, as the
    second run's part of a stacked tensor may.
    """
    return matrix.clone() if matrix.data_ptr() % LINE else matrix


def products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[R, n, k] times [R, k, m], on a CPU run by run."""
    if together(a):
        return torch.bmm(a, b)
    if a.shape[0] == 1:
        return torch.mm(_aligned(a[0]), b[0]).unsqueeze(0)
    return torch.stack([_aligned(x) @ y for x, y in zip(a, b, strict=True)])


class _Linear(torch.autograd.Function):
    """The layer's product; the gradients of its parameters go into ``layer.grad``."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, layer: Linear
    ) -> torch.Tensor:
        rounded = layer.rounded_weight()
        if rounded is not None:
            x, weight = x.bfloat16(), rounded
        out = linear(x, weight, bias, activation=layer.activation)
        ctx.layer = layer
        ctx.save_for_backward(x, weight, out if layer.activation else None)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        layer: Linear = ctx.layer
        wanted = layer.wanted()
        x, weight, out = ctx.saved_tensors
        grad = _before_activation(grad, out, layer.activation)
        full = grad.dtype
        if wanted and layer.biased:
            add_bias_gradient(layer, grad)
        grad = grad.to(x.dtype)
        if wanted:
            add_weight_gradient(layer, grad, x)
            layer.fresh = False
        grad_x = products(grad, weight).to(full) if ctx.needs_input_grad[0] else None
        return grad_x, None, None, None


class _Lone(NamedTuple):
    """Parameters of one run: making these views anew takes as long as a small product.

    Attributes:
        weight: [out, in].
        transposed: [in, out].
        bias: [out].
        weight_grad: [out, in].
        bias_grad: [out].
    """

    weight: torch.Tensor
    transposed: torch.Tensor
    bias: torch.Tensor
    weight_grad: torch.Tensor
    bias_grad: torch.Tensor


class _LoneLinear(torch.autograd.Function):
    """The same for one run on a CPU in full precision, and the same numbers."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, layer: Linear, one: _Lone
    ) -> torch.Tensor:
        rows = _aligned(x[0])
        out = torch.addmm(one.bias, rows, one.transposed)
        ctx.layer, ctx.one = layer, one
        activated(out, layer.activation)
        ctx.save_for_backward(rows, out if layer.activation else None)
        return out.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        layer: Linear = ctx.layer
        one: _Lone = ctx.one
        wanted = layer.wanted()
        rows, out = ctx.saved_tensors
        grad = _aligned(_before_activation(grad[0], out, layer.activation))
        if not wanted:
            pass
        elif layer.fresh:
            if layer.biased:
                torch.sum(grad, 0, out=one.bias_grad)
            torch.addmm(one.weight_grad, grad.t(), rows, beta=0.0, out=one.weight_grad)
            layer.fresh = False
        else:
            if layer.biased:
                one.bias_grad.add_(grad.sum(0))
            torch.addmm(one.weight_grad, grad.t(), rows, out=one.weight_grad)
        grad_x = torch.mm(grad, one.weight).unsqueeze(0) if ctx.needs_input_grad[0] else None
        return grad_x, None, None, None


def add_bias_gradient(layer: Linear, grad: torch.Tensor) -> None:
    """Add ``grad`` [R, B, out], summed over B, to ``layer.bias_grad``."""
    if layer.fresh:
        torch.sum(grad, 1, out=layer.bias_grad)
    else:
        layer.bias_grad.add_(grad.sum(1))


def add_weight_gradient(
    layer: Linear, grad: torch.Tensor, x: torch.Tensor, into: torch.Tensor | None = None
) -> None:
    """Write grad' x [R, out, in] into ``layer.weight_grad``, or into a part ``into`` of it.

    A layer called twice within a step adds the second gradient to the first.
    """
    target = layer.weight_grad if into is None else into
    if grad.dtype != target.dtype:
        # One product at a time on a CPU: what is added next is still in its cache.
        at_once = together(x)
        stacks = [(grad, x, target)] if at_once else zip(grad, x, target, strict=True)
        for g, rows, into in stacks:
            product = torch.bmm(g.mT, rows) if at_once else _aligned(g).t() @ _aligned(rows)
            into.copy_(product) if layer.fresh else into.add_(product)
        return
    keep = 0.0 if layer.fresh else 1.0
    if together(x):
        torch.baddbmm(target, grad.mT, x, beta=keep, out=target)
        return
    for g, rows, into in zip(grad, x, target, strict=True):
        torch.addmm(into, _aligned(g).t(), _aligned(rows), beta=keep, out=into)


class _PermuteChannels(torch.autograd.Function):
    """Gather on the last axis; the gradient goes back by the same indices."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, permutation: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(permutation)
        if x.shape[0] == 1:
            return x.index_select(2, permutation[0])
        return x.gather(2, permutation.unsqueeze(1).expand(x.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (permutation,) = ctx.saved_tensors
        # Every channel is written once, so the order of writing does not matter.
        places = permutation.unsqueeze(1).expand(grad.shape)
        return torch.empty_like(grad).scatter_(2, places, grad), None


def permute_channels(x: torch.Tensor, permutation: torch.Tensor) -> torch.Tensor:
    """Reorder x [R, B, K] by permutation [R, K]: channel k becomes channel permutation[k] of x."""
    return _PermuteChannels.apply(x, permutation)  # type: ignore[no-untyped-call, no-any-return]
