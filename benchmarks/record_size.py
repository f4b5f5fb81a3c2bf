"""``python -m benchmarks.record_size [CELL...]``: what the record of very many checkpoints takes.

Without arguments a softmax classifier is trained from scratch 56 times for 25 epochs, as f-CLSWGAN
does on CUB (4,731 test rows, 200 classes), on Gaussian classes in place of a GAN's features: 1,400
checkpoints.  With folders of records (``OUT/cells/KEY``) theirs are packed again.  Printed are the
bytes of ``predictions.npz`` as it was before it was packed, packed with full scores, and packed
with rounded ones; and of ``record.json``.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.records.record import parsed
from gzsl_bench.scoring.packed import difference, unpacked, write
from gzsl_bench.scoring.predict import TestSet

#: CUB's test rows of seen and of unseen classes, its classes, and those that are unseen.
ROWS, CLASSES, UNSEEN = (1764, 2967), 200, 50
WIDTH, STEPS, BATCH, SAMPLES = 128, 20, 256, 5000
#: Standard deviation of class means where that within classes is 1; H is near 40 % then.
APART = 0.35


class _Exact(CellSink):
    most_exact = sys.maxsize


def trained(gan_epochs: int, classifier_epochs: int) -> dict[str, np.ndarray]:
    """The arrays of a training with full scores."""
    draw = torch.Generator().manual_seed(0)
    means = APART * torch.randn(CLASSES, WIDTH, generator=draw)
    known = CLASSES - UNSEEN
    labels = np.concatenate([np.arange(ROWS[0]) % known, known + np.arange(ROWS[1]) % UNSEEN])
    rows = means[labels] + torch.randn(len(labels), WIDTH, generator=draw)
    tests = TestSet(
        rows, labels, np.arange(known), np.arange(known, CLASSES), torch.arange(len(labels))
    )
    metrics = {s.name: s for s in gzsl_bench_metrics() if s.name == "harmonic_mean"}
    sink = _Exact(tests, metrics, lambda done, total: None, lambda: None)
    for epoch in range(gan_epochs):
        # Generated classes lie near the true ones, elsewhere after every epoch of the GAN.
        made = means + (torch.arange(CLASSES) >= known)[:, None] * 0.7 * APART * torch.randn(
            CLASSES, WIDTH, generator=draw
        )
        layer = torch.nn.Linear(WIDTH, CLASSES)
        adam = torch.optim.Adam(layer.parameters(), lr=1e-3, betas=(0.5, 0.999))
        given = torch.randint(CLASSES, (SAMPLES,), generator=draw)
        features = made[given] + torch.randn(SAMPLES, WIDTH, generator=draw)
        for turn in range(classifier_epochs):
            order = torch.randperm(SAMPLES, generator=draw)
            for batch in torch.split(order, BATCH)[:STEPS]:
                adam.zero_grad()
                loss = torch.nn.functional.cross_entropy(layer(features[batch]), given[batch])
                torch.autograd.backward(loss)
                adam.step()
            sink.checkpoint(epoch * classifier_epochs + turn + 1, layer)
    return sink.arrays()


def sizes(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Bytes of the arrays as they may be stored, and processor time of the last."""
    coarse = difference(arrays["best_seen"], arrays["best_unseen"]).astype(np.float32)
    short = arrays | {
        "best_seen": coarse,
        "best_unseen": np.zeros_like(coarse),
        "rounded": np.array(True),
    }
    found: dict[str, Any] = {
        "checkpoints": len(arrays["checkpoints"]),
        "rows": len(arrays["labels"]),
        "as it was": len(_file(arrays)),
        "packed": len(_packed(arrays)),
    }
    start = time.process_time()
    file = _packed(short)
    written = time.process_time()
    with np.load(io.BytesIO(file), allow_pickle=False) as stored:
        again = unpacked({name: stored[name] for name in stored.files})
    found |= {
        "rounded": len(file),
        "write (s)": written - start,
        "read (s)": time.process_time() - written,
    }
    assert all(np.array_equal(again[name], short[name]) for name in short)
    return found


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    kept = io.BytesIO()
    write(kept, arrays)
    return kept.getvalue()


def _file(arrays: dict[str, np.ndarray]) -> bytes:
    kept = io.BytesIO()
    np.savez_compressed(kept, **arrays)  # type: ignore[arg-type]  # as in numpy's stub
    return kept.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record_size", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="CELL")
    parser.add_argument("--epochs", nargs=2, type=int, default=(56, 25), metavar=("GAN", "EACH"))
    asked = parser.parse_args(arguments)
    lines = []
    for folder in asked.folders:
        raw = (folder / "record.json").read_bytes()
        record = parsed(raw, folder.name, folder)
        about = {"record": f"{record.method} on {record.dataset}"}
        lines.append(about | sizes(record.predictions()) | {"record.json": len(raw)})
    if not asked.folders:
        lines.append({"record": "Gaussian classes"} | sizes(trained(*asked.epochs)))
    print(tabulate(lines, headers="keys", floatfmt=".2f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
