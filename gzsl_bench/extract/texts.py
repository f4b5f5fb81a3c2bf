"""Class names or descriptions -> a class embedding in a data set's folder."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.atomic import writing
from gzsl_bench.data import editing
from gzsl_bench.data.classes import read_class_file, refuse_twice
from gzsl_bench.data.exposure import spoken
from gzsl_bench.errors import DataError, in_one_line
from gzsl_bench.extract.backbones import Backbone
from gzsl_bench.extract.folder import CLASSES

#: What class names are put into unless the user says otherwise (Radford et al., ICML 2021).
PROMPT = "a photo of a {}."


@dataclass(frozen=True)
class Texts:
    """What is said of each class.

    Attributes:
        names: [C] class names, in the order of class numbers.
        said: [C] one text or several.
        prompts: each text is put into each of these at ``{}``.
    """

    names: tuple[str, ...]
    said: tuple[tuple[str, ...], ...]
    prompts: tuple[str, ...]

    def of(self, number: int) -> list[str]:
        """What is embedded for a class."""
        return [p.replace("{}", text) for text in self.said[number] for p in self.prompts]


def read(source: Path, folder: Path, prompts: Sequence[str] = ()) -> Texts:
    """Read class names, or descriptions, in the order of the folder's classes.

    Args:
        source: a .txt file with a class name a line, or a .csv file with the columns ``class`` and
            ``text``, where a class may have several lines.
        folder: of the data set: ``classes.txt`` there says the order, where it exists.
        prompts: by default ``a photo of a {}.`` for names, and descriptions are taken as they are.

    Raises:
        DataError: a class is missing, unknown or without a text, or a prompt has no ``{}``.
    """
    for prompt in prompts:
        if "{}" not in prompt:
            raise DataError(f"--prompt {prompt!r} has no {{}}, where the name is to stand")
    known = read_class_file(folder / CLASSES)
    if source.suffix == ".csv":
        said = _descriptions(source)
        prompts = prompts or ("{}",)
    else:
        names = read_class_file(source)
        if names is None:
            raise DataError(f"{source} does not exist; name a file with a class name a line")
        said = {name: [spoken(name)] for name in names}
        prompts = prompts or (PROMPT,)
    order = known or tuple(said)
    for name in order:
        if name not in said:
            raise DataError(f"{source} says nothing of the class {name!r} in {folder / CLASSES}")
    for name in said:
        if name not in order:
            raise DataError(f"{source} has the class {name!r}, which is not in {folder / CLASSES}")
    refuse_twice(order, source)
    return Texts(order, tuple(tuple(said[name]) for name in order), tuple(prompts))


def _descriptions(source: Path) -> dict[str, list[str]]:
    try:
        rows = csv.DictReader(source.read_text(encoding="utf-8-sig").splitlines())
    except FileNotFoundError:
        raise DataError(f"{source} does not exist; name a file with descriptions") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{source} cannot be read as UTF-8 text ({error})") from None
    if not {"class", "text"} <= {*(rows.fieldnames or ())}:
        raise DataError(f"{source}:1: the heading needs the columns `class` and `text`")
    said: dict[str, list[str]] = {}
    for row in rows:
        name, text = (row["class"] or "").strip(), (row["text"] or "").strip()
        if not name or not text:
            raise DataError(f"{source}:{rows.line_num}: this line lacks a class or a text")
        said.setdefault(name, []).append(text)
    if not said:
        raise DataError(f"{source} is empty, but one text a class is needed")
    return said


def embed(texts: Texts, folder: Path, encoder: Backbone, name: str, again: bool = False) -> Path:
    """Write ``attributes/NAME.npy`` [C, A] float32 and name it in ``dataset.yaml``.

    A class's vector is the mean of its texts' vectors, each at unit length, at unit length.

    Args:
        texts: what is said of each class.
        folder: of the data set.
        encoder: a backbone that encodes texts.
        name: of the class embedding.
        again: replace one of this name that was made otherwise.

    Raises:
        DataError: the backbone encodes no texts, or fails on one.
    """
    encoded = encoder.encode
    if encoded is None:
        raise DataError(
            f"{encoder.name} encodes no texts; a model of open_clip does, or an object with a"
            " method `encode`"
        )
    all_texts = [text for number in range(len(texts.names)) for text in texts.of(number)]
    source: dict[str, Any] = {
        "backbone": encoder.name,
        "weights": encoder.weights,
        "weights_sha256": encoder.digest,
        "prompts": list(texts.prompts),
        "texts": hashlib.sha256("\n".join(all_texts).encode()).hexdigest(),
        "precision": "float32",
        "trained_on": encoder.trained_on or "unknown",
        "libraries": encoder.libraries,
    }
    path = folder / "attributes" / f"{name}.npy"
    before = editing.content(folder).get("attributes", {}).get(name)
    if before is not None and not again:
        if before.get("source") == source and path.exists():
            return path
        raise DataError(
            f"{folder} has a class embedding {name} that was made otherwise; name this one"
            " differently with --name, or replace it with --again"
        )
    rows = np.stack(
        [
            _unit(_vectors(encoder, texts.of(n)).mean(0), texts.names[n])
            for n in range(len(texts.names))
        ]
    )
    with writing(path) as file:
        np.save(file, rows.astype("<f4"))
    part = {"file": f"attributes/{name}.npy", "classes": "rows", "source": source}
    parts: dict[str, Any] = {"attributes": {name: part}}
    if not (folder / CLASSES).exists():
        with writing(folder / CLASSES) as file:
            file.write("".join(f"{one}\n" for one in texts.names).encode())
        parts["classes"] = CLASSES
    editing.add(folder, parts)
    return path


def _vectors(encoder: Backbone, texts: list[str]) -> NDArray[np.float64]:
    """[n, A] at unit length."""
    import torch

    assert encoder.encode is not None
    try:
        with torch.inference_mode():
            found = encoder.encode(texts)
        rows = np.asarray(found.float().cpu() if torch.is_tensor(found) else found, np.float64)
    except Exception as error:
        raise DataError(
            f"{encoder.name} fails on the text {texts[0]!r}: {in_one_line(error)[:300]}"
        ) from None
    if rows.ndim != 2 or len(rows) != len(texts):
        raise DataError(
            f"{encoder.name} gives an array of shape {rows.shape} for {len(texts)} texts, but one"
            " row a text is needed"
        )
    return np.stack([_unit(row, text) for row, text in zip(rows, texts, strict=True)])


def _unit(row: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    length = float(np.linalg.norm(row))
    if not 0 < length < float("inf"):
        raise DataError(f"the vector of {what!r} is zero or not finite, so it has no direction")
    found: NDArray[np.float64] = row / length
    return found
