"""The global state of a worker process, put back between units.

A plugin may change what all code in its process shares: the working folder, the environment, signal
handlers, torch's default dtype.  The next unit must not notice.  Whatever cannot be put back is
named, and the worker is replaced.

Not seen: objects that a plugin replaces inside a library (``torch.randn = ...``), and C libraries'
own settings.
"""

from __future__ import annotations

import faulthandler
import gc
import locale
import logging
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

#: Seconds for threads that are about to end by themselves.
_GRACE = 0.2
#: Threads of these packages serve whoever comes, and do nothing on their own.
_HARMLESS = ("tqdm",)


@dataclass(frozen=True)
class _Part:
    """One piece of global state: how to read it, and how to set it to what was read."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


@dataclass
class GlobalState:
    """What a process had set at one moment.

    Attributes:
        values: by the names of the parts.
        threads: those that were running.
    """

    values: dict[str, Any] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def now(cls) -> GlobalState:
        """The state as it is."""
        return cls(
            {name: part.read() for name, part in _PARTS.items()},
            threading.enumerate(),
        )

    def keep(self, *names: str) -> None:
        """Take these parts as they are now instead."""
        for name in names:
            self.values[name] = _PARTS[name].read()

    def restore(self) -> list[str]:
        """Put everything back; returns what could not be, in words."""
        _stop_timers()
        stuck = []
        for name, value in self.values.items():
            part = _PARTS[name]
            try:
                if part.read() == value:
                    continue
                part.write(value)
                if part.read() != value:
                    stuck.append(f"it changed the {name}")
            # A library may refuse in its own way.
            except Exception as error:
                stuck.append(f"it changed the {name} ({error})")
        return stuck + self._threads() + _device_trouble()

    def _threads(self) -> list[str]:
        left = [
            thread
            for thread in threading.enumerate()
            if thread not in self.threads
            and not type(thread).__module__.startswith(_HARMLESS)
            # A thread that C code began, autograd's for instance, ends when C code likes.
            and not isinstance(thread, threading._DummyThread)
        ]
        for thread in left:
            thread.join(_GRACE / len(left))
        return [
            f"it left the thread {thread.name!r} running" for thread in left if thread.is_alive()
        ]


def report_crashes(descriptor: int) -> None:
    """Write tracebacks of all threads there when a signal ends the process, SIGTERM included."""
    faulthandler.enable(descriptor, all_threads=True)
    faulthandler.unregister(signal.SIGTERM)
    faulthandler.register(signal.SIGTERM, descriptor, all_threads=True, chain=True)


# The parts ---------------------------------------------------------------------------------------


def _read_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  a plain string compares by what it says
    except OSError:
        return None  # it was removed


def _write_folder(saved: str | None) -> None:
    if saved is not None:
        os.chdir(saved)


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_environment(saved: dict[str, str]) -> None:
    for name in set(os.environ) - set(saved):
        del os.environ[name]
    for name, value in saved.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _write_path(saved: list[str]) -> None:
    sys.path[:] = saved


def _write_filters(saved: list[Any]) -> None:
    warnings.resetwarnings()  # also tells the modules that what they remember is out of date
    warnings.filters[:] = saved  # type: ignore[index]


def _read_logging() -> tuple[Any, ...]:
    root, ours = logging.getLogger(), logging.getLogger("gzsl_bench")
    return root.level, list(root.handlers), root.manager.disable, ours.level, ours.propagate


def _write_logging(saved: tuple[Any, ...]) -> None:
    root, ours = logging.getLogger(), logging.getLogger("gzsl_bench")
    level, handlers, disabled, our_level, ours.propagate = saved
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.disable(disabled)
    ours.setLevel(our_level)


def _signals() -> list[signal.Signals]:
    known = (signal.Signals(number) for number in signal.valid_signals() if number in _NAMED)
    return [number for number in known if number not in (signal.SIGKILL, signal.SIGSTOP)]


_NAMED = {number.value for number in signal.Signals}


def _read_handlers() -> dict[signal.Signals, Any]:
    return {number: signal.getsignal(number) for number in _signals()}


def _write_handlers(saved: dict[signal.Signals, Any]) -> None:
    for number, handler in saved.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _stop_timers() -> None:
    """An alarm that a plugin has set would end the next unit."""
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)


def _read_mask() -> set[int]:
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


_RESOURCES = sorted(
    {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
)


def _read_limits() -> dict[int, tuple[int, int]]:
    return {number: resource.getrlimit(number) for number in _RESOURCES}


def _write_limits(saved: dict[int, tuple[int, int]]) -> None:
    for number, limits in saved.items():
        if resource.getrlimit(number) != limits:
            resource.setrlimit(number, limits)


def _read_streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr, sys.excepthook, threading.excepthook


def _write_streams(saved: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr, sys.excepthook, threading.excepthook = saved


def _read_collector() -> tuple[Any, ...]:
    return gc.isenabled(), gc.get_threshold(), sys.getrecursionlimit(), sys.getswitchinterval()


def _write_collector(saved: tuple[Any, ...]) -> None:
    enabled, thresholds, depth, interval = saved
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*thresholds)
    sys.setrecursionlimit(depth)
    sys.setswitchinterval(interval)


def _read_numpy() -> tuple[Any, ...]:
    return np.geterr(), np.geterrcall(), np.get_printoptions()


def _write_numpy(saved: tuple[Any, ...]) -> None:
    errors, call, printing = saved
    np.seterr(**errors)
    np.seterrcall(call)
    np.set_printoptions(**printing)


def _read_deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _write_deterministic(saved: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(saved[0], warn_only=saved[1])


def _write_device(saved: torch.device) -> None:
    # "cpu" written down would cost something on every call; without a default it is what one gets.
    torch.set_default_device(None if saved.type == "cpu" else saved)


_CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")
_PRODUCTS = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")


def _read_arithmetic() -> tuple[Any, ...]:
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    return (
        torch.get_float32_matmul_precision(),
        *(getattr(cudnn, name) for name in _CUDNN),
        *(getattr(products, name) for name in _PRODUCTS),
    )


def _write_arithmetic(saved: tuple[Any, ...]) -> None:
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    precision, *flags = saved
    torch.set_float32_matmul_precision(precision)
    for name, value in zip(_CUDNN, flags, strict=False):
        setattr(cudnn, name, value)
    for name, value in zip(_PRODUCTS, flags[len(_CUDNN) :], strict=True):
        setattr(products, name, value)


def _read_autograd() -> tuple[bool, ...]:
    return (
        torch.is_grad_enabled(),
        torch.is_anomaly_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
        torch.is_inference_mode_enabled(),  # can only be read
    )


def _write_autograd(saved: tuple[bool, ...]) -> None:
    grad, anomaly, on_cpu, on_cuda, _ = saved
    torch.set_grad_enabled(grad)
    torch.autograd.set_detect_anomaly(anomaly)
    torch.set_autocast_enabled("cpu", on_cpu)
    torch.set_autocast_enabled("cuda", on_cuda)


def _flushes_denormal() -> bool:
    return bool((torch.full((1,), 1e-39, dtype=torch.float32) * 1.0).item() == 0.0)


def _cuda_in_use() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _read_cuda_device() -> int:
    return torch.cuda.current_device() if _cuda_in_use() else 0


def _device_trouble() -> list[str]:
    """A CUDA error (a failed assertion in a kernel, say) stays with the process for good."""
    if not _cuda_in_use():
        return []
    try:
        torch.cuda.synchronize()
    except Exception as error:
        return [f"it left the CUDA device unusable ({str(error).splitlines()[0]})"]
    return []


_PARTS: dict[str, _Part] = {
    "working folder": _Part(_read_folder, _write_folder),
    "umask": _Part(_read_umask, os.umask),
    "environment": _Part(lambda: dict(os.environ), _write_environment),
    "module search path": _Part(lambda: list(sys.path), _write_path),
    "warning filters": _Part(lambda: list(warnings.filters), _write_filters),
    "logging": _Part(_read_logging, _write_logging),
    "signal handlers": _Part(_read_handlers, _write_handlers),
    "signal mask": _Part(
        _read_mask, lambda saved: signal.pthread_sigmask(signal.SIG_SETMASK, saved)
    ),
    "resource limits": _Part(_read_limits, _write_limits),
    "priority": _Part(
        lambda: os.getpriority(os.PRIO_PROCESS, 0),
        lambda saved: os.setpriority(os.PRIO_PROCESS, 0, saved),
    ),
    "streams": _Part(_read_streams, _write_streams),
    "interpreter": _Part(_read_collector, _write_collector),
    "locale": _Part(
        lambda: locale.setlocale(locale.LC_ALL),
        lambda saved: locale.setlocale(locale.LC_ALL, saved),
    ),
    "numpy settings": _Part(_read_numpy, _write_numpy),
    "torch threads": _Part(torch.get_num_threads, torch.set_num_threads),
    "torch interop threads": _Part(torch.get_num_interop_threads, torch.set_num_interop_threads),
    "default dtype": _Part(torch.get_default_dtype, torch.set_default_dtype),
    "default device": _Part(torch.get_default_device, _write_device),
    "deterministic algorithms": _Part(_read_deterministic, _write_deterministic),
    "arithmetic": _Part(_read_arithmetic, _write_arithmetic),
    "autograd": _Part(_read_autograd, _write_autograd),
    "denormal numbers": _Part(_flushes_denormal, lambda saved: torch.set_flush_denormal(saved)),
    "CUDA device": _Part(_read_cuda_device, lambda saved: torch.cuda.set_device(saved)),
}

if hasattr(os, "sched_getaffinity"):
    _PARTS["processor affinity"] = _Part(
        lambda: os.sched_getaffinity(0), lambda saved: os.sched_setaffinity(0, saved)
    )
