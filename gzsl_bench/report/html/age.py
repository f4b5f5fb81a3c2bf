"""Whether a report that lies in a folder shows the records as they are now."""

from __future__ import annotations

import html
import re
from pathlib import Path

from gzsl_bench.results.digest import digest
from gzsl_bench.results.view import Results

#: The page's file.
NAME = "report.html"
#: Bytes of a page within which it says what it was made of.
_HEAD = 2000
_MADE_OF = re.compile(rb'<meta name="gzsl-bench-records" content="([0-9a-f]{16}) ([^"]*)">')


def stale(results: Results, folder: Path) -> str:
    """A sentence where the folder's report is of this suite and of other records; else empty."""
    path = folder / NAME
    try:
        with path.open("rb") as page:
            found = _MADE_OF.search(page.read(_HEAD))
    except OSError:
        return ""
    if found is None or html.unescape(found[2].decode(errors="replace")) != results.suite.name:
        return ""
    if found[1].decode() == digest(results):
        return ""
    return f"{path} was made of other records than there are now"
