"""Where data lives on this machine, which variants lie there, and what is missing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Literal

from gzsl_bench.data.arrays import KEYED, PLAIN
from gzsl_bench.data.description import DESCRIPTION_FILE, read_description
from gzsl_bench.data.known import KNOWN, PUBLISHED_FEATURES
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest, MissingFile

DATA_VARIABLE = "GZSL_BENCH_DATA"
SPLITS_FILE = "att_splits.mat"
#: Where region maps lie in a folder of the xlsa17 layout, each in an .npy file.
REGIONS_FOLDER = "regions"
_FEATURE_KEYS = {"features", "labels"}


def default_root() -> Path:
    """The folder used where nobody names one; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_data_dir("gzsl-bench")) / "data"


def resolve_root(given: Path | None) -> Path | None:
    """The folder that holds one folder per data set.

    Args:
        given: the value of ``--data``, which wins over ``GZSL_BENCH_DATA``, which wins over the
            per-user folder.

    Returns:
        The folder, or None where nobody named one and the per-user folder does not exist.

    Raises:
        DataError: the folder that was named does not exist.
    """
    for source, value in (("--data", given), (DATA_VARIABLE, os.environ.get(DATA_VARIABLE))):
        if value:
            root = Path(value).expanduser()
            if not root.is_dir():
                what = "is not a folder" if root.exists() else "does not exist"
                raise DataError(
                    f"{source} names {root}, which {what}; it must be the folder that holds one "
                    "folder per data set"
                )
            return root
    fallback = default_root()
    return fallback if fallback.is_dir() else None


def plain_name(text: str, what: str) -> str:
    """``text``, if it is the name of a file or folder and no path that leads elsewhere.

    Raises:
        DataError: it is empty or holds a separator.
    """
    if not text or text in (".", "..") or any(sign in text for sign in "/\\\0"):
        raise DataError(f"{what} {text!r} must be a plain name without folders")
    return text


def feature_path(folder: Path, features: str) -> Path:
    """The file of a feature set: ``res101`` lies in ``res101.mat``.

    Raises:
        DataError: the name is that of a file or a folder.
    """
    plain_name(features, "the feature set")
    _refuse_format(features, "feature set")
    if features.endswith(".mat"):
        raise DataError(
            f"the feature set {features!r} must be named without .mat: {features[:-4]!r}"
        )
    return folder / f"{features}.mat"


def regions_path(folder: Path, regions: str) -> Path:
    """The file of region maps: ``grid`` lies in ``regions/grid.npy``."""
    return folder / REGIONS_FOLDER / f"{plain_name(regions, 'the region maps')}.npy"


def regions_scale(folder: Path, regions: str) -> Path | None:
    """The scale of region maps: ``grid.scale.npy``, or ``scale.npy``, which is for int8 alone."""
    maps = regions_path(folder, regions)
    own, common = maps.with_suffix(".scale.npy"), maps.with_name("scale.npy")
    if own.is_file():
        return own
    return common if common.is_file() and _head(maps)[1] == "int8" else None


def region_maps(folder: Path) -> tuple[str, ...]:
    """Names of the region maps in ``folder``: arrays of three or four axes, or those described."""
    if is_described(folder):
        return _described(folder, "regions")
    found = sorted((folder / REGIONS_FOLDER).glob("*.npy"))
    return tuple(path.stem for path in found if _head(path)[0] in (3, 4))


def _head(path: Path) -> tuple[int, str]:
    """Dimensions and type of the array in an .npy file; 0 where it cannot be read."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return 0, ""
    return array.ndim, array.dtype.name


def _refuse_format(name: str, what: str) -> None:
    suffix = PurePath(name).suffix
    if suffix != ".mat" and suffix in (*KEYED, *PLAIN):
        raise DataError(
            f"the {what} {name!r} is a {suffix} file, which a {DESCRIPTION_FILE} in the folder can"
            f" name (docs/dataset-plugins.md); without one a {what} is read from .mat files"
        )


def embedding_source(folder: Path, attributes: str) -> tuple[Path, str | None]:
    """File and key of a class embedding; the key is None for a .npy file.

    Raises:
        DataError: it is neither a key, nor FILE.mat:KEY, nor FILE.npy.
    """
    file, colon, key = attributes.rpartition(":")
    if colon:
        if not file.endswith(".mat") or not key:
            raise DataError(
                f"the class embedding {attributes!r} is not understood; it must be a key of "
                f"{SPLITS_FILE}, FILE.mat:KEY or FILE.npy"
            )
        return folder / plain_name(file, "the file of the class embedding"), key
    plain_name(attributes, "the class embedding")
    if not attributes.endswith(".npy"):
        _refuse_format(attributes, "class embedding")
    if attributes.endswith(".mat"):
        raise DataError(
            f"the class embedding {attributes!r} lacks a key; write {attributes}:KEY, "
            f"for example {attributes}:att"
        )
    if attributes.endswith(".npy"):
        return folder / attributes, None
    return folder / SPLITS_FILE, attributes


def missing(request: DatasetRequest) -> list[MissingFile]:
    """Every file that a data set in the xlsa17 layout needs and that is not there.

    The class text files are optional: they add validation folds and are checked where they exist.
    """
    name = plain_name(request.name, "the data set")
    root = request.root
    folder = (root or default_root()) / name
    embedding = embedding_source(folder, request.attributes)[0]
    found = []
    paths = [feature_path(folder, request.features), folder / SPLITS_FILE, embedding]
    if request.second is not None:
        paths.append(feature_path(folder, request.second))
    if request.regions is not None:
        paths.append(regions_path(folder, request.regions))
    for path in dict.fromkeys(paths):
        if root is None:
            hint = (
                f"no data folder is known; name the one that holds {name}/ with --data DIR or "
                f"{DATA_VARIABLE}; {_source(request, path)}"
            )
            found.append(MissingFile(str(path), hint))
        elif not path.is_file():
            found.append(MissingFile(str(path), _source(request, path)))
    return found


def _source(request: DatasetRequest, path: Path) -> str:
    """Where to get one file."""
    known = KNOWN.get(request.name)
    public = path.name in (SPLITS_FILE, f"{PUBLISHED_FEATURES}.mat")
    if known is not None and public:
        hint = f"it is part of {known.url} ('gzsl-bench data get {request.name}' fetches it)"
    elif known is not None:
        hint = f"it is not part of the public archive, so put {path.name} there yourself"
    else:
        hint = (
            f"{request.name} is in no public archive known here, so put your own file of the "
            "xlsa17 layout there"
        )
    if path.name == f"{request.features}.mat" and path.parent.is_dir():
        others = feature_sets(path.parent)
        if others:
            hint += f"; feature sets found there: {', '.join(others)}"
        forms = [s for s in (*KEYED, *PLAIN) if path.with_suffix(s).is_file()]
        if forms:
            hint += (
                f"; {path.with_suffix(forms[0]).name} is there, which a {DESCRIPTION_FILE} in the"
                " folder can name (docs/dataset-plugins.md)"
            )
    return hint


def feature_sets(folder: Path) -> tuple[str, ...]:
    """Names of the feature sets in ``folder`` whose file is there.

    A description lists them; otherwise they are the .mat files with ``features`` and ``labels``.
    """
    if is_described(folder):
        return _described(folder, "features")
    return tuple(
        path.stem
        for path in sorted(folder.glob("*.mat"))
        if path.name != SPLITS_FILE and _shapes(path).keys() >= _FEATURE_KEYS
    )


def embeddings(folder: Path) -> tuple[str, ...]:
    """Names of the class embeddings in ``folder``, in the form that suites use."""
    if is_described(folder):
        return _described(folder, "attributes")
    splits = _shapes(folder / SPLITS_FILE)
    names = [key for key, shape in splits.items() if _is_embedding(key, shape)]
    count = splits[names[0]][1] if names else None
    for path in sorted(folder.glob("*.mat")):
        shapes = _shapes(path)
        if path.name == SPLITS_FILE or shapes.keys() >= _FEATURE_KEYS:
            continue
        names += [
            f"{path.name}:{key}"
            for key, shape in shapes.items()
            if _is_embedding(key, shape) and (count is None or count in shape)
        ]
    return (*names, *(path.name for path in sorted(folder.glob("*.npy"))))


def present(root: Path | None) -> tuple[str, ...]:
    """Names of the folders under ``root`` that have the shape of a data set."""
    return tuple(folder.name for folder in dataset_folders(root))


def dataset_folders(root: Path | None) -> tuple[Path, ...]:
    """The folders under ``root`` that have the shape of a data set: xlsa17's, or a description."""
    if root is None or not root.is_dir():
        return ()
    marks = (SPLITS_FILE, DESCRIPTION_FILE)
    return tuple(sorted({path.parent for mark in marks for path in root.glob(f"*/{mark}")}))


def is_described(folder: Path) -> bool:
    """Whether a folder has a description; it then says where everything is."""
    return (folder / DESCRIPTION_FILE).is_file()


def _described(folder: Path, kind: Literal["features", "attributes", "regions"]) -> tuple[str, ...]:
    """Names in a description whose file is there; a description with a mistake offers none."""
    try:
        parts = getattr(read_description(folder), kind)
    except DataError:
        return ()
    return tuple(name for name, part in parts.items() if (folder / part.file).is_file())


def absent(folder: Path) -> tuple[str, ...]:
    """Files of variants that a description names and that are not there."""
    if not is_described(folder):
        return ()
    try:
        said = read_description(folder)
    except DataError:
        return ()
    files = [part.file for part in (*said.features.values(), *said.attributes.values())]
    for maps in said.regions.values():
        files += filter(None, (maps.file, maps.scale))
    return tuple(file for file in files if not (folder / file).is_file())


def _is_embedding(key: str, shape: Sequence[int]) -> bool:
    return not key.endswith("_loc") and len(shape) == 2 and min(shape) > 1


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Numeric variables of a file; a file that cannot be read offers none."""
    from gzsl_bench.data.matfile import variables

    try:
        return {item.name: item.shape for item in variables(path) if item.kind != "cell"}
    except DataError:
        return {}
