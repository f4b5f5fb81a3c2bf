"""``dataset.yaml``: where the parts of a data set lie in a folder of features from any backbone.

A description names files and keys, and says outright what cannot be seen from a file: whether
images are rows or columns, and whether counting begins at 0 or 1.  It holds no numbers of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from gzsl_bench.data.arrays import KEYED, PLAIN
from gzsl_bench.data.features import Side
from gzsl_bench.data.yamlfile import DATASET, YamlFile, complaint, first_of, read_yaml
from gzsl_bench.errors import GzslBenchError

DESCRIPTION_FILE = "dataset.yaml"

#: Where counting begins.
Base = Literal[0, 1]


def _inside(value: str) -> str:
    """A path that stays within the data set's folder."""
    path = PurePosixPath(value)
    if not value or "\\" in value or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"the file {value!r} must lie in the data set's folder")
    return value


def _array_file(value: str) -> str:
    if PurePosixPath(value).suffix not in (*KEYED, *PLAIN):
        raise ValueError(
            f"the file {value!r} has no format that can be read; {', '.join((*KEYED, *PLAIN))} are"
        )
    return value


def _text_file(value: str) -> str:
    if PurePosixPath(value).suffix != ".txt":
        raise ValueError(f"the file {value!r} must be a .txt file with one class name a line")
    return value


def _mapped_file(value: str) -> str:
    if PurePosixPath(value).suffix != ".npy":
        raise ValueError(f"the file {value!r} must be an .npy file, which can be mapped")
    return value


TextFile = Annotated[str, AfterValidator(_inside), AfterValidator(_text_file)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArrayPart(_Part):
    """An array in a file."""

    file: Annotated[str, AfterValidator(_inside), AfterValidator(_array_file)] = Field(
        description="file within the data set's folder: .npy, .csv or .txt, which hold one array,"
        " or .npz, .h5, .hdf5, .mat or .safetensors, which hold several"
    )
    key: str | None = Field(
        None, min_length=1, description="name of the array in a file that holds several"
    )

    @model_validator(mode="after")
    def _key_where_needed(self) -> Self:
        keyed = PurePosixPath(self.file).suffix in KEYED
        if keyed and self.key is None:
            raise ValueError(f"the file {self.file!r} holds several arrays, so a `key` is needed")
        if not keyed and self.key is not None:
            raise ValueError(f"the file {self.file!r} holds one array, so it takes no `key`")
        return self

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.file if self.key is None else f"{self.file}:{self.key}"


class TransformPart(_Part):
    """What images went through."""

    resize: int = Field(gt=0, description="pixels of the shorter side")
    crop: int = Field(gt=0, description="pixels of the side of the square cut out of the middle")
    interpolation: str = Field(description="of the resizing, with Pillow")
    mean: list[float] = Field(description="of each channel; pixels run from 0 to 1")
    std: list[float] = Field(description="of each channel, on the same scale")


class Source(_Part):
    """What made a feature set or a class embedding, as `gzsl-bench extract` writes it."""

    backbone: str = Field(description="`library:model`, or the function that made it")
    weights: str = Field(description="what the library or the user calls the weights")
    weights_sha256: str = Field("", description="hash of the weights' names and values")
    layer: str = Field("", description="whose output was taken")
    pool: str = Field("", description="how a vector was made of it")
    transform: TransformPart | None = Field(None, description="what images went through")
    prompts: list[str] = Field([], description="texts that class names were put into, at `{}`")
    texts: str = Field("", description="hash of the texts that were embedded")
    precision: str = Field("float32", description="arithmetic of the network")
    trained_on: str = Field("unknown", description="data that the weights come from")
    libraries: dict[str, str] = Field({}, description="versions of what computed them")

    def __str__(self) -> str:
        """In one line, as it stands under tables."""
        digest = f" (sha256 {self.weights_sha256[:12]})" if self.weights_sha256 else ""
        parts = [self.backbone, f"weights {self.weights}{digest}"]
        parts += [f"layer {self.layer}, pooled: {self.pool}"] if self.layer else []
        if self.transform is not None:
            t = self.transform
            parts.append(f"resized to {t.resize} ({t.interpolation}), cropped to {t.crop}")
        parts += [f"prompts {' | '.join(self.prompts)}"] if self.prompts else []
        parts.append(self.precision)
        return "; ".join([*parts, ", ".join(f"{n} {v}" for n, v in self.libraries.items())])


class RegionPart(_Part):
    """Region maps of the images, images in the order of the labels."""

    file: Annotated[str, AfterValidator(_inside), AfterValidator(_mapped_file)] = Field(
        description=".npy file within the data set's folder: [images, regions, channels], int8,"
        " float16 or float32, or photographs [images, height, width, 3], uint8"
    )
    scale: Annotated[str, AfterValidator(_inside), AfterValidator(_mapped_file)] | None = Field(
        None,
        description=".npy file with a number for each channel that values are multiplied with;"
        " int8 values need it",
    )


class FeaturePart(ArrayPart):
    """A feature set."""

    images: Side = Field(
        description="rows where each row of the matrix is an image, columns where each column is"
    )
    source: Source | None = Field(None, description="what made it, where that is known")


class EmbeddingPart(ArrayPart):
    """A class embedding."""

    classes: Side = Field(
        description="rows where each row of the matrix is a class, columns where each column is"
    )
    source: Source | None = Field(None, description="what made it, where that is known")
    words: ArrayPart | None = Field(
        None, description="word vectors: a row for each dimension of the embedding"
    )
    groups: ArrayPart | None = Field(
        None, description="whole numbers: the group of each dimension of the embedding"
    )


class LabelPart(ArrayPart):
    """Class numbers, one an image."""

    count_from: Base = Field(description="number of the first class: 0 or 1")


class Split(_Part):
    """The three parts of the split: row numbers, or class lists and the seen test rows."""

    count_from: Base = Field(description="number of the first image in the lists: 0 or 1")
    test_seen: ArrayPart = Field(description="row numbers of the test images of seen classes")
    trainval: ArrayPart | None = Field(None, description="row numbers of the training images")
    test_unseen: ArrayPart | None = Field(
        None, description="row numbers of the test images of unseen classes"
    )
    seen: TextFile | None = Field(
        None,
        description="names of the seen classes, one a line of a .txt file: their images train,"
        " except those in `test_seen`",
    )
    unseen: TextFile | None = Field(
        None, description="names of the unseen classes: all their images are test images"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        rows = [self.trainval, self.test_unseen]
        lists = [self.seen, self.unseen]
        if not ((all(rows) and not any(lists)) or (all(lists) and not any(rows))):
            raise ValueError(
                "a split is given by the row numbers `trainval`, `test_seen` and `test_unseen`, or"
                " by the class lists `seen` and `unseen` and the row numbers `test_seen`"
            )
        return self


class FoldPart(_Part):
    """A validation fold of the seen classes."""

    train: TextFile = Field(description="names of the classes that train, one a line")
    val: TextFile = Field(description="names of the classes that play the unseen ones")


_SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]


def _one_name_a_line(value: Any) -> Any:
    """``labels: labels.txt`` holds one class name an image."""
    return {"names": value} if isinstance(value, str) else value


class NamedLabels(_Part):
    """Class names, one an image; written as the file's name alone."""

    names: TextFile = Field(description="file with one class name a line, one line an image")


#: Stand in pydantic's paths where a file has no key.
_TAGS = ("<numbers>", "<names>", "[key]")


def _form_of_labels(value: Any) -> str:
    named = isinstance(value, NamedLabels) or (isinstance(value, dict) and "names" in value)
    return _TAGS[named]


class Description(_Part):
    """A data set as a folder of files."""

    classes: TextFile | None = Field(
        None, description="file with one class name a line, in the order of the class numbers"
    )
    labels: Annotated[
        Annotated[LabelPart, Tag(_TAGS[0])] | Annotated[NamedLabels, Tag(_TAGS[1])],
        Discriminator(_form_of_labels),
        BeforeValidator(_one_name_a_line),
    ] = Field(
        description="class of each image: `file`, `key` and `count_from`, or a .txt file with one"
        " class name a line"
    )
    features: dict[_SetName, FeaturePart] = Field(
        min_length=1,
        description="feature sets by name, images in the order of `labels`; the first is the"
        " default",
    )
    attributes: dict[_SetName, EmbeddingPart] = Field(
        min_length=1,
        description="class embeddings by name, classes in the order of their numbers; the first is"
        " the default",
    )
    regions: dict[_SetName, RegionPart] = Field(
        {}, description="region maps by name, images in the order of `labels`"
    )
    split: Split = Field(
        description="which images train and which test; `gzsl-bench data split` draws one"
    )
    folds: tuple[FoldPart, ...] = Field(
        (), description="validation folds; further ones are derived from the training images"
    )
    summary: str = Field("", description="what the images are, in one sentence")
    citation: str = Field("", description="the publication, in one line")

    @model_validator(mode="after")
    def _names_need_classes(self) -> Self:
        named = isinstance(self.labels, NamedLabels) or self.split.seen or self.folds
        if named and self.classes is None:
            raise ValueError(
                "labels, class lists or folds by name need `classes`, a .txt file with every class"
                " name in the order of the embedding"
            )
        return self

    def files(
        self,
        features: str,
        attributes: str,
        regions: str | None = None,
        second: str | None = None,
    ) -> dict[str, str]:
        """Every file that a variant needs, and what it holds."""
        found: dict[str, str] = {}
        for name in (features, second):
            if name in self.features:
                found[self.features[name].file] = f"features {name}"
        if attributes in self.attributes:
            embedding = self.attributes[attributes]
            found.setdefault(embedding.file, f"class embedding {attributes}")
            for part, what in ((embedding.words, "words"), (embedding.groups, "groups")):
                if part is not None:
                    found.setdefault(part.file, f"{what} of the class embedding {attributes}")
        if regions in self.regions:
            maps = self.regions[regions]
            for file in filter(None, (maps.file, maps.scale)):
                found.setdefault(file, f"regions {regions}")
        labels = self.labels
        found.setdefault(labels.names if isinstance(labels, NamedLabels) else labels.file, "labels")
        for key in ("trainval", "test_seen", "test_unseen"):
            rows = getattr(self.split, key)
            if rows is not None:
                found.setdefault(rows.file, f"split.{key}")
        for key, name in (
            ("classes", self.classes),
            ("split.seen", self.split.seen),
            ("split.unseen", self.split.unseen),
        ):
            if name is not None:
                found.setdefault(name, key)
        for fold in self.folds:
            found.setdefault(fold.train, "folds")
            found.setdefault(fold.val, "folds")
        return found


def read_description(folder: Path) -> Description:
    """Read and check the description of a folder; the files it names need not be there.

    Raises:
        DataError: with file, line and key.
    """
    file = read_yaml(folder / DESCRIPTION_FILE, DATASET)
    try:
        return Description.model_validate(file.content)
    except ValidationError as error:
        raise _explain(file, error) from None


def _explain(file: YamlFile, error: ValidationError) -> GzslBenchError:
    first = first_of(error)
    path = tuple(part for part in first["loc"] if part not in _TAGS)
    model = _model_at(path)
    text = complaint(first, path or ("description",), model.model_fields)
    if first["type"] == "missing" and isinstance(path[-1], str):
        text += f": {model.model_fields[path[-1]].description}"
    if first["type"] == "model_type" and isinstance(first["input"], str) and len(path) > 1:
        text += f"; a file is written {{file: {first['input']}}}"
    return file.error(path, text)


def _model_at(path: tuple[int | str, ...]) -> type[BaseModel]:
    """The model whose keys stand beside the last key of ``path``."""
    models: Mapping[int | str, type[BaseModel]] = {
        "labels": LabelPart,
        "features": FeaturePart,
        "attributes": EmbeddingPart,
        "regions": RegionPart,
        "folds": FoldPart,
    }
    if len(path) < 2:
        return Description
    if path[0] == "split":
        return Split if len(path) == 2 else ArrayPart
    return models.get(path[0], Description)
