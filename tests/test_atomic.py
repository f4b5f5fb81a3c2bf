"""Files that are whole or not there."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from gzsl_bench import atomic


def test_a_file_takes_its_place_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.json"
    atomic.write_json(path, {"b": 1, "a": 2})
    assert path.read_text() == '{\n "a": 2,\n "b": 1\n}\n'
    with atomic.writing(path, "w", encoding="utf-8") as file:
        file.write("half")
        file.flush()
        (draft,) = (p for p in path.parent.iterdir() if p != path)
        assert atomic.is_draft(draft)
        assert not atomic.is_draft(path)
        assert path.read_text().startswith("{")
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("where", ["write", "fsync", "replace", "value", "interrupt"])
def test_what_fails_leaves_the_old_file_and_nothing_else(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def full(*given: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    if where == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    if where == "replace":
        monkeypatch.setattr(Path, "replace", full)
    kind = {"value": ValueError, "interrupt": KeyboardInterrupt}.get(where, OSError)
    with pytest.raises(kind) as caught:  # noqa: PT012
        if where == "value":
            atomic.write_json(path, math.nan)
        with atomic.writing(path) as file:
            file.write(b"new")
            if where == "interrupt":
                raise KeyboardInterrupt
            if where == "write":
                full()
    assert kind is not OSError or caught.value.filename == str(path)  # where the disk is full
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
