"""One hash for all that a suite's report is made of: it tells whether a page is up to date."""

from __future__ import annotations

import hashlib
import json

from gzsl_bench.results.view import Results


def digest(results: Results) -> str:
    """Hash of the suite as it was resolved, of its records and of its audits."""
    whole = hashlib.sha256(json.dumps(results.suite.to_json(), sort_keys=True).encode())
    for key in sorted(results.cells):
        record = results.record(key)
        whole.update(b"" if record is None else record.to_json())
        whole.update(json.dumps([key, results.audits.read(key)]).encode())
    return whole.hexdigest()[:16]
