"""docs/records.md names everything that a record holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gzsl_bench import Config, Method, MethodSpec, NotApplicable

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")


class Means(Method):
    """Nearest class mean; other outcomes on demand."""

    class Config(Config):
        outcome: str = "complete"

    def fit(self, task, run):
        import torch

        if self.config.outcome == "failed":
            raise RuntimeError("planted")
        if self.config.outcome == "not applicable":
            raise NotApplicable("planted")
        run.log(1, loss=0.5)
        middle = task.features.mean(dim=0)
        means = [task.features[task.labels == c].mean(dim=0) for c in task.seen]
        table = middle.repeat(task.num_classes, 1)
        table[task.seen] = torch.stack(means)
        return lambda features: -torch.cdist(features, table)


def documented(heading: str) -> set[str]:
    """What the first column of the table under a heading names."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n##")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_key_and_array_is_documented(make_registry, resolve_text, run_inline):
    registry = make_registry(MethodSpec("means", Means, "none", "paper"))
    entries = "".join(
        f"  - {{use: means, label: {i}, config: {{outcome: {o}}}}}\n"
        for i, o in (("a", "complete"), ("b", "failed"), ("c", "not applicable"))
    )
    cells = resolve_text(f"name: s\ndatasets: [tiny]\nmethods:\n{entries}", registry).cells
    _, store, _ = run_inline(cells, registry)
    keys: set[str] = set()
    about: set[str] = set()
    for cell, status in zip(cells, ("complete", "failed", "not applicable"), strict=True):
        content = json.loads((store.layout.cell(cell.key) / "record.json").read_text())
        assert content["status"] == status
        assert f"`{status}`" in PAGE
        keys |= set(content)
        about |= set(content["provenance"])
        missing = [name for name in content["identity"] if f"`{name}`" not in PAGE]
        assert missing == []
    assert keys == documented("record.json")
    assert about == documented("Provenance")
    assert set(store.read(cells[0].key).predictions()) == documented("predictions.npz")
    folder = store.layout.cells / cells[0].key
    assert {path.name for path in folder.iterdir()} <= set(re.findall(r"`([\w.]+)`", PAGE))
