"""Published facts about the Proposed Split data sets, measured on the files themselves.

Sizes and split hashes stand in ``methods/protocol.md`` (sections 1 and 2); FLO's hashes were taken
from its only public file (md5 bb867b474d238874240bef62e4cb979c).  A hash is the first 16 hex digits
of the SHA-256 over the sorted 1-based row numbers as little-endian uint32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: The feature set the published counts belong to: 2048 top units of an ImageNet ResNet-101.
PUBLISHED_FEATURES = "res101"
#: The key of ``att_splits.mat`` the published embedding sizes belong to.
PUBLISHED_ATTRIBUTES = "att"

XLSA17_URL = "https://datasets.d2.mpi-inf.mpg.de/xian/xlsa17.zip"
CVPR18_URL = "https://datasets.d2.mpi-inf.mpg.de/xian/cvpr18xian.zip"

_GBU = 'Xian et al., "Zero-Shot Learning - the Good, the Bad and the Ugly", TPAMI 2019'


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


# fmt: off
# name, N, D, A, seen, unseen, trainval, test_seen, test_unseen, validation; hashes, archive
_ALL = (
    KnownDataset(
        "CUB", 11788, 2048, 312, 150, 50, 7057, 1764, 2967, 50,
        ("e091fdc34eb7c477", "9a9935dc8eda67e5", "d5e33c9b50f467d9"), XLSA17_URL,
        f"Wah et al., Caltech-UCSD Birds 200-2011; split: {_GBU}",
        "11788 photographs of 200 bird species, 312 attributes.",
    ),
    KnownDataset(
        "SUN", 14340, 2048, 102, 645, 72, 10320, 2580, 1440, 65,
        ("27694f7da84b0ebd", "3db926038016c5dc", "f9add70895d1eb90"), XLSA17_URL,
        f"Patterson and Hays, SUN Attribute Database, CVPR 2012; split: {_GBU}",
        "14340 photographs of 717 kinds of scene, 102 attributes.",
    ),
    KnownDataset(
        "AWA1", 30475, 2048, 85, 40, 10, 19832, 4958, 5685, 13,
        ("236311b9544b09d9", "5644a79bce732bd0", "8c7e80bc11da881c"), XLSA17_URL,
        f"Lampert et al., Animals with Attributes, CVPR 2009; split: {_GBU}",
        "30475 photographs of 50 animals, 85 attributes; images are not distributed.",
    ),
    KnownDataset(
        "AWA2", 37322, 2048, 85, 40, 10, 23527, 5882, 7913, 13,
        ("da94a265310b9935", "25af664ab97e0c21", "cb2fc9299bb1da98"), XLSA17_URL,
        _GBU,
        "37322 photographs of 50 animals, 85 attributes.",
    ),
    KnownDataset(
        "APY", 15339, 2048, 64, 20, 12, 5932, 1483, 7924, 5,
        ("9251171976e5a27c", "cb43a26c8a60da63", "25fd251a57ecbe62"), XLSA17_URL,
        f"Farhadi et al., Describing Objects by Their Attributes, CVPR 2009; split: {_GBU}",
        "15339 objects of 32 classes (aPascal and aYahoo), 64 attributes.",
    ),
    KnownDataset(
        "FLO", 8189, 2048, 1024, 82, 20, 5631, 1403, 1155, 20,
        ("77a6fc0c5fd6a693", "de7f5fb39c09e1d2", "4b86b75a6dc579df"), CVPR18_URL,
        "Nilsback and Zisserman, Oxford Flowers 102, ICVGIP 2008; split: Xian et al., "
        '"Feature Generating Networks for Zero-Shot Learning", CVPR 2018',
        "8189 photographs of 102 flowers, 1024-d sentence embeddings.",
    ),
)
# fmt: on

#: Every data set with published counts, by the name of its folder.
KNOWN: Mapping[str, KnownDataset] = {known.name: known for known in _ALL}
