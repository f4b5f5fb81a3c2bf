"""Random streams derived per run and per purpose, never from global state.

A stream depends on the run's seed and on the name of its purpose alone.  So the same seed gives the
same batches to two methods, whatever else either of them draws, and a run's numbers are the same
alone or trained beside others.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Part of every key: raise it when the same seed and purpose give another stream.
NUMERICS = 1
_DOMAIN = "gzsl-bench/streams/1"


def derive_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for ``purpose`` within the run of ``seed``."""
    digest = hashlib.sha256(f"{_DOMAIN}/{int(seed)}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator: the same stream whatever device the numbers are moved to."""
    import torch

    return torch.Generator(device="cpu").manual_seed(derive_seed(seed, purpose))
