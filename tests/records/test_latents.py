"""Latents beside the records: whole or absent, never a pickle."""

from __future__ import annotations

import os
from dataclasses import fields, replace

import numpy as np
import pytest

from gzsl_bench.errors import RecordError
from gzsl_bench.records.latents import KeptLatents, predictions_digest, read, write
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.tidy import leftovers
from gzsl_bench.records.verify import verify

KEY = "0123456789abcdef01234567"


@pytest.fixture
def kept() -> KeptLatents:
    rng = np.random.default_rng(0)
    return KeptLatents(
        key=KEY, checkpoint=4, last=False,
        visual=rng.normal(size=(5, 3)).astype(np.float32), labels=np.array([0, 2, 2, 1, 1]),
        semantic=rng.normal(size=(5, 3)), classes=np.array([0, 1, 1, 2, 2]),
        seen=np.array([0, 2]), unseen=np.array([1]),
        predicted=np.array([0, 0, 2, 1, 2]), digest="abc",
    )  # fmt: skip


def same(one: KeptLatents, other: KeptLatents) -> bool:
    for f in fields(one):
        a, b = getattr(one, f.name), getattr(other, f.name)
        if type(a) is not type(b) or np.asarray(a).dtype != np.asarray(b).dtype:
            return False
        if not np.array_equal(a, b):
            return False
    return True


def test_what_is_written_is_read_for_its_checkpoint_alone(kept, tmp_path):
    layout = Layout(tmp_path)
    assert read(layout, KEY, 4) is None
    write(layout, kept)
    assert same(read(layout, KEY, 4), kept)
    assert read(layout, KEY, 3) is None
    assert read(layout, KEY, None) is None  # it is not the last one
    write(layout, replace(kept, last=True))
    assert read(layout, KEY, None).checkpoint == 4
    assert [p.name for p in (tmp_path / "latents").iterdir()] == [f"{KEY}.npz"]
    assert verify(RecordStore(tmp_path)).problems == []


def test_what_cannot_be_trusted_counts_as_absent(kept, tmp_path):
    layout = Layout(tmp_path)
    path = layout.latents(KEY)
    write(layout, kept)
    path.rename(path.with_name(f"{'f' * 24}.npz"))
    assert read(layout, "f" * 24, 4) is None  # of another cell
    for broken in (
        replace(kept, visual=kept.visual[:4]),
        replace(kept, semantic=kept.semantic[:, :2]),
        replace(kept, semantic=np.full_like(kept.semantic, np.nan)),
        replace(kept, predicted=kept.predicted[:3]),
    ):
        write(layout, broken)
        assert read(layout, KEY, 4) is None
    write(layout, kept)
    raw = path.read_bytes()
    for damaged in (b"", raw[:200], raw[:-30], b"x" * 100):
        path.write_bytes(damaged)
        assert read(layout, KEY, 4) is None


def test_no_pickle_is_loaded(kept, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    layout = Layout(tmp_path)
    write(layout, kept)
    with np.load(layout.latents(KEY)) as arrays:
        content = dict(arrays)
    content["visual"] = np.array([Trap()], dtype=object)
    np.savez(layout.latents(KEY), **content)
    assert read(layout, KEY, 4) is None
    assert not (tmp_path / "sprung").exists()


def test_a_folder_that_cannot_be_written_leaves_one_sentence_and_no_draft(kept, tmp_path):
    (tmp_path / "latents").write_text("in the way")
    with pytest.raises(RecordError, match="latents .* cannot be written"):
        write(Layout(tmp_path), kept)


def test_the_draft_of_a_killed_call_is_a_leftover(kept, tmp_path):
    write(Layout(tmp_path), kept)
    draft = tmp_path / "latents" / f".{KEY}.npz.0123456789ab.tmp"
    draft.write_bytes(b"half")
    assert [each.path for each in leftovers(Layout(tmp_path))] == [draft]


def test_parts(kept):
    visual, labels, semantic, classes = kept.part("unseen")
    assert labels.tolist() == [1, 1]
    assert classes.tolist() == [1, 1]
    assert np.array_equal(visual, kept.visual[3:])
    assert np.array_equal(semantic, kept.semantic[1:3])
    assert kept.part("seen")[1].tolist() == [0, 2, 2]
    assert kept.part("seen")[3].tolist() == [0, 2, 2]


def test_the_digest_sees_names_kinds_shapes_and_values():
    arrays = {"a": np.array([[1, 2]]), "b": np.array([0.5])}
    found = predictions_digest(arrays)
    assert found == predictions_digest({"b": arrays["b"], "a": arrays["a"].copy()})
    for other in (
        {"a": np.array([[1, 3]]), "b": arrays["b"]},
        {"a": np.array([[1], [2]]), "b": arrays["b"]},
        {"a": arrays["a"].astype(np.int32), "b": arrays["b"]},
        {"a": arrays["a"], "c": arrays["b"]},
    ):
        assert predictions_digest(other) != found
