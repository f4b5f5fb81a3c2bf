"""Tracking URIs: which store is meant, what it may look like, how it is shown.

Passwords in a URI never reach a terminal, a log or a record: everything shown goes through
:func:`gzsl_bench.masking.masked`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from gzsl_bench.errors import TrackingError
from gzsl_bench.masking import learn, masked
from gzsl_bench.records.layout import Layout

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVERS = ("http", "https")
_EXPECTED = (
    "what would be right: sqlite:////path/to/mlflow.db, http://host:5000, another MLflow database"
    " (postgresql://, mysql://, mssql://), or none"
)


def resolve_uri(option: str | None, layout: Layout) -> str | None:
    """The store to mirror into: the option, else ``MLFLOW_TRACKING_URI``, else the folder's own.

    Returns:
        A checked URI, or None where mirroring is switched off (``none``).

    Raises:
        TrackingError: the URI cannot be a store.
    """
    for source, uri in (
        ("--tracking-uri", option),
        ("MLFLOW_TRACKING_URI", os.environ.get("MLFLOW_TRACKING_URI")),
    ):
        if uri is not None and uri.strip():
            text = uri.strip()
            return None if text.lower() == "none" else checked(text, source)
    return layout.tracking_store


def checked(uri: str, source: str = "--tracking-uri") -> str:
    """``uri`` in the form MLflow takes, with a SQLite file's path made absolute.

    Raises:
        TrackingError: it is a path, or of a kind MLflow cannot keep runs in.
    """
    learn(uri)
    scheme = uri.split("://", 1)[0].split("+", 1)[0].lower() if "://" in uri else ""
    if scheme in _SERVERS:
        try:
            if urlsplit(uri).hostname and urlsplit(uri).port != 0:
                return uri.rstrip("/")
        except ValueError:  # a port that is no number
            pass
        raise TrackingError(f"{source}: {masked(uri)!r} names no host and port; {_EXPECTED}")
    if scheme == "sqlite":
        return _absolute(uri, source)
    if scheme in _DATABASES:
        return uri
    if "://" not in uri and "@" in uri:
        # Somebody forgot http://, and what stands before the @ may be a password.
        raise TrackingError(f"{source}: {masked('x://' + uri)[4:]!r} has no scheme; {_EXPECTED}")
    if scheme == "file" or "://" not in uri:
        path = re.sub(r"^file:(//)?", "", uri)
        suggestion = Path(path if path.endswith(".db") else Path(path) / "mlflow.db").absolute()
        raise TrackingError(
            f"{source}: {masked(uri)!r} is a folder of files, which MLflow no longer keeps runs in;"
            f" use sqlite:///{suggestion}, the address of a server (http://host:5000), or none"
        )
    raise TrackingError(f"{source}: MLflow cannot keep runs in {masked(uri)!r}; {_EXPECTED}")


def _absolute(uri: str, source: str) -> str:
    path, mark, query = uri.partition("://")[2].removeprefix("/").partition("?")
    if not path or path == ":memory:" or path.endswith("/"):
        raise TrackingError(f"{source}: {uri!r} names no file; {_EXPECTED}")
    return f"sqlite:///{Path(path).absolute()}{mark}{query}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store, None for any other."""
    if not uri.startswith("sqlite"):
        return None
    return Path(uri.partition("://")[2].removeprefix("/").partition("?")[0])


def is_server(uri: str) -> bool:
    """Whether a tracking server, rather than this process, owns the database."""
    return uri.startswith(("http://", "https://"))


def artifact_root(uri: str, layout: Layout) -> Path | None:
    """Where artifacts of new experiments go; None leaves it to a server.

    Beside a SQLite file (``<out>/mlartifacts`` for the default store): MLflow's own choice would be
    ``./mlruns`` of whatever folder the command was started in.
    """
    if is_server(uri):
        return None
    file = sqlite_file(uri)
    return layout.artifacts if file is None else file.parent / layout.artifacts.name
