"""What the contract of import-linter cannot say: no module needs itself to be understood."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest


def test_no_module_imports_itself_by_way_of_others():
    grimp = pytest.importorskip("grimp")  # comes with import-linter
    # Imports for type checkers count, too: who reads one module has to read the other.
    graph = grimp.build_graph("gzsl_bench")
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 100
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
