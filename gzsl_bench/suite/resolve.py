"""From a checked suite to its cells: data are identified, defaults filled in, keys computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gzsl_bench.errors import PluginError, SuiteError, in_one_line
from gzsl_bench.hooks.asked import FAULTS, asking
from gzsl_bench.hooks.dataset import DatasetInfo
from gzsl_bench.suite.cells import REAL, Cell, digest, identity
from gzsl_bench.suite.datasets import Filter, Found, Place, find_data, info, runs_on, wanted
from gzsl_bench.suite.load import LoadedSuite
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.suite.schema import MethodEntry, Suite
from gzsl_bench.suite.sweep import variants

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry


def resolve(
    loaded: LoadedSuite,
    registry: Registry,
    place: Place,
    *,
    seeds: Sequence[int] | None = None,
    only: Filter | None = None,
) -> ResolvedSuite:
    """Load and identify the data and compute every cell.

    Args:
        loaded: a suite whose names were checked.
        registry: what is installed.
        place: where data are.
        seeds: replaces every list of seeds in the suite.
        only: the part of the suite that is wanted.

    Raises:
        DataError: data are missing (all missing files are listed) or damaged.
        SuiteError: the filter names nothing in the suite.
    """
    _, methods = wanted(loaded, only or Filter())
    cells: list[Cell] = []
    shown: list[dict[str, Any]] = []
    warnings = [
        f"the search space of {method.name} is left aside: `gzsl-bench tune` follows"
        " it and writes a suite to run"
        for method in methods
        if method.tune is not None
    ]
    for found in find_data(loaded, registry, place, only):
        warnings += [f"{found.entry.name}: {text}" for text in found.data.warnings]
        shown.append(found.describe())
        for method in methods:
            if runs_on(method, found.entry):
                cells += _cells(loaded.suite, registry, found, method, seeds)
    return ResolvedSuite(
        name=loaded.suite.name,
        description=loaded.suite.description,
        selection=tuple(loaded.suite.selection),
        cells=tuple(_once(cells)),
        datasets=tuple(shown),
        text=loaded.file.text,
        warnings=tuple(dict.fromkeys(warnings)),
        calibration=loaded.suite.calibration,
    )


def _cells(
    suite: Suite,
    registry: Registry,
    found: Found,
    method: MethodEntry,
    seeds: Sequence[int] | None,
) -> Iterator[Cell]:
    """The cells of one method on one data set, its swept variants among them."""
    spec = registry.methods[method.use]
    source = registry.source_of(method.use)
    asked = found.asked
    known = info(found.entry, asked)
    given = found.given(spec)
    more = {
        name: value
        for name, value in (("regions", asked.regions), ("second", asked.second))
        if value is not None and name in given
    }
    for variant in variants(method.name, method.config, method.sweep, spec.factory.Config):
        config = resolve_config(spec.name, spec.factory, known, variant.config)
        about = {**about_method(registry, spec.name, config), **variant.about}
        own = method.sweep_seeds if variant.about else None
        chosen = list(seeds or own or method.seeds or found.entry.seeds or suite.seeds)
        # A seed changes nothing for a deterministic method: one cell, always the same, says it all.
        chosen = [0] if spec.deterministic else chosen
        tried = [0] if spec.deterministic else suite.val_seeds
        runs: list[tuple[str | Mapping[str, Any], int]] = [(REAL, seed) for seed in chosen]
        runs += [(task, seed) for task in found.tasks for seed in tried]
        for task, seed in runs:
            described = identity(
                dataset=found.identity(spec),
                preprocessing=method.preprocessing
                or found.entry.preprocessing
                or spec.preprocessing,
                setting=spec.setting,
                method={
                    "name": spec.name,
                    "version": registry.version_of(spec.name),
                    "source": source.digest,
                    "config": config,
                },
                seed=seed,
                precision=method.precision or suite.precision,
                toolkit=source.toolkit,
                task=task,
            )
            yield Cell(
                key=digest(described),
                identity=described,
                dataset=found.entry.name,
                method=spec.name,
                label=variant.label,
                seed=seed,
                request={
                    "use": asked.name,
                    "features": asked.features,
                    "attributes": asked.attributes,
                    **more,
                },
                about=about,
            )


def about_method(registry: Registry, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a record shows of an installed method, and changes nothing.

    Args:
        registry: has the method.
        name: its name.
        config: the full configuration, as plain data.
    """
    spec, plugin = registry.methods[name], registry.owner("methods", name)
    with asking(f"method {spec.name!r}: its differs"):
        lacks = spec.factory.differs(spec.factory.Config.model_validate(config))
    return {
        "fidelity": spec.fidelity,
        "citation": spec.citation,
        "deterministic": spec.deterministic,
        "distribution": plugin.distribution,
        "distribution_version": plugin.version,
        **({"family": spec.family} if spec.family else {}),
        **({"differs": lacks} if lacks else {}),
    }


def resolve_config(
    name: str, factory: type[Any], info: DatasetInfo, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The full configuration as plain data: the method's defaults, then the suite's values.

    Raises:
        PluginError: the method's own defaults do not fit its configuration.
        SuiteError: the suite's values do not fit in the company of the defaults.
    """
    try:
        defaults = dict(factory.defaults(info))
        factory.Config.model_validate(defaults)
    except FAULTS as error:
        raise PluginError(
            f"method {name!r}: its defaults for {info.name} fail: {in_one_line(error)}"
        ) from error
    try:
        config = factory.Config.model_validate({**defaults, **given})
    except ValidationError as error:
        complaint = error.errors()[0]
        where = ".".join(map(str, complaint["loc"])) or "its values"
        raise SuiteError(
            f"method {name!r} on {info.name}: the configuration cannot be used: {where}:"
            f" {complaint['msg']}"
        ) from None
    plain: dict[str, Any] = config.model_dump(mode="json")
    return plain


def _once(cells: Sequence[Cell]) -> list[Cell]:
    """Cells without repetition; two labels for one training are kept as rows of their own."""
    kept: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        kept.setdefault((cell.key, cell.dataset, cell.label), cell)
    return list(kept.values())
