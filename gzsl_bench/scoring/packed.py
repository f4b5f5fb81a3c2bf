"""How ``predictions.npz`` holds predictions so that they compress, and how scores are rounded.

Checkpoints resemble one another, so every array is stored row by row of the test set, one byte of
its numbers after the other: what hardly changes stands together.  The best class of all follows
from the scores and is left out.  Nothing is lost by that.

The low bits of scores are noise and take most of the room.  A training with very many checkpoints
keeps of each row the difference between best seen and best unseen score, *rounded to odd*: bits
beyond the eighth are cut off, and if any was set the eighth is.  Then the difference lies on the
same side of every number with seven bits as it did before, or is equal to it if it was.  So for
every gamma of seven bits (:func:`short`) each row is decided as by the full scores.  (Differences
below 2.2e-308 keep their sign alone.)
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import IO

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import FloatArray, Predictions

Arrays = Mapping[str, np.ndarray]
#: Bits of a bias that decides rows as the full scores would.
BITS = 7
#: Rows times checkpoints whose scores are kept in full: about 10 MB.
MOST_EXACT = 1_600_000
_CLASSES = ("predicted", "predicted_seen", "predicted_unseen")
_SCORES = ("best_seen", "best_unseen")
#: Bytes that LZMA looks back; what is written here looks back 8 MiB.
_MOST_WINDOW = 64 * 2**20
#: Bits of a float64's fraction that are cut off.
_CUT = 52 - BITS


def rounded(predictions: Predictions) -> Predictions:
    """With the rounded difference of the two best scores in place of ``best_seen``, 0 beside it.

    Raises:
        ValueError: the predictions carry no scores.
    """
    if predictions.best_seen is None or predictions.best_unseen is None:
        raise ValueError("there are no scores to be rounded")
    found = difference(predictions.best_seen, predictions.best_unseen)
    return replace(predictions, best_seen=found, best_unseen=np.zeros_like(found), rounded=True)


def difference(best_seen: np.ndarray, best_unseen: np.ndarray) -> FloatArray:
    """How much higher the best seen score is than the best unseen one, element by element.

    Rounded to odd, as the module says.
    """
    full = np.ascontiguousarray(np.subtract(best_seen, best_unseen, dtype=np.float64))
    bits = full.view(np.int64)
    last, rest = np.int64(1 << _CUT), np.int64((1 << _CUT) - 1)
    return np.where(bits & rest, bits & ~rest | last, bits).view(np.float64)


def short(gamma: float) -> float:
    """The number of seven bits that is nearest to a bias."""
    fraction, exponent = math.frexp(gamma)
    return math.ldexp(round(math.ldexp(fraction, BITS)), exponent - BITS)


def write(file: IO[bytes], arrays: Arrays) -> None:
    """Write an ``.npz`` of packed arrays, the same bytes for the same arrays.

    Where scores are rounded room counts, and bzip2 and LZMA save a sixth of what zlib takes; they
    are slower to read.
    """
    many = bool(arrays.get("rounded", False))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in packed(arrays).items():
            member = zipfile.ZipInfo(f"{name}.npy")
            member.compress_type = _smallest(name, array) if many else zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as place:
                np.lib.format.write_array(place, np.asanyarray(array), allow_pickle=False)


def read(raw: bytes, most: int) -> dict[str, np.ndarray]:
    """The arrays that :func:`write` was given, from the bytes of the file.

    Args:
        raw: the file.
        most: bytes that it may unpack to.

    Raises:
        RecordError: it unpacks to more, or holds none of ours.
        Exception: it is no such file; zipfile, zlib and numpy raise many things.
    """
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > most:
            raise RecordError(f"they unpack to {size} bytes, more than {most}")
        members = {m.filename: m for m in archive.infolist()}
        return unpacked(
            {n.removesuffix(".npy"): _array(_member(archive, m, raw)) for n, m in members.items()}
        )


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, raw: bytes) -> bytes:
    """A member of an archive in memory, and never more bytes than its index says it has.

    :meth:`zipfile.ZipFile.read` is slower, and unpacks whatever bzip2 and LZMA hold at once.
    """
    packed_so = member.compress_type
    if packed_so not in _UNPACKERS:
        return archive.read(member)  # as it is, or a way that nobody knows
    at = member.header_offset
    lengths = raw[at + 26 : at + 30]
    # Flags: LZMA marks its end, names are UTF-8, sizes came later; here the index has them.
    if member.flag_bits & ~0x80A or raw[at : at + 4] != b"PK\x03\x04" or len(lengths) < 4:
        raise zipfile.BadZipFile(f"its {member.filename} is packed as no record's is")
    begin = at + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    body = raw[begin : begin + member.compress_size]
    found = _UNPACKERS[packed_so](body, member.file_size + 1)
    if len(found) != member.file_size or zlib.crc32(found) != member.CRC:
        raise zipfile.BadZipFile(f"its {member.filename} is not what its index says")
    return found


def _inflated(body: bytes, most: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, most)


def _from_bzip2(body: bytes, most: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(body, most)


def _from_lzma(body: bytes, most: int) -> bytes:
    """Of a zip's member: two bytes of a version, the length of the properties, these, the rest."""
    size = int.from_bytes(body[2:4], "little")
    first, window = body[4], int.from_bytes(body[5:9], "little")
    if size != 5 or window > _MOST_WINDOW:  # which is set aside in memory
        raise zipfile.BadZipFile(f"its LZMA looks back {window} bytes, by {size} properties")
    rest, context = divmod(first, 9)
    position, literal = divmod(rest, 5)
    how = {"id": lzma.FILTER_LZMA1, "dict_size": window, "lc": context, "lp": literal,
           "pb": position}  # fmt: skip
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[how]).decompress(body[9:], most)


_UNPACKERS = {
    zipfile.ZIP_DEFLATED: _inflated,
    zipfile.ZIP_BZIP2: _from_bzip2,
    zipfile.ZIP_LZMA: _from_lzma,
}


def _array(raw: bytes) -> np.ndarray:
    """An array from a ``.npy`` file; :func:`numpy.load` parses each header as Python code."""
    if raw[:8] != b"\x93NUMPY\x01\x00":
        return np.asarray(np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False))
    begin = 10 + int.from_bytes(raw[8:10], "little")
    shape, by_column, dtype = _header(raw[8:begin])
    flat = np.frombuffer(raw, dtype, math.prod(shape), begin)
    return flat.reshape(shape, order="F" if by_column else "C")


@lru_cache(maxsize=1024)
def _header(raw: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type; the same few stand in thousands of records."""
    return np.lib.format.read_array_header_1_0(io.BytesIO(raw))


def _smallest(name: str, array: np.ndarray) -> int:
    """How an array should be compressed: which way is best for classes depends on the training."""
    if name not in _CLASSES:
        return zipfile.ZIP_BZIP2
    raw = array.tobytes()
    shorter = len(lzma.compress(raw)) < len(bz2.compress(raw))
    return zipfile.ZIP_LZMA if shorter else zipfile.ZIP_BZIP2


def packed(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays of a file; those that are no predictions stay as they are.

    Args:
        arrays: ``predicted``, ``predicted_seen``, ``predicted_unseen`` [K, N], ``best_seen``,
            ``best_unseen`` [J, N] and lists.
    """
    found = dict(arrays)
    if not all(name in arrays and _ordinary(name, arrays[name]) for name in (*_CLASSES, *_SCORES)):
        return found
    if np.array_equal(_best(arrays), arrays["predicted"]):
        del found["predicted"]
    for name in found.keys() & {*_CLASSES, *_SCORES}:
        found[name] = _planes(found[name])
    return found


def unpacked(arrays: Arrays) -> dict[str, np.ndarray]:
    """What :func:`packed` was given; arrays that were never packed stay as they are.

    Raises:
        RecordError: they are none of ours.
    """
    found = dict(arrays)
    for name in (*_CLASSES, *_SCORES):
        if name in found and found[name].ndim == 3:
            found[name] = _whole(name, found[name])
    lacks = [name for name in (*_CLASSES, *_SCORES) if name not in found]
    if lacks == ["predicted"]:
        found["predicted"] = _best(found)
        if len({found[name].shape for name in (*_CLASSES, *_SCORES)}) > 1:
            raise RecordError("its arrays are not of one shape")
    return found


def _ordinary(name: str, array: np.ndarray) -> bool:
    if array.ndim != 2:
        return False
    if name in _SCORES:
        return array.dtype in (np.float32, np.float64)
    return array.dtype.kind in "iu" and int(array.min(initial=0)) >= 0


def _best(arrays: Arrays) -> np.ndarray:
    """[K, N] The class with the better score, of equal ones the first."""
    seen, unseen, of_seen, of_unseen = (arrays[name] for name in (*_CLASSES[1:], *_SCORES))
    if not seen.shape == unseen.shape == of_seen.shape == of_unseen.shape:
        return np.zeros((0, 0), seen.dtype)
    first = np.minimum(seen, unseen)
    return np.where(of_seen == of_unseen, first, np.where(of_seen > of_unseen, seen, unseen))


def _planes(array: np.ndarray) -> np.ndarray:
    """[K, N] -> [bytes, N, K], the lowest byte first; a sign comes last of a number's bits."""
    rows = np.ascontiguousarray(array.T)
    size = rows.itemsize
    if rows.dtype.kind == "f":
        bits = rows.view(f"u{size}")
        rows = bits << 1 | bits >> (8 * size - 1)
    else:
        rows = rows.astype(np.min_scalar_type(int(rows.max(initial=0))))
        size = rows.itemsize
    split = rows.astype(rows.dtype.newbyteorder("<")).view(np.uint8).reshape(*rows.shape, size)
    return np.ascontiguousarray(np.moveaxis(split, -1, 0))


def _whole(name: str, planes: np.ndarray) -> np.ndarray:
    size = len(planes)
    if planes.dtype != np.uint8 or size not in ((4, 8) if name in _SCORES else (1, 2, 4, 8)):
        raise RecordError(f"its {name} is {planes.dtype} of the shape {planes.shape}")
    rows = np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view(f"<u{size}")[..., 0]
    if name in _SCORES:
        rows = (rows >> 1 | rows << (8 * size - 1)).view(f"<f{size}")
    return np.ascontiguousarray(rows.T)
