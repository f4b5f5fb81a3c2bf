"""Which line of a plugin a call, or an exception, came from."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import torch

_OURS = str(Path(__file__).parent)
_TORCH = str(Path(torch.__file__).parent)


def caller() -> str:
    """``method.py, line 12``: the innermost line outside torch and this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_OURS, _TORCH, "<")):
            break
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"


def failed_in(module: str, error: BaseException | None) -> str:
    """The innermost line of the package of ``module`` that an exception went through, or ""."""
    package, found = module.partition(".")[0], ""
    for frame, line in traceback.walk_tb(error.__traceback__ if error else None):
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package:
            found = f"{Path(frame.f_code.co_filename).name}, line {line}"
    return found
