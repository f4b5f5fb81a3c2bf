"""The reader of folders with a ``dataset.yaml``: features of any backbone, in any usual format.

Like the xlsa17 reader it believes nothing that can be checked.  Content alone makes the
fingerprint, so the same numbers in another format, or in the xlsa17 layout, are the same data set.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.arrays import read_array
from gzsl_bench.data.cache import Entry
from gzsl_bench.data.checks import PARTS, check_extras, check_split, unused_rows
from gzsl_bench.data.classes import (
    check_embedding,
    class_fold,
    class_ids,
    read_class_file,
    read_labels,
)
from gzsl_bench.data.description import (
    DESCRIPTION_FILE,
    ArrayPart,
    NamedLabels,
    read_description,
)
from gzsl_bench.data.exposure import sentence
from gzsl_bench.data.features import load_matrix
from gzsl_bench.data.gzsl import ClassFold, GZSLData, RegionMaps
from gzsl_bench.data.identity import file_facts, identify
from gzsl_bench.data.matfile import vector
from gzsl_bench.data.places import plain_name
from gzsl_bench.data.published import compare_with_published
from gzsl_bench.data.regions import load_regions
from gzsl_bench.errors import DataError, unknown_name
from gzsl_bench.hooks.dataset import DatasetRequest, MissingFile


def missing(request: DatasetRequest) -> list[MissingFile]:
    """Every file that a description names and that is not there.

    Raises:
        DataError: the description itself cannot be used.
    """
    return _Reader(request).missing()


def load(request: DatasetRequest) -> GZSLData:
    """Read one variant of a described folder, checked and identified.

    Raises:
        DataError: anything is missing, damaged or contradicts itself.
    """
    return _Reader(request).load()


class _Reader:
    """One variant of a described folder, read part by part."""

    names: tuple[str, ...] | None = None

    def __init__(self, request: DatasetRequest) -> None:
        assert request.root is not None
        self.request = request
        self.folder = request.root / plain_name(request.name, "the data set")
        self.content = read_description(self.folder)

    def missing(self) -> list[MissingFile]:
        files = self._files()
        source = self.folder / DESCRIPTION_FILE
        return [
            MissingFile(str(self.folder / name), f"{source} names it for {what}, so put it there")
            for name, what in files.items()
            if not (self.folder / name).is_file()
        ]

    def load(self) -> GZSLData:
        request, content, folder = self.request, self.content, self.folder
        known: tuple[tuple[str, str | None, Collection[str]], ...] = (
            ("feature set", request.features, content.features),
            ("class embedding", request.attributes, content.attributes),
            ("region maps", request.regions, content.regions),
            ("feature set", request.second, content.features),
        )
        for kind, name, there in known:
            if name is not None and name not in there:
                raise DataError(unknown_name(f"{kind} of {folder / DESCRIPTION_FILE}", name, there))
        for file in self.missing():
            raise DataError(f"{file.path} is missing: {file.hint}")
        self.names = None if content.classes is None else self._listed(content.classes)
        attributes, twins = self._embedding()
        labels = self._labels(attributes)
        features = self._features(request.features, len(labels))
        parts = self._parts(labels)
        where = str(folder / DESCRIPTION_FILE)
        files = tuple(
            name
            for name in (DESCRIPTION_FILE, *self._files())
            if name not in {part.file for part in content.regions.values()}  # they are large
        )
        second = None
        if request.second is not None:
            second = self._features(request.second, len(labels)).features
        check_split(
            labels,
            parts,
            len(attributes),
            where,
            keys=self._keys(),
            base=content.split.count_from,
            class_name=self._call,
        )
        seen = np.unique(labels[parts["trainval"]])
        data = GZSLData(
            name=request.name,
            features=features.features,
            labels=labels,
            attributes=attributes,
            trainval=parts["trainval"],
            test_seen=parts["test_seen"],
            test_unseen=parts["test_unseen"],
            class_names=self.names,
            folds=self._folds(seen),
            feature_set=request.features,
            attribute_set=request.attributes,
            provenance={
                "layout": DESCRIPTION_FILE,
                "lists": "none",
                "files": file_facts(folder, files, content.features[request.features].file),
                **self._notes(seen),
            },
            warnings=(*features.warnings, *twins, *unused_rows(len(labels), parts, where)),
            regions=self._regions(len(labels)),
            second=second,
            second_set=request.second or "",
            **self._side(),
        )
        check_extras(data, where)
        return identify(compare_with_published(data, folder), features.digest)

    def _files(self) -> dict[str, str]:
        asked = self.request
        return self.content.files(asked.features, asked.attributes, asked.regions, asked.second)

    def _regions(self, count: int) -> RegionMaps | None:
        name = self.request.regions
        if name is None:
            return None
        part = self.content.regions[name]
        scale = None if part.scale is None else self.folder / part.scale
        return load_regions(name, self.folder / part.file, scale, count, self.request.cache)

    def _side(self) -> dict[str, Any]:
        """What is known of the dimensions of the class embedding."""
        part = self.content.attributes[self.request.attributes]
        found: dict[str, Any] = {}
        if part.words is not None:
            words = read_array(self.folder / part.words.file, part.words.key)
            found["words"] = np.array(words, np.float64)
        if part.groups is not None:
            found["groups"] = self._whole(part.groups, "groups")
        return found

    def _notes(self, seen: NDArray[np.int64]) -> dict[str, Any]:
        """What made features and embedding, and had seen, as sentences to stand under tables."""
        request, names = self.request, self.names
        attributes = self.content.attributes[request.attributes].source
        unseen = None if names is None else np.delete(np.array(names, object), seen).tolist()
        notes: list[str] = []
        exposed: dict[str, None] = {}
        for name in filter(
            None, dict.fromkeys((request.features, request.second, request.regions))
        ):
            part = self.content.features.get(name)  # regions are called as the features beside them
            if part is not None and part.source is not None:
                notes.append(f"features {name}: {part.source}.")
                exposed[f"{sentence(unseen, part.source.trained_on)}."] = None
        if attributes is not None:
            notes.append(f"class embedding {request.attributes}: {attributes}.")
        return {"notes": notes, "exposure": " ".join(exposed)} if notes else {}

    def _call(self, c: int) -> str:
        """How messages call a class: by its name, or counted from where labels are."""
        if self.names:
            return f"class {self.names[c]!r}"
        labels = self.content.labels
        return f"class {c + (0 if isinstance(labels, NamedLabels) else labels.count_from)}"

    def _listed(self, file: str) -> tuple[str, ...]:
        names = read_class_file(self.folder / file)
        if names is None:
            raise DataError(
                f"{self.folder / file} does not exist; put the list of class names there"
            )
        return names

    def _embedding(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        part, names = self.content.attributes[self.request.attributes], self.names
        what = f"the class embedding {self.folder / part.name}"
        raw = read_array(self.folder / part.file, part.key)
        if raw.ndim != 2 or 0 in raw.shape:
            raise DataError(
                f"{what} has shape {raw.shape}, but a matrix with one class a"
                f" {part.classes.removesuffix('s')} is needed"
            )
        rows = raw if part.classes == "rows" else raw.T
        if names is not None and len(rows) != len(names):
            raise DataError(
                f"{what} has {len(rows)} {part.classes}, but there are {len(names)} classes in"
                f" {self.content.classes}"
                + _turned(part.classes, "classes", rows.shape[1], len(names))
            )
        return check_embedding(rows, what, self._call)

    def _labels(self, attributes: NDArray[np.float64]) -> NDArray[np.int64]:
        part, names = self.content.labels, self.names
        if isinstance(part, NamedLabels):
            assert names is not None
            return read_labels(self.folder / part.names, names)
        num_classes = len(attributes)
        what = f"labels in {self.folder / part.name}"
        labels = self._whole(part, "labels")
        if not labels.size:
            raise DataError(f"{what} are empty, but each image needs one")
        low, high, base = int(labels.min()), int(labels.max()), part.count_from
        last = num_classes - 1 + base
        # Without names the embedding alone says how many classes there are; it may lie on its side.
        if low < base or high > last or (names is None and high < last):
            fits = low == 1 - base and high == num_classes - base
            hint = f"; `count_from: {1 - base}` would fit" if fits else ""
            if names is None and not hint and low == base:
                side = self.content.attributes[self.request.attributes].classes
                hint = _turned(side, "classes", attributes.shape[1], high - base + 1)
            raise DataError(
                f"{what} run from {low} to {high}, but there are {num_classes} classes, so labels"
                f" counted from {base} run from {base} to {last}{hint}"
            )
        return labels - base

    def _features(self, name: str, count: int) -> Entry:
        part = self.content.features[name]
        loaded = load_matrix(self.folder / part.file, part.key, part.images, self.request.cache)
        shape = loaded.features.shape
        if shape[0] != count:
            raise DataError(
                f"the features {self.folder / part.name} have {shape[0]} {part.images}, but there"
                f" are {count} labels, and each of the {part.images} is one image with one label"
                + _turned(part.images, "images", shape[1], count)
            )
        return loaded

    def _whole(self, part: ArrayPart, key: str) -> NDArray[np.int64]:
        """[n] whole numbers of a list."""
        path = self.folder / part.file
        what = f"{key} ({part.key})" if part.key is not None else key
        raw = read_array(path, part.key)
        if raw.dtype.kind == "b":
            raise DataError(
                f"{what} in {path} holds true and false, but numbers are needed; numpy.flatnonzero"
                " turns a mask into row numbers"
            )
        return vector(raw, what, path)

    def _parts(self, labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        split, names = self.content.split, self.names
        parts = {
            part: self._rows(source, part, len(labels))
            for part in PARTS
            if (source := getattr(split, part)) is not None
        }
        if split.seen is None or split.unseen is None:
            return parts
        assert names is not None
        seen, unseen = (self._class_list(file, names) for file in (split.seen, split.unseen))
        files = f"{split.seen} and {split.unseen} in {self.folder}"
        for c in np.intersect1d(seen, unseen)[:1]:
            raise DataError(f"{files} both list {names[int(c)]!r}, but must be disjoint")
        for c in np.setdiff1d(np.arange(len(names)), np.concatenate([seen, unseen]))[:1]:
            raise DataError(f"{files} lack {names[int(c)]!r}, but every class is seen or unseen")
        for row in parts["test_seen"][~np.isin(labels[parts["test_seen"]], seen)][:1]:
            raise DataError(
                f"test_seen ({split.test_seen.name}) in {self.folder} lists row"
                f" {int(row) + split.count_from}, which is of {names[int(labels[row])]!r}, but only"
                f" images of the classes in {split.seen} may stand there"
            )
        tested = np.zeros(len(labels), dtype=bool)
        tested[parts["test_seen"]] = True
        parts["trainval"] = np.flatnonzero(np.isin(labels, seen) & ~tested)
        parts["test_unseen"] = np.flatnonzero(np.isin(labels, unseen))
        return parts

    def _rows(self, source: ArrayPart, part: str, count: int) -> NDArray[np.int64]:
        """0-based row numbers; a list that cannot be counted from where it says is refused."""
        base = self.content.split.count_from
        rows = self._whole(source, part)
        what = f"{part} ({source.name}) in {self.folder}"
        if not rows.size:
            raise DataError(f"{what} is empty, but needs rows")
        low, high = int(rows.min()), int(rows.max())
        if low < base or high > count - 1 + base:
            fits = low >= 1 - base and high <= count - base
            raise DataError(
                f"{what} lists rows from {low} to {high}, but there are {count} images, so rows"
                f" counted from {base} run from {base} to {count - 1 + base}"
                + (f"; `count_from: {1 - base}` would fit" if fits else "")
            )
        return rows - base

    def _class_list(self, file: str, names: tuple[str, ...]) -> NDArray[np.int64]:
        ids = {name: number for number, name in enumerate(names)}
        return class_ids(self.folder / file, self._listed(file), ids)

    def _folds(self, seen: NDArray[np.int64]) -> tuple[ClassFold, ...]:
        found, names = [], self.names
        for fold in self.content.folds:
            assert names is not None
            train, val = (self._class_list(file, names) for file in (fold.train, fold.val))
            files = f"{fold.train} and {fold.val} in {self.folder}"
            found.append(class_fold(files, train, val, names, seen))
        return tuple(found)

    def _keys(self) -> dict[str, str]:
        split = self.content.split
        sources = {part: getattr(split, part) for part in PARTS}
        return {
            part: f"{part} ({source.name if source else f'{split.seen}, {split.unseen}'})"
            for part, source in sources.items()
        }


def _turned(side: str, key: str, length: int, needed: int) -> str:
    """A hint where the other orientation, with ``length`` lines, is what is needed."""
    other = "columns" if side == "rows" else "rows"
    return f"; `{key}: {other}` would fit" if length == needed else ""
