"""What a training may leave behind in a process: random states moved on, module variables set."""

from __future__ import annotations

import functools
import hashlib
import inspect
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

#: How deep to look into nested values, and how many elements of a container.
_DEPTH, _MANY = 6, 10_000


@dataclass(frozen=True)
class GlobalRandomStates:
    """The random states that belong to the process rather than to a run."""

    states: Mapping[str, Any]

    @classmethod
    def now(cls) -> GlobalRandomStates:
        """Python's, numpy's and torch's states as they are; CUDA's where it is in use."""
        import torch

        states: dict[str, Any] = {
            "random": random.getstate(),
            "numpy.random": np.random.get_state(legacy=False),
            "torch": torch.get_rng_state(),
        }
        # Asking for CUDA's states would start CUDA on every device.
        if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            states["torch.cuda"] = torch.cuda.get_rng_state_all()
        return cls(states)

    def restore(self) -> None:
        """Put them back."""
        import torch

        random.setstate(self.states["random"])
        np.random.set_state(self.states["numpy.random"])
        torch.set_rng_state(self.states["torch"])
        if "torch.cuda" in self.states:
            torch.cuda.set_rng_state_all(self.states["torch.cuda"])

    def moved(self, later: GlobalRandomStates) -> list[str]:
        """Names of the states that differ from those ``later``."""
        return [
            name
            for name, state in self.states.items()
            if fingerprint(state) != fingerprint(later.states[name])
        ]


def module_variables(owner: type) -> dict[str, str]:
    """Fingerprints of the variables of all modules of the package that ``owner`` comes from.

    Class attributes, default arguments and ``functools`` caches count as variables; functions and
    modules do not.
    """
    package = owner.__module__.partition(".")[0]
    found = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and (name == package or name.startswith(package + ".")):
            for variable, value in _variables(module):
                found[f"{name}.{variable}"] = fingerprint(value)
    return found


def _variables(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(module).items()):
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        if inspect.isclass(value):
            if value.__module__ == module.__name__:
                for inner, content in list(vars(value).items()):
                    if not inner.startswith("_abc") and not inner.startswith("__"):
                        yield from _named(f"{name}.{inner}", content)
        else:
            yield from _named(name, value)


def _named(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A variable; of a function its default arguments, which are made once and kept."""
    function = getattr(value, "__func__", value)
    if not isinstance(function, FunctionType):
        yield name, value
    elif function.__defaults__ or function.__kwdefaults__:
        yield f"{name}'s default arguments", (function.__defaults__, function.__kwdefaults__)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names of variables that appeared, went or changed."""
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


def fingerprint(value: Any) -> str:
    """Digest of a value's content; what cannot be looked into counts as unchanging."""
    hasher = hashlib.sha256()
    for part in _parts(value, _DEPTH, set()):
        hasher.update(part)
        hasher.update(b"\0")
    return hasher.hexdigest()[:16]


def _parts(value: Any, depth: int, above: set[int]) -> Iterator[bytes]:
    """The content of a value as bytes, piece by piece."""
    import torch

    yield type(value).__qualname__.encode()
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | type):
        yield repr(value).encode()
    elif depth == 0 or id(value) in above:
        return
    elif isinstance(value, torch.Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield from _bytes(value)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield value.tobytes() if value.dtype != object else b""
    elif isinstance(value, torch.Generator):
        yield value.get_state().numpy().tobytes()
    elif isinstance(value, functools._lru_cache_wrapper):
        yield repr(value.cache_info().currsize).encode()
    elif isinstance(value, Mapping):
        for key, content in list(value.items())[:_MANY]:
            yield from _parts(key, depth - 1, above | {id(value)})
            yield from _parts(content, depth - 1, above | {id(value)})
    elif isinstance(value, list | tuple):
        yield str(len(value)).encode()
        for content in value[:_MANY]:
            yield from _parts(content, depth - 1, above | {id(value)})
    elif isinstance(value, set | frozenset):
        yield from sorted(fingerprint(content).encode() for content in value)
    elif not callable(value) and hasattr(value, "__dict__"):
        yield from _parts(dict(vars(value)), depth - 1, above | {id(value)})


def _bytes(tensor: Any) -> Iterator[bytes]:
    try:
        import torch

        plain = tensor.detach().cpu().contiguous()
        yield plain.view(torch.uint8).numpy().tobytes() if plain.dim() else repr(plain).encode()
    except (RuntimeError, TypeError):  # sparse, quantised, meta: nothing to read
        return
