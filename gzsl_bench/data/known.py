"""Published facts about the Proposed Split data sets (known.csv), measured on the files themselves.

Sizes and split hashes stand in ``methods/protocol.md`` (sections 1 and 2); FLO's hashes were taken
from its only public file (md5 bb867b474d238874240bef62e4cb979c).  A hash is the first 16 hex digits
of the SHA-256 over the sorted 1-based row numbers as little-endian uint32.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

#: The feature set the published counts belong to: 2048 top units of an ImageNet ResNet-101.
PUBLISHED_FEATURES = "res101"
#: The key of ``att_splits.mat`` the published embedding sizes belong to.
PUBLISHED_ATTRIBUTES = "att"

XLSA17_URL = "https://datasets.d2.mpi-inf.mpg.de/xian/xlsa17.zip"


@dataclass(frozen=True)
class KnownDataset:
    """What is published about one data set.

    Attributes:
        name: the folder's name in the public archive.
        rows: N, images (APY: object instances).
        dimensions: D of ``res101``.
        attributes: A of ``att``.
        seen: number of classes with training rows.
        unseen: number of classes without.
        trainval: number of training rows.
        test_seen: number of test rows of seen classes.
        test_unseen: number of test rows of unseen classes.
        validation: number of classes that play the unseen ones in a shipped fold.
        hashes: split hashes of trainval, test_seen and test_unseen, in this order.
        url: the public archive that holds it.
        citation: the publication, in one line.
        summary: one sentence about the images.
    """

    name: str
    rows: int
    dimensions: int
    attributes: int
    seen: int
    unseen: int
    trainval: int
    test_seen: int
    test_unseen: int
    validation: int
    hashes: tuple[str, str, str]
    url: str
    citation: str
    summary: str

    @property
    def classes(self) -> int:
        """C, seen and unseen classes together."""
        return self.seen + self.unseen


def _read() -> Iterator[KnownDataset]:
    text = (resources.files("gzsl_bench.data") / "known.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        hashes = tuple(row.pop(f"{part}_hash") for part in ("trainval", "test_seen", "test_unseen"))
        values = {name: int(value) if value.isdigit() else value for name, value in row.items()}
        yield KnownDataset(**values, hashes=hashes)  # type: ignore[arg-type]


#: Every data set with published counts, by the name of its folder.
KNOWN: Mapping[str, KnownDataset] = {known.name: known for known in _read()}
