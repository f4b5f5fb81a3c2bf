"""Unpacking the wanted data sets of a zip archive without trusting it.

Members are found by their last two path components, ``<DATASET>/<file>``, whatever lies before them
(``xlsa17/data/CUB/res101.mat``).  One suspicious member makes the whole archive refused.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gzsl_bench.data.download import DOWNLOADS_FOLDER
from gzsl_bench.errors import DataError

_SUFFIXES = (".mat", ".txt")
#: AWA2's feature file is 0.6 GB, the whole public archive a few GB.
MAX_FILE = 8 << 30
MAX_TOTAL = 64 << 30
#: DEFLATE reaches 1032; feature files reach about 2.
MAX_RATIO = 200
_RATIO_FROM = 1 << 24
#: The public archives have a few hundred members.
MAX_MEMBERS = 100_000
_LONGEST = 1000
#: Names that stand for devices on Windows, whatever follows their first dot.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{p}{n}" for p in ("COM", "LPT") for n in range(10))}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Extracted:
    """What came out of an archive: paths relative to the data folder."""

    written: tuple[str, ...]
    kept: tuple[str, ...]


def extract(
    archive: Path, root: Path, names: Collection[str], *, replace: bool = False
) -> Extracted:
    """Unpack the data sets ``names`` into ``<root>/<name>/``.

    Args:
        archive: a zip file.
        root: the data folder.
        names: data sets to take out of it.
        replace: overwrite files that are there with other content.

    Raises:
        DataError: the archive is damaged or suspicious, lacks a data set, or would overwrite files.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            wanted = _select(archive, bundle.infolist(), names)
            kept, fresh = _compare(bundle, root, wanted, replace)
            _unpack(bundle, root, fresh)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{archive} is damaged and cannot be unpacked ({error}); remove it and download again"
        ) from None
    except OSError as error:
        raise DataError(
            f"{archive} cannot be unpacked below {root} ({error.strerror or error})"
        ) from None
    return Extracted(tuple(sorted(fresh)), tuple(sorted(kept)))


def _select(
    archive: Path, members: Sequence[zipfile.ZipInfo], names: Collection[str]
) -> dict[str, zipfile.ZipInfo]:
    """Members to unpack, by their path below the data folder."""
    if len(members) > MAX_MEMBERS:
        raise DataError(
            f"{archive} is refused: it has {len(members)} members, more than {MAX_MEMBERS} allowed"
        )
    _refuse_overlaps(archive, members)
    wanted: dict[str, zipfile.ZipInfo] = {}
    folded: dict[str, str] = {}
    there: set[str] = set()
    for member in members:
        _refuse(archive, member)
        path = PurePosixPath(member.filename)
        if member.is_dir() or len(path.parts) < 2 or path.name.startswith("._"):
            continue
        known = path.suffix in _SUFFIXES or path.stem.upper() == "README"
        name = path.parts[-2]
        if path.suffix == ".mat":
            there.add(name)
        if not known or name not in names or "__MACOSX" in path.parts:
            continue
        target = f"{name}/{path.name}"
        if target in wanted:
            raise DataError(
                f"{archive} holds {target} twice ({wanted[target].filename} and "
                f"{member.filename}), so it is unclear which to take"
            )
        # Where case does not count one would overwrite the other.
        if folded.setdefault(target.lower(), target) != target:
            raise DataError(
                f"{archive} holds {folded[target.lower()]} and {target}, which are one file on some"
                " systems"
            )
        wanted[target] = member
    lacking = [name for name in names if not any(t.startswith(f"{name}/") for t in wanted)]
    if lacking:
        raise DataError(
            f"{archive} holds no data set {lacking[0]!r}; it holds: "
            f"{', '.join(sorted(there)) or 'none'}"
        )
    total = sum(member.file_size for member in wanted.values())
    if total > MAX_TOTAL:
        raise DataError(f"{archive} would unpack to {total} bytes, more than {MAX_TOTAL} allowed")
    return wanted


def _refuse_overlaps(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse members that share packed bytes: so does a small file that unpacks to petabytes.

    A member takes at least its header (30 bytes), its name and its packed bytes.
    """
    end, last = 0, ""
    for member in sorted(members, key=lambda m: m.header_offset):
        if member.header_offset < end:
            raise DataError(
                f"{archive} is refused: its members {last!r} and {member.filename!r} overlap"
            )
        end = member.header_offset + 30 + len(member.orig_filename) + member.compress_size
        last = member.filename


def _refuse(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name)
    mode = member.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise DataError(
            f"{archive} is refused: its member {name!r} points outside the folder it is unpacked to"
        )
    if not name.isprintable() or len(name) > _LONGEST or any(map(_odd, path.parts)):
        raise DataError(f"{archive} is refused: its member {name!r:.200} is no name of a file")
    if member.flag_bits & 0x1:
        raise DataError(f"{archive} is refused: its member {name!r} is encrypted")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{archive} is refused: its member {name!r} is a link or a special file")
    if member.file_size > MAX_FILE:
        raise DataError(
            f"{archive} is refused: its member {name!r} has {member.file_size} bytes, "
            f"more than {MAX_FILE} allowed"
        )
    if member.file_size > max(_RATIO_FROM, MAX_RATIO * member.compress_size):
        raise DataError(
            f"{archive} is refused: its member {name!r} unpacks to more than {MAX_RATIO} times "
            "its packed size"
        )


def _odd(part: str) -> bool:
    """Whether some system reads a name in another way: a device, or without its last dot."""
    return part.split(".")[0].upper() in _DEVICES or part != part.rstrip(". ")


def _compare(
    bundle: zipfile.ZipFile, root: Path, wanted: dict[str, zipfile.ZipInfo], replace: bool
) -> tuple[list[str], dict[str, zipfile.ZipInfo]]:
    """Split ``wanted`` into what is there already and what has to be written."""
    kept, fresh = [], {}
    for target, member in wanted.items():
        path = root / target
        if path.is_file() and path.stat().st_size == member.file_size and _crc(path) == member.CRC:
            kept.append(target)
        elif path.exists() and not replace:
            raise DataError(
                f"{path} exists with another content than in "
                f"{Path(bundle.filename or '').name}, so nothing was unpacked; move it away, "
                "or give --replace"
            )
        else:
            fresh[target] = member
    return kept, fresh


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def _unpack(bundle: zipfile.ZipFile, root: Path, fresh: dict[str, zipfile.ZipInfo]) -> None:
    """Everything is unpacked and its CRC checked before the first file gets its place."""
    parent = root / DOWNLOADS_FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=parent) as folder:
        for number, member in enumerate(fresh.values()):
            # `read` of a ZipExtFile ends at the declared size and raises where the CRC differs.
            with bundle.open(member) as source, (Path(folder) / str(number)).open("wb") as sink:
                shutil.copyfileobj(source, sink, _BLOCK)
        for number, target in enumerate(fresh):
            path = root / target
            path.parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / str(number)).replace(path)
