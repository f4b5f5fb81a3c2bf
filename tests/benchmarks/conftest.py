"""The benchmarks are no installed package: they are imported from the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

# Last, so that everything else comes from where it is installed.
sys.path.append(str(Path(__file__).parents[2]))
