"""Which records came from elsewhere, and what of them nobody has computed again here.

``<out>/imported/<key>.json`` lies beside a record, whose bytes are those of the machine that made
it.  A table says which of its numbers are only believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict
from gzsl_bench.records.layout import Layout


@dataclass(frozen=True)
class Imported:
    """Where a record came from.

    Attributes:
        archive: name of the file.
        time: when.
        believed: names of metrics whose numbers were not computed again.
    """

    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    archive: str
    time: str
    believed: tuple[str, ...] = ()


def note(layout: Layout, key: str, archive: str, believed: Iterable[str]) -> None:
    """Write down that a record was imported.

    Raises:
        RecordError: the folder cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    _write(layout, key, Imported(archive, now, tuple(sorted(believed))))


def settle(layout: Layout, key: str, computed: Iterable[str]) -> None:
    """Some metrics of a record were computed here, if it came from elsewhere.

    Raises:
        RecordError: the folder cannot be written.
    """
    found = strict.read(_adapter(), layout.imported(key))
    if found is not None and found.believed:
        left = tuple(name for name in found.believed if name not in set(computed))
        if left != found.believed:
            _write(layout, key, Imported(found.archive, found.time, left))


def believed(layout: Layout, keys: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Keys of imported records, with the metrics that were never computed here."""
    if not layout.imported("x").parent.is_dir():
        return {}
    found = {key: strict.read(_adapter(), layout.imported(key)) for key in dict.fromkeys(keys)}
    return {key: one.believed for key, one in found.items() if one is not None and one.believed}


def _write(layout: Layout, key: str, content: Imported) -> None:
    path = layout.imported(key)
    try:
        atomic.write_json(path, asdict(content))
    except OSError as error:
        raise RecordError(f"{path} cannot be written: {error}") from None


@cache
def _adapter() -> TypeAdapter[Imported]:
    return TypeAdapter(Imported)
