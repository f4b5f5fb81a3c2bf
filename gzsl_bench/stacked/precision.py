"""Named arithmetics of training.

``float32``  every product in float32; TF32 is off.
``tf32``     float32 storage, products of float32 matrices in TF32 (10-bit mantissa); CUDA only.
``bf16``     operands and results of the layers' products are rounded to bfloat16 while training;
             parameters, gradients, biases, losses and optimiser stay float32, and so does all
             that is outside training: encoding, the final classifier, scoring.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import torch

from gzsl_bench.hooks.run import Run

Precision: TypeAlias = Literal["float32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

#: Part of the key of every cell trained in that arithmetic: raise one when its products are others.
NUMERICS: Mapping[str, int] = {"float32": 1, "tf32": 1, "bf16": 1}


@contextlib.contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Switch TF32 on for ``tf32`` and off for everything else; put back what was there before."""
    products = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def precision_of(runs: Sequence[Run]) -> str:
    """The arithmetic that all ``runs`` of a stack ask for."""
    return runs[0].precision
