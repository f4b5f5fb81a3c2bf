"""A plugin whose methods write to what they were given, in as many ways as we could think of."""
# ruff: noqa: PTH115, PTH123, PTH208

import atexit
import ctypes
import gc
import locale
import mmap
import os
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from gzsl_bench import Config, Method, MethodSpec, Scorer, hookimpl
from gzsl_bench.hooks.method import BatchedMethod

WAYS = {}
#: Ways that need more than the content of the task, by what becomes of the offender.
QUIET, HARMFUL = set(), set()


def way(function=None, *, quiet=False, harmful=False):
    """Registers a way; ``quiet``: the task stays as it is; ``harmful``: the process does not."""

    def register(function):
        WAYS[function.__name__] = function
        if quiet:
            QUIET.add(function.__name__)
        if harmful:
            HARMFUL.add(function.__name__)
        return function

    return register(function) if function else register


def descriptors():
    return [int(name) for name in os.listdir("/proc/self/fd")]


def sealed_maps():
    """Address and length of shared maps of tasks."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, rights, *rest = line.split()
        if "gzsl-bench-task" in line and rights.endswith("s"):
            low, high = (int(end, 16) for end in where.split("-"))
            yield low, high - low


# Views, storages, pointers -----------------------------------------------------------------------


@way
def numpy_view(task, run):
    view = task.features.numpy()
    view -= view.mean(0)


@way
def numpy_shuffle(task, run):
    np.random.default_rng(0).shuffle(task.features.numpy())


@way
def numpy_sort(task, run):
    task.features.numpy().sort(0)


@way
def numpy_copyto(task, run):
    np.copyto(task.attributes.numpy(), 0.5)


@way
def numpy_out(task, run):
    view = task.features.numpy()
    np.multiply(view, 3, out=view)


@way
def numpy_strides(task, run):
    view = task.features.numpy()
    np.lib.stride_tricks.as_strided(view, (7,), (4,))[:] = 9


@way
def numpy_asarray(task, run):
    np.asarray(task.labels)[:] = task.labels[0].item()


@way
def array_interface(task, run):
    class Holder:
        @property
        def __array_interface__(self):
            place = task.features.data_ptr(), False
            shape = tuple(task.features.shape)
            return {"shape": shape, "typestr": "<f4", "version": 3, "data": place}

    np.array(Holder(), copy=False)[:] = 1


@way
def view_of_a_view(task, run):
    torch.from_numpy(task.features.numpy()).zero_()


@way
def memory_view(task, run):
    memoryview(task.features.numpy()).cast("B")[:64] = b"\x01" * 64


@way
def dlpack(task, run):
    torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(task.features)).zero_()


@way
def storage(task, run):
    task.features.untyped_storage().fill_(0)


@way
def strided(task, run):
    torch.as_strided(task.features, (5,), (2,)).fill_(4)


@way
def transposed(task, run):
    task.features.T[0] = 5


@way
def rows(task, run):
    for row in task.features.unbind(0):
        row.zero_()


@way
def memmove(task, run):
    ctypes.memmove(task.features.data_ptr(), b"\x02" * 400, 400)


@way
def memset(task, run):
    ctypes.memset(task.attributes.data_ptr(), 1, 40)


@way
def pointer(task, run):
    (ctypes.c_float * 3).from_address(task.features.data_ptr())[1] = 6.0


@way
def process_memory(task, run):
    with open("/proc/self/mem", "r+b", buffering=0) as file:
        file.seek(task.features.data_ptr())
        file.write(b"\x03" * 400)


# Torch -------------------------------------------------------------------------------------------


@way
def in_place(task, run):
    task.features.mul_(2)


@way
def assigned_data(task, run):
    task.features.data = task.features * 2


@way
def data(task, run):
    task.features.data.add_(1)


@way
def detached(task, run):
    task.features.detach().add_(1)


@way
def item(task, run):
    task.features[3, 2] = 77


@way
def set_storage(task, run):
    task.features.set_(torch.zeros_like(task.features))


@way
def resized(task, run):
    task.features.resize_(2, 2)


@way
def out(task, run):
    torch.mul(task.features, 2, out=task.features)


@way
def scattered(task, run):
    task.features.index_add_(0, torch.tensor([0]), task.features[1:2].clone())


@way
def masked(task, run):
    task.features.masked_fill_(task.features < 1, 1)


@way
def initialised(task, run):
    torch.nn.init.normal_(task.features)


@way
def relu(task, run):
    torch.nn.functional.relu(task.attributes.sub_(0.1), inplace=True)


@way
def parameter(task, run):
    found = torch.nn.Parameter(task.features)
    (found**2).sum().backward()
    torch.optim.SGD([found], 0.1).step()


@way
def labels(task, run):
    task.labels.zero_()


@way
def seen(task, run):
    task.seen.add_(1)


@way
def unseen(task, run):
    task.unseen.numpy()[:] = 0


@way
def replaced(task, run):
    object.__setattr__(task, "features", torch.zeros_like(task.features))


# When and where ----------------------------------------------------------------------------------


@way
def thread(task, run):
    writer = threading.Thread(target=lambda: task.features.numpy().fill(0))
    writer.start()
    writer.join()


@way
def deleted(task, run):
    class Last:
        def __del__(self):
            task.features.numpy().fill(0)

    Last()


@way
def collected(task, run):
    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            task.features.numpy().fill(0)

    Cycle()
    gc.collect()


@way
def scorer(task, run):
    def score(x):
        task.features.numpy().fill(0)
        return x[:, :1] * torch.ones(task.num_classes)

    return score


@way
def embed(task, run):
    def write(x):
        task.attributes.numpy().fill(0)
        return x

    return Scorer(write, lambda x: x[:, :1] * torch.ones(task.num_classes))


@way
def score_of_two(task, run):
    def write(x):
        task.features.add_(1)
        return x[:, :1] * torch.ones(task.num_classes)

    return Scorer(lambda x: x, write)


@way
def second_checkpoint(task, run):
    def score(x, number):
        if number == 2:
            task.features.numpy().fill(0)
        return x[:, :1] * torch.ones(task.num_classes)

    run.checkpoint(1, lambda x: score(x, 1))
    run.checkpoint(2, lambda x: score(x, 2))
    return lambda x: score(x, 3)


@way
def shown(task, run):
    def score(x):
        x.numpy()[:] = 0
        return x[:, :1] * torch.ones(task.num_classes)

    return score


def products(task):
    return {"products": (task.features.T @ task.features,)}


@way
def shared(task, run):
    task.shared(products)["products"][0].numpy().fill(0)


@way(harmful=True)
def everything(task, run):
    for found in gc.get_objects():
        if isinstance(found, torch.Tensor) and found.numel() > 100:
            found.data.zero_()


# What is not noticed, or changes nothing of the task ---------------------------------------------


@way(quiet=True)
def forked(task, run):
    child = os.fork()
    if not child:
        task.features.numpy().fill(0)
        os._exit(0)
    os.waitpid(child, 0)


@way(quiet=True)
def descriptor_written(task, run):
    for number in descriptors():
        for mode in (os.O_RDWR, os.O_WRONLY):
            try:
                if "gzsl-bench-task" in os.readlink(f"/proc/self/fd/{number}"):
                    os.pwrite(os.open(f"/proc/self/fd/{number}", mode), b"\x05" * 4096, 0)
            except OSError:
                continue


@way(quiet=True)
def descriptor_mapped(task, run):
    for number in descriptors():
        try:
            if "gzsl-bench-task" in os.readlink(f"/proc/self/fd/{number}"):
                mmap.mmap(number, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE)[:9] = b"123456789"
        except OSError:
            continue


@way(quiet=True)
def descriptor_cut(task, run):
    for number in descriptors():
        try:
            if "gzsl-bench-task" in os.readlink(f"/proc/self/fd/{number}"):
                os.ftruncate(number, 0)
        except OSError:
            continue


@way(quiet=True)
def map_protected(task, run):
    for start, length in sealed_maps():
        if not ctypes.CDLL(None).mprotect(ctypes.c_void_p(start), length, 3):
            ctypes.memset(start, 1, length)


@way(quiet=True)
def map_by_process_memory(task, run):
    for start, _ in sealed_maps():
        try:
            with open("/proc/self/mem", "r+b", buffering=0) as file:
                file.seek(start)
                file.write(b"\x03" * 4000)
        except OSError:
            continue


@way(quiet=True, harmful=True)
def at_exit(task, run):
    atexit.register(task.features.numpy().fill, 0)


@way(quiet=True, harmful=True)
def lasting_thread(task, run):
    def write():
        time.sleep(0.05)
        while True:
            task.features.numpy().fill(0)
            time.sleep(0.001)

    threading.Thread(target=write, daemon=True).start()


@way(quiet=True, harmful=True)
def torch_patched(task, run):
    torch.linalg.solve = torch.cholesky_solve = lambda *rest, **more: torch.zeros(())
    torch.Tensor.__matmul__ = lambda one, other: torch.zeros(one.shape[0], other.shape[1])
    torch.randperm = lambda n, **more: torch.arange(n)


@way(quiet=True, harmful=True)
def harness_patched(task, run):
    from gzsl_bench.engine import bench
    from gzsl_bench.scoring import predict

    bench.same = lambda *rest: True
    predict.TestSet._check = lambda *rest: None
    task.features.zero_()


@way(quiet=True)
def random_states(task, run):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


@way(quiet=True)
def arithmetic(task, run):
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(5)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("medium")
    np.seterr(all="ignore")


@way(quiet=True, harmful=True)
def process_state(task, run):
    os.chdir("/")
    os.umask(0o077)
    os.environ.clear()
    warnings.simplefilter("error")
    sys.setrecursionlimit(3000)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    locale.setlocale(locale.LC_ALL, "C")


KEPT = []


@way(quiet=True)
def kept_for_later(task, run):
    """Writes to the task of whoever was here before."""
    for earlier in KEPT:
        earlier.features.numpy().fill(0)
    KEPT.append(task)


class Settings(Config):
    way: str = "in_place"


class Writer(Method):
    Config = Settings

    def fit(self, task, run):
        found = WAYS[self.config.way](task, run)
        return found or (lambda x: x[:, :1] * torch.ones(task.num_classes))


class LastWriter(BatchedMethod):
    """Writes when the generator of its scorers is closed."""

    Config = Settings

    def fit_batch(self, task, runs):
        try:
            for _ in runs:
                yield lambda x: x[:, :1] * torch.ones(task.num_classes)
        finally:
            task.features.numpy().fill(0)


@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("writer", Writer, citation="tests", fidelity="approximation")
    yield MethodSpec("last_writer", LastWriter, citation="tests", fidelity="approximation")
