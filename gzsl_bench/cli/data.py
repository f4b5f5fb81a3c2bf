"""``gzsl-bench data``: which data sets there are, whether they are sound, and getting them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli.group import Group
from gzsl_bench.cli.options import data_option, debug_option, json_option
from gzsl_bench.errors import DataError, GzslBenchError, SuiteError, unknown_name
from gzsl_bench.hooks.dataset import DatasetRequest, DatasetSpec, MissingFile
from gzsl_bench.terminal.streams import put, refuse, say
from gzsl_bench.terminal.width import columns
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.data.gzsl import GZSLData

#: Seconds to wait for another download into the same folder.
_PATIENCE = 10.0


@click.group("data", cls=Group)
def data_group() -> None:
    """List, check, split and download data sets."""


@data_group.command("list")
@data_option
@json_option
@debug_option
def list_command(data: Path | None, as_json: bool) -> None:
    """List the data sets and the variants of them that are on this machine."""
    from gzsl_bench.data.places import embeddings, feature_sets, resolve_root

    found = resolve_root(data)
    specs = _specs()
    rows: list[dict[str, Any]] = []
    for name, spec in _with_folders(specs, found).items():
        folder = found / name if found is not None else None
        there = folder is not None and folder.is_dir()
        absent = _missing_or_wrong(spec, found)
        if folder and there:
            features, attributes = [*feature_sets(folder)], [*embeddings(folder)]
        else:  # data that needs no files has the variant it names
            features, attributes = ([], []) if absent else ([spec.features], [spec.attributes])
        rows.append(
            {
                "name": name,
                "registered": name in specs,
                "ready": not absent,
                "features": features,
                "attributes": attributes,
                "regions": [*spec.regions],
                "default": {"features": spec.features, "attributes": spec.attributes},
                "folder": str(folder) if there else None,
                "missing": [{"path": file.path, "hint": file.hint} for file in absent],
                "summary": spec.summary,
                "citation": spec.citation,
            }
        )
    if as_json:
        put(json.dumps({"data": str(found) if found else None, "datasets": rows}, indent=2))
        return
    mapped = any(row["regions"] for row in rows)
    shown = [
        {
            "data set": row["name"],
            "ready": "yes" if row["ready"] else "other features" if row["features"] else "no",
            "feature sets": ", ".join(row["features"]) or "-",
            "class embeddings": ", ".join(row["attributes"]) or "-",
            **({"region maps": ", ".join(row["regions"]) or "-"} if mapped else {}),
            "summary": row["summary"],
        }
        for row in rows
    ]
    _print_table(shown)
    say(f"data folder: {found or 'none (give --data or set GZSL_BENCH_DATA)'}")


@data_group.command("check")
@click.argument("names", nargs=-1)
@click.option("--features", help="Feature set [default: every one found].")
@click.option("--attributes", help="Class embedding [default: the data set's own].")
@data_option
@json_option
@debug_option
def check_command(
    names: tuple[str, ...],
    features: str | None,
    attributes: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Load data sets, check everything that can be checked, and print what they are.

    NAMES are data sets, or paths of their folders (./my_data).  Without any: every data set whose
    files are there.  Exits with 2 if one is unsound.
    """
    from gzsl_bench.data.cache import default_cache
    from gzsl_bench.data.places import absent, resolve_root

    found = resolve_root(data)
    specs = _with_folders(_specs(), found)
    if not names:
        # Generated data is made to be right; making it takes seconds.
        names = tuple(n for n, s in specs.items() if n != "synthetic" and _is_there(s, found))
    rows: list[dict[str, Any]] = []
    failures: list[GzslBenchError] = []
    for name in names:
        spec, root = _named(name, specs, found)
        for file in absent(root / spec.name) if root is not None else ():
            say(f"note: {spec.name} lacks {file}, which its dataset.yaml names")
        before = len(rows)
        for variant in [features] if features else _variants(spec, root) or [spec.features]:
            request = DatasetRequest(
                spec.name, root, variant, attributes or spec.attributes, default_cache()
            )
            maps = spec.regions if len(rows) == before else ()
            try:
                rows.append(_describe(_load(spec, request)) | {"regions": [*maps]})
                for regions in maps:  # they do not depend on the feature set
                    _load(spec, replace(request, regions=regions))
            except GzslBenchError as error:
                failures.append(error)
    _show_checked(rows, as_json)
    refuse(failures)


@data_group.command("get")
@click.argument("names", nargs=-1)
@click.option("--url", help="Address of the archive [default: the public one].")
@click.option("--replace", is_flag=True, help="Overwrite files that differ from the archive's.")
@data_option
@debug_option
def get_command(names: tuple[str, ...], url: str | None, replace: bool, data: Path | None) -> None:
    """Download data sets of the public archive (several GB; resumes where it stopped).

    Without NAMES: CUB, SUN, AWA1, AWA2 and APY.
    """
    from gzsl_bench.data.archive import extract
    from gzsl_bench.data.download import fetch
    from gzsl_bench.data.known import KNOWN, XLSA17_URL
    from gzsl_bench.data.places import DATA_VARIABLE, default_root, plain_name
    from gzsl_bench.masking import masked

    chosen = dict.fromkeys(names or [n for n, known in KNOWN.items() if known.url == XLSA17_URL])
    by_url: dict[str, list[str]] = {}
    for name in chosen:
        if url is None and name not in KNOWN:
            raise SuiteError(unknown_name("public data set", name, KNOWN))
        by_url.setdefault(url or KNOWN[name].url, []).append(plain_name(name, "the data set"))
    named = data or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    target = (named or default_root()).expanduser()
    with _downloading(target):
        for address, wanted in by_url.items():
            say(f"{masked(address)} -> {target}")
            archive, digest = fetch(address, target, _Progress())
            result = extract(archive, target, wanted, replace=replace)
            say(
                f"{', '.join(wanted)}: {counted(len(result.written), 'file')} unpacked, "
                f"{len(result.kept)} there before; sha256 {digest}; the archive is kept as"
                f" {archive}"
            )
            for path in (*result.written, *result.kept):
                put(str(target / path))


@contextlib.contextmanager
def _downloading(target: Path) -> Iterator[None]:
    """Be the only one who downloads into a data folder.

    Raises:
        DataError: somebody else does, or nothing can be written there.
    """
    from filelock import FileLock, Timeout

    from gzsl_bench.data.download import DOWNLOADS_FOLDER

    downloads = target / DOWNLOADS_FOLDER
    lock = FileLock(downloads / "lock", timeout=_PATIENCE)
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise DataError(
            f"another gzsl-bench downloads into {target} (it holds {lock.lock_file}); wait for"
            " it to end, or end it"
        ) from None
    except OSError as error:
        raise DataError(
            f"{downloads} cannot be written ({error.strerror or error}); name another data folder"
            " with --data DIR"
        ) from None
    try:
        yield
    finally:
        lock.release()


@data_group.command("split")
@click.argument("name")
@click.option(
    "--unseen", type=click.IntRange(1, 100_000),
    help="Number of unseen classes [default: a fifth].",
)  # fmt: skip
@click.option(
    "--avoid", type=click.Choice(["imagenet-1k"]),
    help="Classes of these data, which backbones are trained on, become seen ones.",
)  # fmt: skip
@click.option("--folds", type=click.IntRange(0, 20), default=3, show_default=True,
              help="Number of validation folds.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
              help="Another one draws another split.")  # fmt: skip
@click.option("--again", is_flag=True, help="Replace the split that is there.")
@data_option
@debug_option
def split_command(
    name: str,
    unseen: int | None,
    avoid: str | None,
    folds: int,
    seed: int,
    again: bool,
    data: Path | None,
) -> None:
    """Draw a proposed split of a described data set: seen, unseen, test images, folds.

    NAME is a folder with a dataset.yaml, or its name in the data folder. The split depends on the
    names of classes and images and on the seed, on nothing else; split/ and dataset.yaml hold it.
    """
    from gzsl_bench.data import editing, proposal
    from gzsl_bench.data.exposure import among_imagenet
    from gzsl_bench.data.places import is_described, plain_name, resolve_root

    folder = Path(name)
    if not is_described(folder) and len(folder.parts) == 1:
        root = resolve_root(data)
        folder = (root / plain_name(name, "the data set")) if root is not None else folder
    if editing.content(folder).get("split") and not again:
        raise DataError(f"{folder} has a split; --again replaces it, which makes other results")
    names, labels, images = proposal.read(folder)
    known = among_imagenet(names) if avoid else None
    found = proposal.propose(names, labels, images, unseen, known, folds, seed)
    put(str(proposal.write(folder, found)))
    say(
        f"{len(found.seen)} seen and {counted(len(found.unseen), 'unseen class')},"
        f" {counted(found.test_seen.size, 'test image')} of seen classes,"
        f" {counted(len(found.folds), 'fold')}"
    )
    if len(found.folds) < folds:
        say(
            "note: a fold hides a third of the seen classes at most, so it takes three of them;"
            " without folds nothing is selected or calibrated on validation"
        )
    if found.doubtful:
        say(f"unseen, but maybe known to the backbone: {', '.join(found.doubtful)}")


class _Progress:
    """Percent and megabytes on stderr; one line only where it is a terminal."""

    def __init__(self) -> None:
        self._shown = -1

    def __call__(self, there: int, total: int | None) -> None:
        tenth = there * 10 // total if total else there >> 27
        done = total is not None and there >= total
        terminal = sys.stderr.isatty()
        if not terminal and tenth == self._shown:
            return
        self._shown = tenth
        share = f" of {total / 1e6:.0f}" if total else ""
        line = f"{there / 1e6:.0f}{share} MB"
        say(f"\r{line}" if terminal else line, nl=done or not terminal)


def _specs() -> dict[str, DatasetSpec]:
    from gzsl_bench.hooks.manager import load_plugins

    return dict(load_plugins().datasets)


def _with_folders(specs: Mapping[str, DatasetSpec], root: Path | None) -> dict[str, DatasetSpec]:
    """Registered data sets, and folders of ``root`` that have the shape of one."""
    from gzsl_bench.builtin.datasets import current_spec, folder_spec
    from gzsl_bench.data.places import present

    folders = [name for name in present(root) if name not in specs]
    return {
        **{name: folder_spec(name, root) for name in folders},
        **{name: current_spec(spec, root) for name, spec in specs.items()},
    }


def _named(
    name: str, specs: Mapping[str, DatasetSpec], root: Path | None
) -> tuple[DatasetSpec, Path | None]:
    """The data set of that name, or in the folder of that path, and the data folder it lies in."""
    from gzsl_bench.builtin.datasets import folder_spec
    from gzsl_bench.data.places import dataset_folders, present

    if name in specs:
        return specs[name], root
    plain = Path(name).name == name
    if plain and root is not None and (root / name).is_dir():
        return folder_spec(name, root), root
    folder = Path(os.path.abspath(Path(name).expanduser()))  # noqa: PTH100 (links keep their names)
    if folder.is_dir():
        if (inside := present(folder)) and folder not in dataset_folders(folder.parent):
            raise DataError(
                f"{name} is not a data set but holds {', '.join(inside)}: --data {name} checks them"
            )
        return folder_spec(folder.name, folder.parent), folder.parent
    if plain:
        raise SuiteError(unknown_name("data set", name, specs))
    raise DataError(f"{name} is not a folder; give the folder of a data set, or its name")


def _missing_or_wrong(spec: DatasetSpec, root: Path | None) -> list[MissingFile]:
    """Missing files; a description that cannot be used counts as one, with its mistake."""
    try:
        return _missing(spec, root)
    except DataError as error:
        return [MissingFile(str((root or Path()) / spec.name), str(error))]


def _missing(
    spec: DatasetSpec, root: Path | None, features: str | None = None
) -> list[MissingFile]:
    from gzsl_bench.suite.datasets import missing_files

    asked = DatasetRequest(spec.name, root, features or spec.features, spec.attributes)
    return missing_files(spec, asked)


def _variants(spec: DatasetSpec, root: Path | None) -> list[str]:
    """Feature sets of ``spec`` that could be loaded now."""
    from gzsl_bench.data.places import feature_sets

    there = [*feature_sets(root / spec.name)] if root is not None else []
    if not there:
        try:
            return [] if _missing(spec, root) else [spec.features]
        except DataError:
            return [spec.features]  # loading it says what is wrong
    return [name for name in there if not _missing(spec, root, name)]


def _is_there(spec: DatasetSpec, root: Path | None) -> bool:
    """Whether it can be loaded, or says itself what it is and may lack some of that."""
    from gzsl_bench.data.places import is_described

    described = root is not None and is_described(root / spec.name)
    return described or bool(_variants(spec, root))


def _load(spec: DatasetSpec, request: DatasetRequest) -> GZSLData:
    from gzsl_bench.suite.datasets import load_data, missing_files

    absent = missing_files(spec, request)
    if absent:
        lines = [f"{spec.name} cannot be loaded, since files are missing:"]
        raise DataError("\n".join([*lines, *(f"  {file.path}: {file.hint}" for file in absent)]))
    return load_data(spec, request)


def _describe(data: GZSLData) -> dict[str, Any]:
    from gzsl_bench.data.checks import shared_images

    return {
        "data set": data.name,
        "features": data.feature_set,
        "attributes": data.attribute_set,
        "images": len(data.labels),
        "D": int(data.features.shape[1]),
        "A": int(data.attributes.shape[1]),
        "seen": int(data.seen.size),
        "unseen": int(data.unseen.size),
        "trainval": int(data.trainval.size),
        "test_seen": int(data.test_seen.size),
        "test_unseen": int(data.test_unseen.size),
        "folds": len(data.folds),
        "split hash": data.provenance.get("split_hashes", {}).get("trainval", "-"),
        "lists": data.provenance.get("lists", "-"),
        "fingerprint": data.fingerprint,
        "warnings": [*data.warnings, *shared_images(data)],
    }


def _show_checked(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        put(json.dumps(rows, indent=2))
    else:
        mapped = any(row["regions"] for row in rows)
        _print_table([_in_cells(row, mapped) for row in rows])
    for row in rows:
        for text in row["warnings"]:
            say(f"warning: {row['data set']} ({row['features']}): {text}")


def _in_cells(row: Mapping[str, Any], mapped: bool) -> dict[str, Any]:
    """A row of the table; region maps only where some data set has them."""
    shown = {**row, "warnings": len(row["warnings"]), "regions": ", ".join(row["regions"]) or "-"}
    return {key: value for key, value in shown.items() if mapped or key != "regions"}


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        lines = [list(row.values()) for row in rows]
        put(markdown.fitted(list(rows[0]), lines, columns()))
