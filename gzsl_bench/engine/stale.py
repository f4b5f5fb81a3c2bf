"""Finished cells that another source of the same plugin version made.

The version of an installed plugin stands in the key, its source does not: whoever changes the code,
installs it again and leaves the version as it was would be shown old numbers as finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry


def made_by_other_source(
    cells: Sequence[Cell], registry: Registry, store: RecordStore
) -> Iterator[str]:
    """A sentence for every plugin whose finished cells come from another source than today's.

    Records of versions that did not write the source down say nothing.
    """
    found: Counter[tuple[str, str]] = Counter()
    for key, cell in {cell.key: cell for cell in cells}.items():
        owner = registry.owner("methods", cell.method)
        record = store.read(key)
        if record is None or not record.final:
            continue
        source = record.content.get("plugin_source")
        if source is not None and owner.content is not None and source != owner.content:
            found[owner.distribution, owner.version] += 1
    for (name, version), count in sorted(found.items()):
        cells_are = "1 finished cell was" if count == 1 else f"{count} finished cells were"
        yield (
            f"{cells_are} made by another source of {name} {version} than the installed one, and"
            " they are kept as they are; raise the plugin's version, or install it with pip"
            " install -e, to have them trained anew"
        )
