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


_ALL = (
    KnownDataset(
        name="CUB",
        rows=11788,
        dimensions=2048,
        attributes=312,
        seen=150,
        unseen=50,
        trainval=7057,
        test_seen=1764,
        test_unseen=2967,
        validation=50,
        hashes=("e091fdc34eb7c477", "9a9935dc8eda67e5", "d5e33c9b50f467d9"),
        url=XLSA17_URL,
        citation=f"Wah et al., Caltech-UCSD Birds 200-2011; split: {_GBU}",
        summary="11788 photographs of 200 bird species, 312 attributes.",
    ),
    KnownDataset(
        name="SUN",
        rows=14340,
        dimensions=2048,
        attributes=102,
        seen=645,
        unseen=72,
        trainval=10320,
        test_seen=2580,
        test_unseen=1440,
        validation=65,
        hashes=("27694f7da84b0ebd", "3db926038016c5dc", "f9add70895d1eb90"),
        url=XLSA17_URL,
        citation=f"Patterson and Hays, SUN Attribute Database, CVPR 2012; split: {_GBU}",
        summary="14340 photographs of 717 kinds of scene, 102 attributes.",
    ),
    KnownDataset(
        name="AWA1",
        rows=30475,
        dimensions=2048,
        attributes=85,
        seen=40,
        unseen=10,
        trainval=19832,
        test_seen=4958,
        test_unseen=5685,
        validation=13,
        hashes=("236311b9544b09d9", "5644a79bce732bd0", "8c7e80bc11da881c"),
        url=XLSA17_URL,
        citation=f"Lampert et al., Animals with Attributes, CVPR 2009; split: {_GBU}",
        summary="30475 photographs of 50 animals, 85 attributes; images are not distributed.",
    ),
    KnownDataset(
        name="AWA2",
        rows=37322,
        dimensions=2048,
        attributes=85,
        seen=40,
        unseen=10,
        trainval=23527,
        test_seen=5882,
        test_unseen=7913,
        validation=13,
        hashes=("da94a265310b9935", "25af664ab97e0c21", "cb2fc9299bb1da98"),
        url=XLSA17_URL,
        citation=_GBU,
        summary="37322 photographs of 50 animals, 85 attributes.",
    ),
    KnownDataset(
        name="APY",
        rows=15339,
        dimensions=2048,
        attributes=64,
        seen=20,
        unseen=12,
        trainval=5932,
        test_seen=1483,
        test_unseen=7924,
        validation=5,
        hashes=("9251171976e5a27c", "cb43a26c8a60da63", "25fd251a57ecbe62"),
        url=XLSA17_URL,
        citation=f"Farhadi et al., Describing Objects by Their Attributes, CVPR 2009; split:"
        f" {_GBU}",
        summary="15339 objects of 32 classes (aPascal and aYahoo), 64 attributes.",
    ),
    KnownDataset(
        name="FLO",
        rows=8189,
        dimensions=2048,
        attributes=1024,
        seen=82,
        unseen=20,
        trainval=5631,
        test_seen=1403,
        test_unseen=1155,
        validation=20,
        hashes=("77a6fc0c5fd6a693", "de7f5fb39c09e1d2", "4b86b75a6dc579df"),
        url=CVPR18_URL,
        citation=(
            "Nilsback and Zisserman, Oxford Flowers 102, ICVGIP 2008; split: Xian et al., "
            '"Feature Generating Networks for Zero-Shot Learning", CVPR 2018'
        ),
        summary="8189 photographs of 102 flowers, 1024-d sentence embeddings.",
    ),
)

#: Every data set with published counts, by the name of its folder.
KNOWN: Mapping[str, KnownDataset] = {known.name: known for known in _ALL}
