"""Code in the documentation is run, and links within it lead somewhere."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
import torch

from gzsl_bench import Run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks/README.md"]


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
    (code,) = python_blocks("fast-methods.md")
    module = types.ModuleType("fast_example")
    exec(compile(code, "fast-methods.md", "exec"), module.__dict__)
    (spec,) = module.gzsl_bench_methods()
    registry = make_registry(spec)
    text = (
        "name: s\ndatasets: [tiny]\nseeds: 3\nmethods:\n"
        "  - {use: embedding, config: {epochs: 60, batch: 20, rate: 0.01}}\n"
    )
    cells = resolve_text(text, registry).cells
    outcome, store, _ = run_inline(cells, registry, stack=3)
    assert outcome.exit_code == 0
    records = [store.read(cell.key).content for cell in cells]
    finals = [record["checkpoints"][-1]["metrics"] for record in records]
    assert len({final["ausuc"] for final in finals}) == 3
    assert sum(final["acc_seen"] for final in finals) / 3 > 2 * 100 / 7  # chance is one in seven
    losses = [value for _, value in records[0]["curves"]["loss"]]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
