"""Reaching MLflow: quiet, impatient, one writer at a time."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gzsl_bench.errors import TrackingError
from gzsl_bench.masking import masked
from gzsl_bench.records.layout import Layout
from gzsl_bench.tracking.address import artifact_root, is_server, sqlite_file
from gzsl_bench.tracking.impatience import impatient

#: Seconds to wait for another writer before the mirror counts as behind.
PATIENCE = 10.0

#: Seconds a server gets to show that it is there; a run waits that long at its start and its end.
HURRY = 3.0

#: Set only where the user has not: results never wait for a mirror, and nobody is told about runs.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    # The mirror catches up by itself: a request repeated at once, or when the server likes
    # (Retry-After), would only keep a run waiting.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    # Its "View run ... at:" names the store with user and password.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

#: Packages whose import name is another.
_DRIVERS = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}


#: How MLflow and urllib3 tell what a server answered.
_STATUS = re.compile(r"too many (\d{3}) error responses|failed with error code (\d{3})")


class StoreError(Exception):
    """The store cannot be used just now; the text says why in a few words."""


@dataclass(frozen=True)
class Store:
    """An MLflow store that was reached once.

    Attributes:
        uri: its checked URI.
        client: MLflow's client.
        artifacts: where new experiments keep artifacts; None leaves it to the server.
        own: whether it is the results folder's default store, which nobody else looks after.
    """

    uri: str
    client: Any
    artifacts: Path | None
    own: bool


def installed() -> bool:
    """Whether MLflow is there; mlflow-skinny has the client but no SQLAlchemy."""
    return find_spec("mlflow") is not None and find_spec("sqlalchemy") is not None


def require() -> None:
    """Make sure that mlflow is there; call before it is imported.

    Raises:
        TrackingError: it is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not installed():
        raise TrackingError(
            "MLflow is not installed: pip install 'gzsl-bench[mlflow]', or go on without it"
            " (--tracking-uri none)"
        )
    # urllib3 announces every retry; what is wrong is said once, by us.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def _silence() -> None:
    """Of MLflow and alembic; after MLflow's import, which may undo it (3.9 does)."""
    if os.environ["MLFLOW_LOGGING_LEVEL"] == "CRITICAL":
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def connect(uri: str, layout: Layout, *, create: bool = True) -> Store:
    """Reach a store; a SQLite file is created and migrated.  Call while holding :func:`writing`.

    Raises:
        TrackingError: mlflow is missing.
        StoreError: the store cannot be used.
    """
    require()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    _silence()
    if is_server(uri):
        probe_server(uri)
    elif sqlite_file(uri) is None:
        _probe_database(uri)
    if not is_server(uri):
        _try_once()
    own = uri == layout.tracking_store
    if own:
        _commit_without_waiting()
    if (file := sqlite_file(uri)) is not None and not file.exists():
        _create(file)
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        if not (own and "out-of-date database schema" in str(error)):
            raise
        # The default store has no administrator: a newer MLflow upgrades it here.
        from mlflow.store.db import utils

        utils._upgrade_db(utils.create_sqlalchemy_engine(uri))
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    return Store(uri, client, artifact_root(uri, layout), own)


def _create(file: Path) -> None:
    """Make a SQLite store, whole or not at all.

    MLflow makes its tables in dozens of steps, and what a full disk or a kill leaves of them no
    later attempt can put right.
    """
    from mlflow.store.db import utils

    draft = file.with_name(f".{file.name}.new")
    places = [draft, *(draft.with_name(draft.name + end) for end in ("-journal", "-wal", "-shm"))]
    try:
        for place in places:
            place.unlink(missing_ok=True)
        engine = utils.create_sqlalchemy_engine_with_retry(f"sqlite:///{draft}")
        try:
            utils._initialize_tables(engine)
        finally:
            engine.dispose()
        if not file.exists():  # another program may have been faster
            draft.rename(file)
    finally:
        for place in places:
            place.unlink(missing_ok=True)


def _try_once() -> None:
    """MLflow tries ten times to open a database, a hundred seconds in all: on a full disk, say."""
    from mlflow.store.db import utils

    if hasattr(utils, "MAX_RETRY_COUNT"):
        utils.MAX_RETRY_COUNT = 1


def _commit_without_waiting() -> None:
    """Let SQLite leave flushing to the system in this process: a mirror can be made again.

    A killed process loses nothing by it; after a power failure the store may have to be removed and
    written anew by ``gzsl-bench sync``.  MLflow commits eight times for a cell, and each flush
    takes longer than all else.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _no_flush):
        event.listen(Engine, "connect", _no_flush)


def _no_flush(connection: Any, record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def probe_server(uri: str) -> None:
    """Ask a server for next to nothing: one that is away is not waited for with every request.

    Raises:
        MlflowException: it does not answer, or not as it should.
    """
    from mlflow import MlflowClient

    # What it can change is the user's business: addresses, certificates, credentials.
    name, patience = "MLFLOW_HTTP_REQUEST_TIMEOUT", f"{HURRY:.0f}"
    before = os.environ.get(name)
    os.environ[name] = patience if before is None else min(before, patience, key=float)
    try:
        MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _probe_database(uri: str) -> None:
    """Fail at once where MLflow would retry for two minutes."""
    import sqlalchemy

    impatient = {"connect_timeout": 5} if uri.startswith(("postgresql", "mysql")) else {}
    try:
        engine = sqlalchemy.create_engine(uri, connect_args=impatient)
    except ImportError as error:
        package = _DRIVERS.get(error.name or "", error.name)
        raise TrackingError(
            f"the store {masked(uri)} needs a database driver: pip install {package}"
        ) from None
    except sqlalchemy.exc.ArgumentError as error:
        raise TrackingError(f"the tracking URI {masked(uri)} is wrong: {error}") from None
    with engine.connect():
        pass
    engine.dispose()


@contextlib.contextmanager
def writing(uri: str, layout: Layout, patience: float | None = None) -> Iterator[None]:
    """Be the only writer, and a silent one: hold the lock beside the SQLite file, or in ``out``.

    Runs carry their results folder, so writers of different folders only meet in a SQLite file.

    Raises:
        StoreError: somebody else writes for longer than ``patience`` seconds, or nobody may write.
    """
    patience = PATIENCE if patience is None else patience
    file = sqlite_file(uri)
    place = layout.out / ".mlflow.lock" if file is None else file.with_name(file.name + ".lock")
    lock = FileLock(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    except Timeout:
        raise StoreError(f"another gzsl-bench writes to it since {patience:.0f} s") from None
    except OSError as error:
        # A server's store can be written even from a results folder that cannot.
        if file is not None:
            reason = error.strerror or str(error)
            raise StoreError(f"{place} cannot be written: {reason}") from None
    try:
        if file is not None:
            _probe_file(file, patience)
        # Standard output is for tables: nothing that a library prints belongs there.
        with contextlib.redirect_stdout(io.StringIO()), impatient():
            yield
    finally:
        lock.release()


def _probe_file(file: Path, patience: float) -> None:
    """Whether the database can be written now: MLflow itself would wait and retry for minutes."""
    if file.is_dir():
        raise StoreError(f"{file} is a folder")
    if not file.exists():
        return
    try:
        # Not to be created here: an empty file is no store.
        connection = sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=patience)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"{file} cannot be written: {error}") from None


def explain(error: BaseException, uri: str) -> str:
    """What went wrong in a few words, without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    if is_server(uri) and (status := _STATUS.search(text)):
        text = f"the server answers with the error {status[1] or status[2]}"
    elif is_server(uri) and ("Max retries exceeded" in text or "Connection" in text):
        text = "the server does not answer"
    elif "(Background on this error" in text:  # SQLAlchemy adds the statement and a link
        text = text.split(" [SQL:", 1)[0]
    return masked(text if len(text) <= 300 else text[:297] + "...")
