"""Measuring how long a training step takes with so many workers of so many threads side by side.

As many processes as the largest candidate needs are started, as workers are; for each candidate so
many of them train at the same time while the others sleep.  What counts is the slowest: a suite
is done when its last worker is.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from gzsl_bench.engine.placement import Placement
from gzsl_bench.errors import in_one_line

if TYPE_CHECKING:
    import torch

#: Seconds that each candidate trains in each pass.
BUDGET = 0.4
#: Once from few workers to many and once back, so that a slow spell hits no candidate alone.
PASSES = 2
#: Seconds for all of it; on a busy machine the processes take half a minute to come up.
LIMIT = 120.0
#: Fewest steps behind a median, however long they take.
_FEWEST = 3
#: Seconds that a process gets to end once it was killed.
_GRACE = 5.0

#: The step: CADA-VAE's image autoencoder on ResNet-101 features.
BATCH, FEATURES, HIDDEN, HIDDEN_BACK, LATENT = 50, 2048, 1560, 1660, 64


class Unmeasured(Exception):
    """Nothing could be measured; the message says why."""


def measure(
    placements: Sequence[Placement], *, budget: float = BUDGET, limit: float = LIMIT
) -> dict[tuple[int, int], float]:
    """Seconds of a training step by workers and threads; no process is left when it returns.

    Args:
        placements: what to measure.
        budget: seconds that each of them trains in each pass.
        limit: seconds for all of it.

    Raises:
        Unmeasured: processes cannot be started, die, or take too long.
    """
    crew = _Crew(time.monotonic() + limit)
    found: dict[tuple[int, int], float] = {}
    try:
        crew.start(max(placement.workers for placement in placements))
        for turn in range(PASSES):
            for placement in placements[:: -1 if turn % 2 else 1]:
                key = (placement.workers, placement.threads)
                took = crew.train(placement, budget)
                found[key] = min(found.get(key, took), took)
    except Unmeasured:
        raise
    except Exception as error:  # too many processes, say: then it goes without
        raise Unmeasured(in_one_line(error)) from error
    finally:
        crew.dismiss()
    return found


class _Crew:
    """Processes that train when they are told to."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._members: list[tuple[SpawnProcess, Connection]] = []

    def start(self, count: int) -> None:
        """Start ``count`` processes; returns when all are ready."""
        context = multiprocessing.get_context("spawn")
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs,), name="gzsl-bench pace", daemon=True
            )
            # Until it ignores Ctrl-C by itself it must not be hit by it: the mask is inherited.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
                self._members.append((process, ours))
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                theirs.close()
        self._hear(count)

    def train(self, placement: Placement, budget: float) -> float:
        """Seconds of a step of the slowest of ``placement.workers`` processes."""
        self._tell(placement.workers, placement.threads)
        self._hear(placement.workers)  # all of them are warm
        self._tell(placement.workers, budget)
        return max(self._hear(placement.workers))

    def dismiss(self) -> None:
        """End them all, whatever they do."""
        for process, _ in self._members:
            process.kill()
        for process, pipe in self._members:
            process.join(_GRACE)
            pipe.close()

    def _tell(self, count: int, message: float) -> None:
        for process, pipe in self._members[:count]:
            try:
                pipe.send(message)
            except OSError:
                raise self._dead(process) from None

    def _hear(self, count: int) -> list[float]:
        """The next answer of each of the first ``count`` processes."""
        found: list[float] = []
        for process, pipe in self._members[:count]:
            try:
                if not pipe.poll(max(0.0, self._deadline - time.monotonic())):
                    raise Unmeasured("the measurement took too long")
                answer = pipe.recv()
            except (EOFError, OSError):
                raise self._dead(process) from None
            if isinstance(answer, str):
                raise Unmeasured(answer)
            found.append(answer)
        return found

    @staticmethod
    def _dead(process: SpawnProcess) -> Unmeasured:
        process.join(_GRACE)
        return Unmeasured(f"a process that measures ended with exit code {process.exitcode}")


def _serve(pipe: Connection) -> None:
    """The life of such a process: threads in, ready out; seconds in, median step out."""
    # Ctrl-C is for the parent to decide on, which kills us; its SIGTERM handler is not ours.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The parent is gone when nothing can be heard or told any more.
    with contextlib.suppress(EOFError, OSError):
        try:
            import torch

            step = training_step()
            pipe.send(0.0)
            while True:
                torch.set_num_threads(pipe.recv())
                step()  # threads are started, memory is taken
                pipe.send(0.0)
                pipe.send(median_seconds(step, pipe.recv()))
        except (EOFError, OSError):
            raise
        except Exception as error:
            pipe.send(in_one_line(error))


def median_seconds(step: Callable[[], None], budget: float) -> float:
    """Median seconds of ``step``, repeated for about ``budget`` seconds."""
    took: list[float] = []
    begun = now = time.perf_counter()
    while len(took) < _FEWEST or now - begun < budget:
        before = now
        step()
        now = time.perf_counter()
        took.append(now - before)
    return statistics.median(took)


def training_step() -> Callable[[], None]:
    """A training step as latent-space methods take it: forward, backward, Adam.

    Autoencoders of this field are small products of a batch of 50 and a pass of the optimiser over
    some million parameters; the smaller autoencoders beside this one change little.
    """
    import torch

    from gzsl_bench.stacked import (
        Decoder,
        Encoder,
        StackedAdam,
        kl_divergence,
        l1_error,
        reparameterize,
    )

    runs: Any = [_Streams()]
    encoder = Encoder(runs, "encoder", FEATURES, HIDDEN, LATENT)
    decoder = Decoder(runs, "decoder", LATENT, HIDDEN_BACK, FEATURES)
    adam = StackedAdam([([*encoder.layers, *decoder.layers], [1e-4])])
    stream = runs[0].generator("batch")
    batch = torch.rand(1, BATCH, FEATURES, generator=stream)
    noise = torch.randn(1, BATCH, 1, generator=stream)

    def step() -> None:
        mu, logvar = encoder(batch)
        output = decoder(reparameterize(mu, logvar, noise))
        loss = l1_error(batch, output) + kl_divergence(mu, logvar)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        adam.step()

    return step


class _Streams:
    """Any random numbers will do."""

    def generator(self, purpose: str) -> torch.Generator:
        import torch

        return torch.Generator().manual_seed(0)
