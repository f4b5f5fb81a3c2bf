"""``python -m benchmarks.region_memory``: what a run on region maps of 4 GB holds in memory.

DAZLE is trained twice as a user trains it, on a generated data set whose map file is sparse: once
with few images a step, which tells what Python, its libraries and all parameters take, and once
with many.  What the second takes more should be at most 1.2 times what its batch has more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from gzsl_bench import markdown

#: A map of ResNet-101, and AWA2's classes and attributes.
REGIONS, CHANNELS = 49, 2048
CLASSES, SEEN, ATTRIBUTES, WORDS = 50, 40, 85, 300
#: Training and test rows: the others of the file are in no part of the split.
TRAINED, TESTED = 600, 100
#: Images in a step of the training that tells what all else takes.
FEW = 20
#: What is allowed beside libraries and parameters, in batches of maps.
BAR = 1.2
#: Of each parameter: itself, its gradient, and two states of RMSprop.
COPIES = 4


def write(folder: Path, images: int) -> int:
    """A described data set with ``images`` maps of zeros in a sparse file; gives its bytes."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    shape = (images, REGIONS, CHANNELS)
    with (folder / "maps.npy").open("wb") as file:
        head = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)
        size = file.tell() + 2 * int(np.prod(shape, dtype=np.int64))
        file.truncate(size)
    labels = rng.integers(0, SEEN, images)
    tests = np.arange(images - TESTED, images)
    labels[tests] = np.arange(TESTED) % CLASSES
    labels[:SEEN] = np.arange(SEEN)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "features.npy", rng.random((images, 4), np.float32))
    np.save(folder / "classes.npy", rng.random((CLASSES, ATTRIBUTES)))
    np.save(folder / "words.npy", rng.standard_normal((ATTRIBUTES, WORDS)))
    parts = {
        "trainval": np.arange(TRAINED),
        "test_seen": tests[labels[tests] < SEEN],
        "test_unseen": tests[labels[tests] >= SEEN],
    }
    np.savez(folder / "split.npz", allow_pickle=False, **parts)
    lines = "\n".join(f"  {part}: {{file: split.npz, key: {part}}}" for part in parts)
    (folder / "dataset.yaml").write_text(
        "labels: {file: labels.npy, count_from: 0}\n"
        "features: {small: {file: features.npy, images: rows}}\n"
        "attributes: {made: {file: classes.npy, classes: rows, words: {file: words.npy}}}\n"
        "regions: {grid: {file: maps.npy}}\n"
        f"split:\n  count_from: 0\n{lines}\n",
        encoding="utf-8",
    )
    return size


def peaks(root: Path, batches: tuple[int, ...]) -> dict[int, int]:
    """Peak bytes of the process that trained DAZLE with each size of a batch."""
    suite, out = root / "suite.yaml", root / "out"
    config = "{epochs: 1, batch: %d, block: 10}"
    methods = "".join(
        f"  - {{use: dazle, label: 'batch {size}', config: {config % size}}}\n" for size in batches
    )
    text = f"name: region_memory\ndatasets: [LARGE]\nmethods:\n{methods}"
    suite.write_text(text, encoding="utf-8")
    options = ["--data", root, "--out", out, "--jobs", 1, "--threads", 1, "--device", "cpu"]
    command = [sys.executable, "-m", "gzsl_bench", "run", suite, *options]
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)
    found = {}
    for record in out.glob("cells/*/record.json"):
        content = json.loads(record.read_text(encoding="utf-8"))
        size = content["identity"]["method"]["config"]["batch"]
        found[size] = content["provenance"]["peak_memory"]
    return found


def main() -> None:
    """Write the data, train, and print what was held."""
    parser = argparse.ArgumentParser(prog="benchmarks.region_memory")
    parser.add_argument("--images", type=int, default=20_000, help="maps in the file")
    parser.add_argument("--batch", type=int, default=300, help="images in a step")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gzsl-bench-regions-") as folder:
        root = Path(folder)
        size = write(root / "LARGE", options.images)
        held = peaks(root, (FEW, options.batch))
    image = 4 * REGIONS * CHANNELS
    batch = options.batch * image
    parameters = 4 * COPIES * (ATTRIBUTES * WORDS + 3 * WORDS * CHANNELS)
    more = held[options.batch] - held[FEW]
    added = more / ((options.batch - FEW) * image)
    rows = [
        ["map file", f"{size / 2**20:.0f}"],
        [f"peak with {FEW} images a step", f"{held[FEW] / 2**20:.0f}"],
        ["of that, parameters", f"{parameters / 2**20:.0f}"],
        [f"a batch of {options.batch} maps in float32", f"{batch / 2**20:.0f}"],
        [f"peak with {options.batch} images a step", f"{held[options.batch] / 2**20:.0f}"],
        ["what more images add, in their maps", f"{added:.2f} (bar: at most {BAR})"],
    ]
    print(markdown.table(["what", "MiB"], rows))


if __name__ == "__main__":
    main()
