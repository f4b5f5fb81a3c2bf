"""Memory of a task that nobody can write to."""

from __future__ import annotations

import errno
import fcntl
import os

import numpy as np
import pytest

from gzsl_bench.data.tasks import prepare
from gzsl_bench.engine import sealed
from gzsl_bench.errors import DataError


@pytest.mark.parametrize(("refusals", "enough"), [(0, True), (3, True), (99, False)])
def test_memory_that_the_system_looks_at_is_sealed_a_moment_later(
    tiny, monkeypatch, refusals, enough
):
    """Seen on a busy machine: a cell failed with "Device or resource busy"."""
    asked, paused = [], []
    real = fcntl.fcntl

    def busy(descriptor, command, *more):
        if command == fcntl.F_ADD_SEALS:
            asked.append(descriptor)
            if len(asked) <= refusals:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return real(descriptor, command, *more)

    monkeypatch.setattr(fcntl, "fcntl", busy)
    monkeypatch.setattr(sealed.time, "sleep", paused.append)
    data = prepare(tiny, "none")
    if not enough:
        with pytest.raises(DataError, match="busy"):
            sealed.Sealed.of(data)
        return
    memory = sealed.Sealed.of(data)
    try:
        assert len(paused) == refusals
        with pytest.raises(PermissionError):
            os.pwrite(memory.descriptor, b"x", 0)
        for name, array in vars(memory.pristine()).items():
            np.testing.assert_array_equal(array, vars(data)[name])
    finally:
        memory.close()


def test_a_limit_of_files_is_told_with_what_lifts_it(tiny, monkeypatch):
    def refuse(size, arrays):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(sealed, "_fill", refuse)
    with pytest.raises(DataError, match=r"File too large \(ulimit -f unlimited allows it\)"):
        sealed.Sealed.of(prepare(tiny, "none"))
