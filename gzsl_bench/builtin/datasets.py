"""Built-in data sets: the Proposed Split benchmarks, embedded digits, and synthetic shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gzsl_bench.data.known import KNOWN, PUBLISHED_ATTRIBUTES, PUBLISHED_FEATURES
from gzsl_bench.hooks.dataset import DatasetRequest, DatasetSpec, MissingFile
from gzsl_bench.hooks.specs import hookimpl

if TYPE_CHECKING:
    from gzsl_bench.data.gzsl import GZSLData


def _load_folder(request: DatasetRequest) -> GZSLData:
    from gzsl_bench.data.xlsa17 import load

    return load(request)


def _missing_in_folder(request: DatasetRequest) -> Sequence[MissingFile]:
    from gzsl_bench.data.places import missing

    return missing(request)


def _load_digits(request: DatasetRequest) -> GZSLData:
    from gzsl_bench.builtin.digits import load

    return load(request)


def _load_synthetic(request: DatasetRequest) -> GZSLData:
    from gzsl_bench.builtin.synthetic import load

    return load(request)


def folder_spec(name: str) -> DatasetSpec:
    """A data set nobody registered: ``<data>/<name>/`` in the xlsa17 layout."""
    known = KNOWN.get(name)
    return DatasetSpec(
        name=name,
        load=_load_folder,
        missing=_missing_in_folder,
        features=PUBLISHED_FEATURES,
        attributes=PUBLISHED_ATTRIBUTES,
        citation=known.citation if known else "",
        summary=f"{known.summary} {known.url}" if known else "A folder in the xlsa17 layout.",
    )


@hookimpl
def gzsl_bench_datasets() -> Iterator[DatasetSpec]:
    """The data sets that come with gzsl-bench."""
    for name in KNOWN:
        yield folder_spec(name)
    yield DatasetSpec(
        name="digits",
        load=_load_digits,
        features="pixels",
        attributes="strokes",
        citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998",
        summary="1797 handwritten digits of 8 x 8 pixels from scikit-learn; nothing to download.",
    )
    yield DatasetSpec(
        name="synthetic",
        load=_load_synthetic,
        features="CUB",
        attributes="attributes",
        citation="generated",
        summary="Generated data in the true shape of CUB, SUN, AWA1, AWA2, APY or FLO.",
    )
