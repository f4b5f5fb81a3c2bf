"""The variables of a MATLAB 5 file, read with every length and checksum checked.

SciPy's reader is written for sound files: a single changed byte can end the process with a
segmentation fault, and an unpacked variable's checksum is not always looked at.  Here a length that
does not fit raises :class:`Damaged`, and what is allocated never exceeds what the file holds.

The format is MathWorks' "MAT-File Level 5 File Format": elements of a tag (type and length) and its
bytes; a matrix is an element of elements: flags, dimensions, name, values.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

HEADER = 128
COMPRESSED, MATRIX = 15, 14
#: Byte order, by the last two bytes of the header.
ENDIAN = {b"IM": "<", b"MI": ">"}
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
#: Types that text comes in, and how to decode it: bytes are UTF-8.
_TEXTS = {1: "utf-8", 2: "utf-8", 16: "utf-8", 4: "utf-16", 17: "utf-16", 18: "utf-32"}
_KINDS = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single",
    8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64",
    15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip
_CELL, _CHAR, _OPAQUE = 1, 4, 17
_NUMERIC = range(6, 16)
#: Types that values of a numeric class are stored in: its own, or a smaller one that holds them.
_CLASSES = dict(zip(_NUMERIC, (9, 7, 1, 2, 3, 4, 5, 6, 12, 13), strict=True))
_STORED = {
    code: {own}
    | {
        other
        for other, kind in _NUMBERS.items()
        if int(kind[1]) < int(_NUMBERS[own][1]) and (_NUMBERS[own][0] == "f" or kind[0] != "f")
    }
    for code, own in _CLASSES.items()
}
_INT8, _INT32, _UINT32 = 1, 5, 6
_LOGICAL, _COMPLEX = 0x02, 0x08
#: Cells within cells; data sets have lists of names.
_DEEPEST = 8
_BLOCK = 1 << 22
#: Flags, dimensions and name of any variable fit into this.
_HEAD = 1 << 16


class Damaged(ValueError):
    """The bytes are no variable; the text says what does not fit."""


@dataclass(frozen=True)
class Head:
    """What stands before a variable's values.

    Attributes:
        name: the variable's.
        shape: its dimensions.
        kind: its class in MATLAB: ``double``, ``cell``, ``char``, ...
    """

    name: str
    shape: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class _Part:
    """An element within a matrix: where its bytes are, and where the next one begins."""

    type: int
    start: int
    end: int
    next: int


def heads(file: BinaryIO) -> list[Head]:
    """Names, shapes and classes of all variables; values are not read.

    Raises:
        Damaged: the file does not fit together.
    """
    order = _order(file)
    return [
        _Reader(content, order, size).head()[0]
        for content, size in _elements(file, order, head_only=True)
    ]


def read(file: BinaryIO, wanted: set[str]) -> dict[str, NDArray[Any]]:
    """The variables in ``wanted`` that are there, as NumPy arrays in MATLAB's order of axes.

    Numbers come in the type they are stored in, cells as object arrays, text as arrays of strings
    along all axes but the last.  What is neither comes as an empty object array: nobody can use it.

    Raises:
        Damaged: the file does not fit together, or a name stands twice.
    """
    order = _order(file)
    found: dict[str, NDArray[Any]] = {}
    names = [head.name for head in heads(file)]
    for name in wanted:
        if names.count(name) > 1:
            raise Damaged(f"it holds {name!r} twice")
    # One element at a time: the next may be as large as memory.
    for content, size in _elements(
        file, order, skip={i for i, n in enumerate(names) if n not in wanted}
    ):
        reader = _Reader(content, order, size)
        head, _, _ = reader.head()
        found[head.name] = reader.value()
    return found


def _order(file: BinaryIO) -> str:
    file.seek(0)
    head = file.read(HEADER)
    if head[126:] not in ENDIAN:
        raise Damaged("its header names no byte order")
    order = ENDIAN[head[126:]]
    version = int(np.frombuffer(head[124:126], f"{order}u2")[0])
    if version != 0x0100:
        raise Damaged(f"its header names the version {version}")
    return order


def _elements(
    file: BinaryIO, order: str, *, head_only: bool = False, skip: set[int] | None = None
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Bytes of the top-level matrices (of their heads alone, if so asked), and their sizes."""
    file.seek(0, 2)
    size, offset, number = file.tell(), HEADER, 0
    while offset < size:
        file.seek(offset)
        kind, length = _tag(file.read(8), order)
        if kind not in (COMPRESSED, MATRIX) or offset + 8 + length > size:
            raise Damaged(f"no variable begins at byte {offset}")
        offset += 8 + length
        if skip is None or number not in skip:
            if kind == COMPRESSED:
                yield _unpacked(file, length, order, head_only)
            else:
                yield _bytes(file, min(length, _HEAD) if head_only else length), length
        number += 1


def _tag(raw: bytes, order: str) -> tuple[int, int]:
    if len(raw) < 8:
        raise Damaged("it ends within a tag")
    kind, length = (int(value) for value in np.frombuffer(raw, f"{order}u4"))
    return kind, length


def _bytes(file: BinaryIO, length: int) -> NDArray[np.uint8]:
    content = np.empty(length, np.uint8)
    if file.readinto(content.data) != length:  # type: ignore[attr-defined]
        raise Damaged("it ends within a variable")
    return content


def _unpacked(
    file: BinaryIO, packed: int, order: str, head_only: bool
) -> tuple[NDArray[np.uint8], int]:
    """A compressed matrix; the whole of it is read to its checksum unless the head is enough."""
    machine = zlib.decompressobj()
    try:
        first = machine.decompress(file.read(min(packed, _BLOCK)), 8)
        left = packed - min(packed, _BLOCK)
        kind, length = _tag(first, order)
        if kind != MATRIX:
            raise Damaged("a compressed element is no variable")
        if length > 1032 * packed:  # DEFLATE packs no tighter
            raise Damaged("a variable is longer than its packed bytes allow")
        room = min(length, _HEAD) if head_only else length
        content = np.empty(room, np.uint8)
        filled = 0
        source = machine.unconsumed_tail
        while not machine.eof:
            # One byte more than there is room for shows what is too long.
            block = machine.decompress(source, min(_BLOCK, room - filled) + 1)
            fits = min(len(block), room - filled)
            content[filled : filled + fits] = np.frombuffer(block, np.uint8, fits)
            filled += fits
            if head_only and filled == room:
                return content, length
            if fits < len(block):
                raise Damaged("a variable is longer than it says")
            source = machine.unconsumed_tail
            if not source and not machine.eof:
                if not left and not block:
                    raise Damaged("a compressed variable has no end")
                source = file.read(min(left, _BLOCK))
                left -= len(source)
    except zlib.error as error:
        raise Damaged(f"a compressed variable cannot be unpacked: {error}") from None
    if filled < room:
        raise Damaged("a variable is shorter than it says")
    if machine.unused_data or left:
        raise Damaged("something follows a compressed variable")
    return content, length


class _Reader:
    """Reads one matrix element from its bytes (those after its tag)."""

    def __init__(self, content: NDArray[np.uint8], order: str, size: int, depth: int = 0) -> None:
        self._content = content
        self._order = order
        self._size = size
        self._depth = depth

    def head(self) -> tuple[Head, int, int]:
        """Name, shape and class; flags; and where the values begin."""
        flags = self._part(0, {_UINT32})
        if flags.end - flags.start != 8:
            raise Damaged("the flags of a variable are not two numbers")
        word = int(self._numbers(flags, "u4")[0])
        code = word & 0xFF
        if code not in _KINDS:
            raise Damaged(f"no variable is of the class {code}")
        if code == _OPAQUE:  # MATLAB's own objects have no dimensions
            return Head(self._name(self._part(flags.next, {_INT8})), (), "opaque"), word, 0
        dims = self._part(flags.next, {_INT32, _UINT32})
        shape = tuple(int(n) for n in self._numbers(dims, "i4"))
        if len(shape) < 2 or len(shape) > 32 or min(shape) < 0:
            raise Damaged(f"no variable has the dimensions {shape}")
        name = self._part(dims.next, {_INT8})
        logical = (word >> 8) & _LOGICAL
        kind = "logical" if logical and code in _NUMERIC else _KINDS[code]
        return Head(self._name(name), shape, kind), word, name.next

    def value(self) -> NDArray[Any]:
        """The values, of ``head().shape``."""
        head, word, start = self.head()
        code = word & 0xFF
        if code in _NUMERIC:
            return self._numeric(code, head.shape, start, bool((word >> 8) & _COMPLEX))
        if code == _CHAR:
            return self._text(head.shape, start)
        if code == _CELL:
            return self._cell(head.shape, start)
        return np.empty(0, dtype=object)

    def _numeric(
        self, code: int, shape: tuple[int, ...], start: int, is_complex: bool
    ) -> NDArray[Any]:
        real = self._part(start, _STORED[code])
        values = self._counted(real, shape)
        after = real.next
        if is_complex:
            imaginary = self._part(after, _STORED[code])
            # A sum with 1j * imaginary would turn an infinite part into NaN.
            whole = np.empty_like(values, dtype=(np.empty(0, values.dtype) + 1j).dtype)
            whole.real, whole.imag = values, self._counted(imaginary, shape)
            values = whole
            after = imaginary.next
        self._ends(after)
        return values

    def _counted(self, part: _Part, shape: tuple[int, ...]) -> NDArray[Any]:
        values = self._numbers(part, _NUMBERS[part.type])
        if values.size != math.prod(shape):
            raise Damaged(f"{values.size} values do not make an array of the shape {shape}")
        return values.reshape(shape, order="F")

    def _text(self, shape: tuple[int, ...], start: int) -> NDArray[Any]:
        part = self._part(start, set(_TEXTS))
        self._ends(part.next)
        codec = _TEXTS[part.type]
        raw = self._content[part.start : part.end].tobytes()
        if codec != "utf-8":
            codec += "-le" if self._order == "<" else "-be"
        try:
            signs = np.array(list(raw.decode(codec)), dtype="U1")
        except UnicodeDecodeError:
            raise Damaged("a text cannot be decoded") from None
        if signs.size != math.prod(shape):
            raise Damaged(f"{signs.size} signs do not make a text of the shape {shape}")
        if not signs.size:
            return np.empty(0, dtype="U1")
        lines = signs.reshape(shape, order="F").reshape(-1, shape[-1])
        return np.array(["".join(line) for line in lines]).reshape(shape[:-1])

    def _cell(self, shape: tuple[int, ...], start: int) -> NDArray[Any]:
        count = math.prod(shape)
        if self._depth >= _DEEPEST:
            raise Damaged("cells lie too deep in one another")
        if count > (self._size - start) // 8:
            raise Damaged(f"there is no room for {count} cells")
        found = np.empty(count, dtype=object)
        for number in range(count):
            part = self._part(start, {MATRIX})
            inner = self._content[part.start : part.end]
            size = part.end - part.start
            # MATLAB writes an empty matrix as a tag alone.
            found[number] = (
                _Reader(inner, self._order, size, self._depth + 1).value()
                if size
                else np.empty((0, 0))
            )
            start = part.next
        self._ends(start)
        return found.reshape(shape, order="F")

    def _part(self, start: int, types: set[int]) -> _Part:
        """The element that begins at ``start``; short ones share their tag's eight bytes."""
        raw = self._content[start : start + 8].tobytes()
        kind, length = _tag(raw, self._order)
        if kind >> 16:
            kind, length, begin = kind & 0xFFFF, kind >> 16, start + 4
            after = start + 8
            if length > 4:
                raise Damaged("a short element is longer than four bytes")
        else:
            begin = start + 8
            after = begin + -(-length // 8) * 8
        if kind not in types:
            raise Damaged(f"an element has the unexpected type {kind}")
        if begin + length > len(self._content):
            raise Damaged("an element is longer than what it lies in")
        return _Part(kind, begin, begin + length, min(after, self._size))

    def _numbers(self, part: _Part, dtype: str) -> NDArray[Any]:
        kind = np.dtype(self._order + dtype)
        if (part.end - part.start) % kind.itemsize:
            raise Damaged("an element's length is no multiple of its numbers' size")
        values: NDArray[Any] = self._content[part.start : part.end].view(kind)
        return values.astype(kind.newbyteorder("="), copy=False)

    def _name(self, part: _Part) -> str:
        raw = self._content[part.start : part.end].tobytes()
        name = raw.decode("latin-1")
        # What MATLAB keeps for itself has no name.
        if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Damaged(f"{name!r} is no name of a variable")
        return name

    def _ends(self, after: int) -> None:
        if after != self._size:
            raise Damaged("a variable is not as long as it says")
