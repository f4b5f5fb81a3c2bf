"""From a suite file to a checked suite: structure first, then names against what is installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gzsl_bench.data.description import DESCRIPTION_FILE
from gzsl_bench.data.places import SPLITS_FILE
from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.data.yamlfile import KeyPath, YamlFile, complaint, first_of, quote_it, read_yaml
from gzsl_bench.errors import GzslBenchError, PluginError, nearest, unknown_name
from gzsl_bench.hooks.asked import asking
from gzsl_bench.hooks.inline import find_inline
from gzsl_bench.hooks.known import distribution_of
from gzsl_bench.scoring.axes import axes_of
from gzsl_bench.scoring.rules import rule_of
from gzsl_bench.suite.schema import DatasetEntry, MethodEntry, Suite
from gzsl_bench.suite.space import TAGS, Range, check_space

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry


@dataclass(frozen=True)
class LoadedSuite:
    """A suite whose structure is right, and the file it came from.

    Attributes:
        suite: what it says.
        file: where it says so.
        plugins: absolute paths of its plugin files.
    """

    suite: Suite
    file: YamlFile
    plugins: tuple[Path, ...] = ()


def load_suite(path: Path, text: str | None = None) -> LoadedSuite:
    """Read and check the structure of a suite file; needs neither data nor plugins.

    Args:
        path: the file.
        text: its content, where that is known and the file may be gone.

    Raises:
        SuiteError: with file, line and key.
    """
    file = read_yaml(path, text=text)
    try:
        suite = Suite.model_validate(file.content)
    except ValidationError as error:
        raise _explain(file, error, (), Suite) from None
    if found := suite.contradiction():
        raise file.error(*found)
    plugins = []
    for index, text in enumerate(suite.plugins):
        try:
            plugins.append(find_inline(Path(text), path.parent))
        except PluginError as error:
            raise file.error(("plugins", index), str(error)) from None
    return LoadedSuite(suite, file, tuple(plugins))


def check_names(
    loaded: LoadedSuite, registry: Registry, folders: Iterable[str], root: Path | None = None
) -> None:
    """Check names of data sets and methods, and the methods' configurations.

    Args:
        loaded: the suite.
        registry: what is installed.
        folders: names of folders that can be read as data sets though nobody registered them.
        root: the data folder, for what is said of a name that is none of these.

    Raises:
        SuiteError: with file, line and what would be right.
    """
    known = {*registry.datasets, *folders}
    for index, dataset in enumerate(loaded.suite.datasets):
        if dataset.use not in known:
            message = _unknown_dataset(dataset.use, known, root)
            raise loaded.file.error(("datasets", index), message)
        if dataset.recipe is not None and dataset.recipe not in known:
            # Methods would answer a name that they do not know with their general defaults.
            message = unknown_name("data set as a recipe", dataset.recipe, known)
            raise loaded.file.error(("datasets", index, "recipe"), message)
        _check_preprocessing(loaded.file, ("datasets", index), dataset)
    axes: set[str] = set()
    for index, method in enumerate(loaded.suite.methods):
        if method.use not in registry.methods:
            raise loaded.file.error(("methods", index), _unknown_method(method.use, registry))
        spec = registry.methods[method.use]
        if spec.preprocessing not in PREPROCESSING:
            raise PluginError(
                f"method {spec.name!r} declares an"
                f" {unknown_name('preprocessing', spec.preprocessing, PREPROCESSING)}"
            )
        config = spec.factory.Config
        try:
            checked = config.model_validate(method.config)
        except ValidationError as error:
            raise _explain(loaded.file, error, ("methods", index, "config"), config) from None
        with asking(f"method {spec.name!r}: its axes"):
            axes.update(dict(axes_of(spec.factory.axes(checked))))
        if method.tune is not None:
            check_space(loaded.file, ("methods", index, "tune"), method.tune, config, method.config)
        if method.sweep is not None:
            path = ("methods", index, "sweep")
            check_space(loaded.file, path, method.sweep, config, method.config)
        _check_preprocessing(loaded.file, ("methods", index), method)
        precision = method.precision or loaded.suite.precision
        if precision not in spec.precisions:
            raise loaded.file.error(
                ("methods", index, "precision") if method.precision else ("methods", index),
                f"method {spec.name!r} cannot train in {precision}; give this entry a `precision`"
                f" of its own: {', '.join(spec.precisions)}",
            )
    for index, name in enumerate(loaded.suite.selection):
        over = rule_of(name).over
        if over is not None and over not in axes:
            why = unknown_name("checkpoint axis", over, axes)
            raise loaded.file.error(
                ("selection", index),
                why if axes else f"checkpoints of no method here have an axis {over!r}, or any",
            )
    refuse_leaks(loaded, registry)


def refuse_leaks(loaded: LoadedSuite, registry: Registry) -> None:
    """A scaler that sees the test set would undo what honest selection is for.

    Raises:
        SuiteError: where something is chosen on folds beside such a scaler.
    """
    suite = loaded.suite
    for place, method in enumerate(suite.methods):
        if not suite.needs_folds and method.tune is None:
            continue
        rule = next((name for name in suite.selection if rule_of(name).needs_folds), None)
        asked = f"the selection rule {rule!r}" if rule else "calibration"
        asked = asked if suite.needs_folds else "a search space, `tune`"
        for index, dataset in enumerate(suite.datasets):
            if method.datasets and dataset.name not in method.datasets:
                continue
            name = method.preprocessing or dataset.preprocessing
            name = name or registry.methods[method.use].preprocessing
            if PREPROCESSING[name].leaks:
                of_data = not method.preprocessing and dataset.preprocessing
                raise loaded.file.error(
                    ("datasets", index) if of_data else ("methods", place),
                    f"the preprocessing {name!r} of {method.name!r} sees the test"
                    f" set, so it cannot be combined with {asked}; give it a suite of its own",
                )


def _check_preprocessing(file: YamlFile, path: KeyPath, entry: DatasetEntry | MethodEntry) -> None:
    name = entry.preprocessing
    if name is not None and name not in PREPROCESSING:
        message = unknown_name("preprocessing", name, PREPROCESSING)
        raise file.error((*path, "preprocessing"), message)


def _unknown_dataset(name: str, known: Iterable[str], root: Path | None) -> str:
    last = Path(name).name
    if last != name:
        return f"{name!r} is a path; a suite names the folder, {last!r}, and --data what it lies in"
    if root is not None and (root / name).is_dir():
        return (
            f"the folder {root / name} is no data set: it has neither {SPLITS_FILE} nor"
            f" {DESCRIPTION_FILE} (docs/dataset-plugins.md)"
        )
    return unknown_name("data set", name, known)


def _unknown_method(name: str, registry: Registry) -> str:
    home = distribution_of(name)
    text = (
        f"the method {name!r} is in the distribution {home}, which is not installed"
        if home
        else unknown_name("method", name, registry.methods)
    )
    if not home and nearest(name, registry.methods) is None:
        text += "; one of a file comes with --plugin FILE"
    return text + (
        f" (a plugin could not be loaded: {registry.broken[0]})" if registry.broken else ""
    )


def _explain(
    file: YamlFile, error: ValidationError, prefix: KeyPath, model: type[BaseModel]
) -> GzslBenchError:
    """The first complaint of pydantic, as one sentence with a line."""
    first = first_of(error)
    path = (*prefix, *(part for part in first["loc"] if part not in TAGS))
    return file.error(path, _sentence(first, path, model))


def _sentence(error: ErrorDetails, path: KeyPath, model: type[BaseModel]) -> str:
    key = path[-1] if path else ""
    if key in ("seeds", "val_seeds", "sweep_seeds") and error["type"] == "list_type":
        return f"{key!r} should be a whole number or a list of them, not {error['input']!r}"
    if error["type"] == "model_type":
        name = f"{path[-2]}[{key}]" if isinstance(key, int) and len(path) > 1 else key
        shown = error["input"]
        return f"{name!r} should be a name or a mapping with `use`, not {shown!r}{quote_it(shown)}"
    said = complaint(error, path, _known_keys(error["loc"], model))
    if model is Suite and error["type"] == "extra_forbidden":
        return said + _where_it_belongs(str(key), error["loc"])
    return said


def _where_it_belongs(key: str, location: tuple[int | str, ...]) -> str:
    """Of a key that a suite has, but elsewhere, or that may be a method's own."""
    within = location[0] if len(location) > 1 else ""
    if not within and key in MethodEntry.model_fields:
        return f"; {key!r} is a key of an entry of `methods`"
    if not within and key in DatasetEntry.model_fields:
        return f"; {key!r} is a key of an entry of `datasets`"
    if within and key in Suite.model_fields:
        return f"; {key!r} is a key of the whole suite"
    if within == "methods" and nearest(key, MethodEntry.model_fields) is None:
        return "; hyper-parameters of the method stand under `config`"
    return ""


def _known_keys(location: tuple[int | str, ...], model: type[BaseModel]) -> Iterable[str]:
    """Keys that may stand where an unknown one was found."""
    if TAGS[1] in location:
        return Range.model_fields
    if model is Suite and location[0] == "datasets" and len(location) > 1:
        return DatasetEntry.model_fields
    if model is Suite and location[0] == "methods" and len(location) > 1:
        return MethodEntry.model_fields
    return model.model_fields
