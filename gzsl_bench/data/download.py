"""Fetching a public archive: resumed after an interruption, pinned on first use.

A download grows in ``<root>/.downloads/<file>.part`` and gets its final name when it is complete.
Its SHA-256 is noted in ``<root>/checksums.json`` at the first download and must agree at every
later one.  Nothing here trusts the server: what is no zip archive is refused at its first bytes, so
is what does not fit, and a connection that creeps is cut and tried again.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gzsl_bench.atomic import write_json
from gzsl_bench.errors import DataError
from gzsl_bench.impatience import watched
from gzsl_bench.masking import masked

CHECKSUMS_FILE = "checksums.json"
DOWNLOADS_FOLDER = ".downloads"
_BLOCK = 1 << 18
#: Seconds in which so many bytes have to come: less is no line that would ever bring an archive.
_TIMEOUT, _LEAST = 60.0, 1 << 16
#: Bytes of an archive; the largest public one has 13 GB.
MOST = 32 << 30
_ATTEMPTS = 4
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
#: What a connection dies of; trying again may help.
_BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
#: (bytes there, bytes in all or None)
Progress = Callable[[int, int | None], None]


def fetch(
    url: str, root: Path, progress: Progress | None = None, *, wait: float = 2.0
) -> tuple[Path, str]:
    """Download ``url`` below ``root`` unless it is there already.

    Args:
        url: an http or https address of a zip archive.
        root: the data folder.
        progress: told after each block.
        wait: seconds before the second attempt after a broken connection; doubled each time.

    Returns:
        The archive and its SHA-256.

    Raises:
        DataError: the address is unusable, the server sends no zip archive, the connection keeps
            breaking (a later call resumes), or the checksum differs from the recorded one.
    """
    parts = urllib.parse.urlsplit(url)
    name = Path(urllib.parse.unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or not parts.netloc or not name:
        raise DataError(f"{url!r} is no address of a file; it must begin with http:// or https://")
    # Two addresses may end in the same name.
    tag = hashlib.sha256(url.encode()).hexdigest()[:8]
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    final = root / DOWNLOADS_FOLDER / f"{tag}-{safe}"
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if not final.exists():
            progress = progress or (lambda there, total: None)
            _download(url, final.with_name(final.name + ".part"), final, progress, wait)
        if not zipfile.is_zipfile(final):
            # A server that does not announce a size may hang up early and look finished.
            final.unlink()
            raise DataError(f"{url} gave a truncated or damaged zip archive; download it again")
        digest = _sha256(final)
        _pin(root, url, final, digest)
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be written ({error.strerror or error}); "
            "name another data folder with --data DIR"
        ) from None
    return final, digest


def _download(url: str, part: Path, final: Path, progress: Progress, wait: float) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            _hurry(url, part, progress)
            break
        except urllib.error.HTTPError as error:
            # The server has spoken; asking again changes nothing unless it is overloaded.
            if error.code < 500 or attempt == _ATTEMPTS - 1:
                raise DataError(
                    f"{url} cannot be downloaded: the server answers {error.code} {error.reason}"
                ) from None
        except _BROKEN as e:
            if attempt == _ATTEMPTS - 1:
                have = part.stat().st_size if part.exists() else 0
                cause = getattr(e, "reason", None) or e or type(e).__name__
                raise DataError(
                    f"the download of {url} stopped after {have} bytes ({cause}); "
                    "run the same command again to resume it"
                ) from None
        time.sleep(wait * 2**attempt)
    part.replace(final)
    _validator_file(part).unlink(missing_ok=True)


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _hurry(url: str, part: Path, progress: Progress) -> None:
    """One request on a connection that is cut if too little comes."""
    came = 0

    def count(there: int, total: int | None) -> None:
        nonlocal came
        came = there
        progress(there, total)

    with watched() as lines, lines.within(_TIMEOUT, lambda: came, _LEAST) as late:
        try:
            _continue(url, part, count)
        except (*_BROKEN, DataError, ValueError, AttributeError):  # whatever a cut looks like
            if not late.is_set():
                raise
        if late.is_set():
            raise TimeoutError(f"less than {_LEAST >> 10} kB came within {_TIMEOUT:.0f} s")


def _continue(url: str, part: Path, progress: Progress) -> None:
    """One request: the rest of the file, or all of it where the server knows no ranges."""
    have = part.stat().st_size if part.exists() else 0
    state = _read_json(_validator_file(part))
    headers = {"User-Agent": "gzsl-bench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if state.get("validator"):
            # Without this, a file that was replaced meanwhile would be glued to the old start.
            headers["If-Range"] = str(state["validator"])
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        if _content_range(error.headers)[1] == have:
            return None
        part.unlink()
        return _continue(url, part, progress)
    with response:
        start, total = _content_range(response.headers)
        if response.status != 206:
            start, total = 0, _length(response.headers)
        elif start != have:
            part.unlink(missing_ok=True)
            raise ConnectionError(f"the server resumes at byte {start} instead of {have}")
        _validate(response, part)
        with part.open("ab" if start else "wb") as file:
            _copy(response, file, url, start, total, progress)
    return None


def _validate(response: Any, part: Path) -> None:
    """Keep what identifies this version of the file, for a later ``If-Range``."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    write_json(_validator_file(part), {"validator": validator})


def _copy(
    response: Any, file: Any, url: str, start: int, total: int | None, progress: Progress
) -> None:
    there, room = start, start + min(MOST, shutil.disk_usage(Path(file.name).parent).free)
    if (total or 0) > room:
        raise DataError(f"{url} has {total} bytes; there is room for {room}, and at most {MOST} are"
                        " taken")  # fmt: skip
    while True:
        block = response.read1(_BLOCK)
        if not block:
            break
        if there == 0 and not block.startswith(_ZIP_STARTS):
            file.close()
            Path(file.name).unlink()
            kind = response.headers.get("Content-Type", "unknown type").split(";")[0]
            raise DataError(
                f"{url} is no zip archive: the server sent {kind} that begins with {block[:16]!r}; "
                "check the address in a browser, or give another with --url"
            )
        file.write(block)
        there += len(block)
        progress(there, total)
        if there > MOST:
            file.close()
            Path(file.name).unlink()
            raise DataError(f"{url} has more than {MOST} bytes, so it is no archive of data sets")
    file.flush()
    os.fsync(file.fileno())
    if there == 0:
        raise DataError(f"{url} is empty, but a zip archive is expected there")
    if total is not None and there < total:
        raise ConnectionError(f"the connection closed at byte {there} of {total}")


def _content_range(headers: Any) -> tuple[int, int | None]:
    """First byte and total size from ``Content-Range: bytes 5-9/10`` or ``bytes */10``."""
    match = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", (headers.get("Content-Range") or "").strip()
    )
    if match is None:
        return 0, None
    total = None if match[2] == "*" else int(match[2])
    return int(match[1] or 0), total


def _length(headers: Any) -> int | None:
    text = headers.get("Content-Length") or ""
    return int(text) if text.isdigit() else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pin(root: Path, url: str, path: Path, digest: str) -> None:
    """Note the checksum at the first download; refuse another one later."""
    book = root / CHECKSUMS_FILE
    known = _read_json(book)
    url = masked(url)  # a token in an address is nobody's business
    entry = known.get(url)
    if isinstance(entry, dict) and "sha256" in entry:
        if entry["sha256"] == digest:
            return
        refused = path.with_name(path.name + ".refused")
        path.replace(refused)
        raise DataError(
            f"{url} has the checksum {digest[:16]}..., but {book} records "
            f"{str(entry['sha256'])[:16]}... for it, so it was kept as {refused.name} and not "
            "unpacked; if the publisher really changed the file, remove the entry and try again"
        )
    entry = {
        "sha256": digest,
        "bytes": path.stat().st_size,
        "recorded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(book, {**known, url: entry})


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        if path.name == CHECKSUMS_FILE:
            raise DataError(
                f"{path} is no JSON file; put it right or remove it to record checksums anew"
            ) from None
        return {}
    return value if isinstance(value, dict) else {}
