"""Code in the documentation is run, and links within it lead somewhere."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
import torch

from gzsl_bench import Run

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]


def python_blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.S)


class Sink:
    def log(self, step, values):
        pass

    def checkpoint(self, number, scorer):
        pass

    def progress(self, done, total):
        pass


def test_the_worked_example_of_a_fast_method(tiny, make_registry, resolve_text, run_inline):
    (spec,) = module_of("fast-methods.md").gzsl_bench_methods()
    registry = make_registry(spec)
    text = (
        "name: s\ndatasets: [tiny]\nseeds: 3\nmethods:\n"
        "  - {use: embedding, config: {epochs: 60, batch: 20, rate: 0.01}}\n"
    )
    cells = resolve_text(text, registry).cells
    outcome, store, _ = run_inline(cells, registry, stack=3)
    assert outcome.exit_code == 0
    records = [store.read(cell.key) for cell in cells]
    finals = [record.checkpoints[-1].metrics for record in records]
    assert len({final["ausuc"] for final in finals}) == 3
    assert sum(final["acc_seen"] for final in finals) / 3 > 2 * 100 / 7  # chance is one in seven
    losses = [value for _, value in records[0].curves["loss"]]
    assert losses[-1] < 0.5 * losses[0]

    # A run is the same alone and in a stack.
    from gzsl_bench import Task

    task = Task(
        torch.rand(60, 5, generator=torch.Generator().manual_seed(0)),
        torch.arange(60) % 4,
        torch.eye(6, 4),
        torch.arange(4),
        torch.arange(4, 6),
    )
    config = spec.factory.Config(epochs=3)

    def scores(seeds):
        runs = [Run(seed, task.device, config, Sink()) for seed in seeds]
        return [s(task.features) for s in spec.factory(config).fit_batch(task, runs)]

    together = scores([4, 7])
    assert torch.equal(together[1], scores([7])[0])
    assert not torch.equal(together[0], together[1])


def module_of(page: str, holds: str = "") -> types.ModuleType:
    """The only Python block of a page, or the one that holds a word, run as a module."""
    (code,) = [code for code in python_blocks(page) if holds in code]
    module = types.ModuleType(page.removesuffix(".md").replace("-", "_"))
    exec(compile(code, page, "exec"), module.__dict__)
    return module


def test_the_worked_data_set_plugin(make_registry, resolve_text, run_inline):
    from gzsl_bench import DataError, DatasetRequest
    from gzsl_bench.data.checks import check_data

    (spec,) = module_of("dataset-plugins.md").gzsl_bench_datasets()
    data = check_data(spec.load(DatasetRequest("blobs", None, "points", "corners")))
    # Sixty images of seen classes, every fourth a test image; forty of unseen ones.
    assert (len(data.trainval), len(data.test_seen), len(data.test_unseen)) == (45, 15, 40)
    assert (data.seen.tolist(), data.unseen.tolist()) == ([0, 1, 2], [3, 4])
    with pytest.raises(DataError, match="has no feature set 'pixels'"):
        spec.load(DatasetRequest("blobs", None, "pixels", "corners"))

    (method,) = readme_methods()
    registry = make_registry(method)
    registry.datasets[spec.name] = spec
    text = "name: s\ndatasets: [blobs]\nmethods: [prototypes]\n"
    cells = resolve_text(text, registry).cells
    outcome, store, _ = run_inline(cells, registry)
    assert outcome.exit_code == 0
    (final,) = store.read(cells[0].key).checkpoints
    assert final.metrics["acc_seen"] > 2 * 100 / 5  # chance is one in five


def test_the_worked_metric_plugin(make_registry, resolve_text, run_inline):
    import numpy as np

    from gzsl_bench import Predictions

    worst, bias = module_of("metric-plugins.md").gzsl_bench_metrics()
    # Unseen classes 1 and 2: one of two rows of class 1 is right, two of three of class 2.
    predictions = Predictions(
        labels=np.array([0, 1, 1, 2, 2, 2]),
        seen=np.array([0]),
        unseen=np.array([1, 2]),
        predicted=np.array([0, 1, 0, 2, 2, 1]),
        predicted_seen=np.array([0, 0, 0, 0, 0, 0]),
        predicted_unseen=np.array([1, 1, 1, 2, 2, 1]),
        best_seen=np.array([9.0, 1.0, 3.0, 1.0, 1.0, 1.0]),
        best_unseen=np.array([0.0, 2.0, 2.0, 2.0, 2.0, 2.0]),
    )
    assert worst.compute(predictions) == pytest.approx(1 / 2)
    assert bias.compute(predictions) == pytest.approx(1 / 5)

    (method,) = readme_methods()
    registry = make_registry(method)
    info = registry.owner("methods", method.name)
    for spec in (worst, bias):
        registry.metrics[spec.name] = spec
        registry.owners["metrics", spec.name] = info
    cells = resolve_text("name: s\ndatasets: [tiny]\nmethods: [prototypes]\n", registry).cells
    outcome, store, _ = run_inline(cells, registry)
    assert outcome.exit_code == 0
    record = store.read(cells[0].key)
    (final,) = record.checkpoints
    assert 0 <= final.metrics["worst_unseen"] <= final.metrics["acc_unseen"]
    assert 0 <= final.metrics["bias_to_seen"] <= 100
    assert record.metrics["bias_to_seen"]["higher_is_better"] is False


def readme_methods():
    (code,) = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.S)
    module = types.ModuleType("readme_example")
    exec(compile(code, "README.md", "exec"), module.__dict__)
    return module.gzsl_bench_methods()


def test_the_method_that_offers_latents_passes_every_check():
    from gzsl_bench.testing import check_method

    (spec,) = module_of("plugins.md", "latents=True").gzsl_bench_methods()
    # A class of a page cannot be imported by a fresh process.
    report = check_method(spec, leave_out=("survives_spawn", "memory_budget"))
    assert report.passed, report.text()
    outcomes = {each.name: each.outcome for each in report.results}
    assert {outcomes["latents"], outcomes["latents_change_nothing"]} == {"ok"}


@pytest.mark.parametrize(("page", "holds"), [("plugins.md", "Dropout"), ("models.md", "restore")])
def test_the_other_methods_shown_pass_every_check(page, holds):
    from gzsl_bench.testing import check_method

    (spec,) = module_of(page, holds).gzsl_bench_methods()
    report = check_method(spec, leave_out=("survives_spawn", "memory_budget"))
    assert report.passed, report.text()


def test_the_methods_shown_describe_their_configuration():
    for spec in (*readme_methods(), *module_of("fast-methods.md").gzsl_bench_methods()):
        assert all(field.description for field in spec.factory.Config.model_fields.values())


def test_the_description_on_the_page_is_one(tmp_path):
    """Both YAML examples, the second in place of the first one's split, written out and read."""
    import numpy as np
    from scipy.io import savemat

    from gzsl_bench import DatasetRequest
    from gzsl_bench.data.described import load

    text = (ROOT / "docs" / "dataset-plugins.md").read_text(encoding="utf-8")
    first, second = re.findall(r"```yaml\n(.*?)```", text, re.S)
    folder = tmp_path / "MINE"
    folder.mkdir()
    rng, labels = np.random.default_rng(0), np.arange(12) % 3
    points = rng.normal(size=(12, 4)).astype(np.float32)
    np.save(folder / "labels.npy", labels)
    np.savez(folder / "clip.npz", features=points)
    savemat(folder / "res101.mat", {"features": points.T})
    (folder / "words.csv").write_text("1,0\n0,1\n1,1\n")
    for stem, names in (("classes", "abc"), ("seen", "ab"), ("unseen", "c")):
        (folder / f"{stem}.txt").write_text("\n".join(names))
    rows = np.arange(12)
    parts = {
        "trainval": rows[(labels < 2) & (rows > 2)],
        "test_seen": rows[(labels < 2) & (rows <= 2)],
        "test_unseen": rows[labels == 2],
    }
    np.savez(folder / "split.npz", **parts)
    np.save(folder / "test_seen.npy", parts["test_seen"])
    found = set()
    for content in (first, first.split("split:")[0] + second):
        (folder / "dataset.yaml").write_text(content, encoding="utf-8")
        for features in ("clip", "res101"):
            found.add(load(DatasetRequest("MINE", tmp_path, features, "words")).fingerprint)
    assert len(found) == 1


def anchors(text: str) -> set[str]:
    """What headings of a page can be linked to as, the way GitHub and mkdocs name them."""
    found: set[str] = set()
    for heading in re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M
    ):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = 0
        while (name := f"{slug}-{count}" if count else slug) in found:
            count += 1
        found.add(name)
    return found


def broken_links(page: Path) -> list[str]:
    """Relative links of a page to no file, or to no heading."""
    text = page.read_text(encoding="utf-8")
    found = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        goal = page.parent / target if target else page
        if not goal.exists() or not goal.resolve().is_relative_to(ROOT):
            found.append(target)
        elif anchor and (goal.suffix != ".md" or anchor not in anchors(goal.read_text("utf-8"))):
            found.append(f"{target}#{anchor}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page):
    assert broken_links(page) == []


def test_broken_links_are_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "b.md").write_text(
        "# What `it` is, really\n```sh\n# no heading\n```\n## Twice\n## Twice\n"
    )
    page = tmp_path / "a.md"
    page.write_text(
        "[1](b.md) [2](b.md#what-it-is-really) [3](b.md#twice-1) [4](https://x.org/#y) [5](c.md)"
        " [6](b.md#no-heading) [7](#here) [8](..)\n# Here\n[9](#there)"
    )
    assert broken_links(page) == ["c.md", "b.md#no-heading", "..", "#there"]
