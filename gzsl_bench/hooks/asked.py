"""Asking a plugin something outside a training: whatever goes wrong is said to be the plugin's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gzsl_bench.errors import GzslBenchError, PluginError, in_one_line

#: Whatever a plugin may raise; Ctrl-C is the user's.
FAULTS = (Exception, SystemExit, GeneratorExit, BaseExceptionGroup)


@contextlib.contextmanager
def asking(who: str) -> Iterator[None]:
    """Ask within the block.

    Args:
        who: what is asked, of which plugin: ``method 'acmr': its axes``.

    Raises:
        GzslBenchError: the plugin's own sentence, as it is.
        PluginError: it raised anything else, ``sys.exit`` included.
    """
    try:
        yield
    except GzslBenchError:
        raise
    except FAULTS as error:
        raise PluginError(f"{who} failed: {in_one_line(error)}") from error
