"""``python -m tests.faults.fuzz [--long] [suites] [mat]``: malformed input by the thousand.

The short form is what CI runs; the long one takes some minutes.  Exit code 1 at the first input
that gets anything but a result or one sentence.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.faults import fuzz_mat, fuzz_suites

PARTS = ("suites", "mat")


def main(long: bool, parts: tuple[str, ...] = PARTS) -> int:
    """Run some of the fuzzers and print what they found."""
    for part in parts:
        began = time.monotonic()
        module = {"suites": fuzz_suites, "mat": fuzz_mat}[part]
        try:
            print(module.long() if long else module.short(), flush=True)
        except AssertionError as error:
            print(f"BROKEN: {error}", flush=True)
            return 1
        print(f"{part}: {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--long", action="store_true", help="10,000 suites and 1,000 .mat files")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="some of them")
    asked = parser.parse_args()
    sys.exit(main(asked.long, tuple(asked.parts) or PARTS))
