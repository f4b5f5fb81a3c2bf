from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# Under --import-mode=importlib sibling modules are not importable by themselves.
for _name in ("cases", "planted"):
    _spec = importlib.util.spec_from_file_location(
        f"golden_{_name}", Path(__file__).with_name(f"{_name}.py")
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[f"golden_{_name}"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[f"golden_{_name}"])
