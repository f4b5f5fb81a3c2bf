"""Built-in data sets: the Proposed Split benchmarks, embedded digits, and synthetic shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gzsl_bench.data.known import KNOWN, PUBLISHED_ATTRIBUTES, PUBLISHED_FEATURES
from gzsl_bench.hooks.dataset import DatasetRequest, DatasetSpec, MissingFile
from gzsl_bench.hooks.specs import hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from gzsl_bench.data.description import Description
    from gzsl_bench.data.gzsl import GZSLData


def _described(request: DatasetRequest) -> bool:
    from gzsl_bench.data.places import is_described, plain_name

    name = plain_name(request.name, "the data set")
    return request.root is not None and is_described(request.root / name)


def _load_folder(request: DatasetRequest) -> GZSLData:
    if _described(request):
        from gzsl_bench.data import described

        return described.load(request)
    from gzsl_bench.data.xlsa17 import load

    return load(request)


def _missing_in_folder(request: DatasetRequest) -> Sequence[MissingFile]:
    if _described(request):
        from gzsl_bench.data import described

        return described.missing(request)
    from gzsl_bench.data.places import missing

    return missing(request)


def _load_digits(request: DatasetRequest) -> GZSLData:
    from gzsl_bench.builtin.digits import load

    return load(request)


def _load_synthetic(request: DatasetRequest) -> GZSLData:
    from gzsl_bench.builtin.synthetic import load

    return load(request)


def folder_spec(name: str, root: Path | None = None) -> DatasetSpec:
    """A data set nobody registered: ``<data>/<name>/``, described or in the xlsa17 layout.

    Args:
        name: the folder's name.
        root: the data folder: a description there says which variant is the default.
    """
    known = KNOWN.get(name)
    content = None if root is None else _description(name, root)
    regions = () if root is None else _regions(name, root)
    spec = partial(
        DatasetSpec, name=name, load=_load_folder, missing=_missing_in_folder, regions=regions
    )
    if content is not None:
        return spec(
            features=next(iter(content.features)),
            attributes=next(iter(content.attributes)),
            citation=content.citation,
            summary=content.summary or "A folder with a dataset.yaml.",
        )
    return spec(
        features=PUBLISHED_FEATURES,
        attributes=PUBLISHED_ATTRIBUTES,
        citation=known.citation if known else "",
        summary=f"{known.summary} {known.url}" if known else "A folder in the xlsa17 layout.",
    )


def _regions(name: str, root: Path) -> tuple[str, ...]:
    from gzsl_bench.data.places import plain_name, region_maps

    return region_maps(root / plain_name(name, "the data set"))


def reads(spec: DatasetSpec) -> bool:
    """Whether a reader that comes along loads a data set: it has checked and identified it."""
    return spec.load in (_load_folder, _load_digits, _load_synthetic)


def current_spec(spec: DatasetSpec, root: Path | None) -> DatasetSpec:
    """``spec``, or for a folder of ``root`` with a description what that says."""
    return folder_spec(spec.name, root) if spec.load is _load_folder else spec


def _description(name: str, root: Path) -> Description | None:
    from gzsl_bench.data.places import is_described, plain_name

    folder = root / plain_name(name, "the data set")
    if not is_described(folder):
        return None
    from gzsl_bench.data.description import read_description
    from gzsl_bench.errors import DataError

    try:
        return read_description(folder)
    except DataError:
        return None  # whoever loads the data set is told what is wrong


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
