from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gzsl_bench.errors import TrackingError
from gzsl_bench.records.layout import Layout
from gzsl_bench.tracking import address, resolve_uri
from gzsl_bench.tracking import client as room


def test_where_the_uri_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path)
    assert resolve_uri(None, layout) == layout.tracking_store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000/")
    assert resolve_uri(None, layout) == "http://server:5000"
    assert resolve_uri("none", layout) is None
    assert resolve_uri("https://x", layout) == "https://x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    assert resolve_uri(None, layout) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(TrackingError, match=r"^MLFLOW_TRACKING_URI: '\./mlruns' is a folder"):
        resolve_uri(None, layout)


def test_a_relative_file_is_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert address.checked("sqlite:///a/b.db") == f"sqlite:///{tmp_path}/a/b.db"
    assert address.checked("sqlite:////a/b.db") == "sqlite:////a/b.db"
    assert address.sqlite_file("sqlite:////a/b.db?x=1") == Path("/a/b.db")
    assert address.artifact_root("sqlite:////a/b.db", Layout(tmp_path)) == Path("/a/mlartifacts")
    assert address.artifact_root("http://x", Layout(tmp_path)) is None


@pytest.mark.parametrize(
    "uri",
    [
        "mlruns", "./mlruns", "/data/mlruns", "file:///data/mlruns", "file:./x", "sqlite://",
        "sqlite:///", "sqlite:///:memory:", "http://", "https:///x", "http://x:port", "ftp://x/y",
        "s3://bucket", "nonsense",
    ],
)  # fmt: skip
def test_what_is_no_store(uri: str) -> None:
    with pytest.raises(TrackingError, match="--tracking-uri") as caught:
        address.checked(uri)
    assert "\n" not in str(caught.value)
    assert "http://host:5000" in str(caught.value)


def test_passwords_are_masked() -> None:
    assert address.masked("http://me:pw@host:5/x") == "http://***@host:5/x"
    assert address.masked("at postgresql://me:p/w@db/x failed") == "at postgresql://***@db/x failed"
    assert address.masked("http://host:5000/#/experiments/1") == "http://host:5000/#/experiments/1"


def test_mlflow_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(
        TrackingError, match=r"pip install 'gzsl-bench\[mlflow\]'.*--tracking-uri none"
    ):
        room.require()


def test_importing_the_room_imports_no_mlflow() -> None:
    code = (
        "import sys, gzsl_bench.tracking, gzsl_bench.cli.sync;"
        " assert not {'mlflow', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
