"""Which modules a method's key depends on, for packages of every shape."""

from __future__ import annotations

import shutil
import sys
import textwrap
import zipfile
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

from gzsl_bench.hooks.source import Sources, distribution_roots
from gzsl_bench.stacked import StackedAdam

ROOT = Path(__file__).parents[2]

#: A distribution of three methods that share some of their modules.
SHARED = {
    "gz_many/__init__.py": """
        '''Three methods.'''
        from __future__ import annotations

        from typing import TYPE_CHECKING
        from gzsl_bench import MethodSpec, hookimpl
        from gz_many import ale, late, sae
        if TYPE_CHECKING:
            import numpy
        __all__ = ["SPECS"]
        SPECS = (ale.Ale, sae.Sae, late.Late)

        @hookimpl
        def gzsl_bench_methods():
            yield from SPECS
        """,
    "gz_many/ranking.py": "class Base: ...\n",
    "gz_many/knobs.py": "class Config: ...\n",
    "gz_many/ale.py": """
        from gz_many.ranking import Base
        class Ale(Base): ...
        """,
    "gz_many/sae.py": """
        from .inner import shared
        from .knobs import Config as Knobs
        class Sae:
            Config = Knobs
        """,
    "gz_many/inner/__init__.py": "",
    "gz_many/inner/shared.py": "from . import deep\n",
    "gz_many/inner/deep.py": "import gz_beside\n",
    "gz_beside.py": "x = 1\n",
    "gz_stranger.py": "x = 1\n",
    "gz_many/late.py": """
        class Late:
            def fit(self, task, run):
                from .inner.deep import x
                import gz_many.ranking
        """,
}
METHODS = {"ale": "gz_many.ale:Ale", "sae": "gz_many.sae:Sae", "late": "gz_many.late:Late"}


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Writes files into a folder on the import path."""
    folder = tmp_path / "src"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def write(files):
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        invalidate_caches()
        return folder

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("gz_"):
            del sys.modules[name]


def factory(where):
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def digests(methods=METHODS, roots=()):
    reader = Sources(frozenset(roots))
    return {name: reader.of(factory(where)).digest for name, where in methods.items()}


@pytest.mark.parametrize(
    ("file", "retrains"),
    [
        ("gz_many/ranking.py", {"ale", "late"}),
        ("gz_many/ale.py", {"ale"}),
        ("gz_many/sae.py", {"sae"}),
        ("gz_many/knobs.py", {"sae"}),
        ("gz_many/late.py", {"late"}),
        ("gz_many/inner/shared.py", {"sae"}),
        ("gz_many/inner/deep.py", {"sae", "late"}),
        ("gz_beside.py", {"sae", "late"}),
        ("gz_stranger.py", set()),
        # They are executed on the way to every method, but only import and define.
        ("gz_many/__init__.py", set()),
        ("gz_many/inner/__init__.py", set()),
    ],
)
def test_an_edit_retrains_what_imports_the_module_and_nothing_else(plant, file, retrains):
    folder = plant(SHARED)
    before = digests()
    assert None not in before.values()
    assert before == digests()
    path = folder / file
    path.write_text(path.read_text() + "# a comment\n")
    assert {name for name, found in digests().items() if found != before[name]} == retrains
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode())  # a Windows checkout
    again = digests()
    assert {name for name in METHODS if again[name] != before[name]} == retrains


@pytest.mark.parametrize(
    ("package", "does"),
    [
        ("gz_many", "import torch\ntorch.set_flush_denormal(True)"),
        ("gz_many", "ale.Ale.penalty = 3"),
        ("gz_many", "try:\n    import torch\nexcept ImportError:\n    print('no torch')"),
        ("gz_many", "for spec in SPECS:\n    spec.x = 1"),
        ("gz_many", "with open('x') as file:\n    pass"),
    ],
)
def test_a_package_that_does_something_when_imported_counts(plant, package, does):
    folder = plant(SHARED)
    before = digests()
    path = folder / package / "__init__.py"
    path.write_text(f"{path.read_text()}\n{does}\n")
    changed = {name for name, found in digests_unloaded().items() if found != before[name]}
    assert changed == set(METHODS)


def digests_unloaded():
    """Without executing what was planted: the classes are those that are loaded already."""
    reader = Sources()
    found = {}
    for name, where in METHODS.items():
        module, _, class_name = where.partition(":")
        found[name] = reader.of(getattr(sys.modules[module], class_name)).digest
    return found


def test_a_name_from_a_package_brings_the_package(plant):
    files = {
        "gz_pkg/__init__.py": "PENALTY = 1\n",
        "gz_pkg/a.py": "from gz_pkg import PENALTY\nclass A: ...\n",
        "gz_pkg/b.py": "from . import *\nclass B: ...\n",
        "gz_pkg/c.py": "import gz_pkg.other\nprint(gz_pkg.PENALTY)\nclass C: ...\n",
        "gz_pkg/d.py": "import gz_pkg.other\nprint(gz_pkg.other)\nclass D: ...\n",
        "gz_pkg/other.py": "",
    }
    folder = plant(files)
    methods = {name: f"gz_pkg.{name}:{name.upper()}" for name in "abcd"}
    before = digests(methods)
    (folder / "gz_pkg" / "__init__.py").write_text("PENALTY = 2\n")
    after = digests(methods)
    assert {name for name in methods if after[name] != before[name]} == {"a", "b", "c"}


@pytest.mark.parametrize(
    "statement",
    [
        "from importlib import import_module",
        "import importlib.util",
        "other = __import__('gz_any.other')",
        "exec('import gz_any.other')",
        "def f():\n    import runpy",
        "import pkgutil",
        "TABLE = open(__file__.replace('main.py', 'table.txt'))",
    ],
)
@pytest.mark.parametrize("edited", ["other.py", "table.txt", "deep/more.py"])
def test_whoever_loads_files_unseen_depends_on_the_whole_package(plant, statement, edited):
    files = {
        "gz_any/__init__.py": "",
        "gz_any/main.py": f"{statement}\nclass M: ...\n",
        "gz_any/other.py": "",
        "gz_any/table.txt": "1",
        "gz_any/deep/__init__.py": "",
        "gz_any/deep/more.py": "",
        "gz_any/still.py": "from importlib.metadata import version\nclass S: ...\n",
    }
    folder = plant(files)
    methods = {"m": "gz_any.main:M", "s": "gz_any.still:S"}
    before = digests(methods)
    (folder / "gz_any" / edited).write_text("# 2\n")
    after = digests(methods)
    assert after["m"] != before["m"]
    assert after["s"] == before["s"]


def test_a_class_made_by_a_function_depends_on_who_called_it(plant):
    files = {
        "gz_made/__init__.py": "",
        "gz_made/maker.py": """
            def make(rate):
                class Made:
                    penalty = rate
                return Made
            """,
        "gz_made/plugin.py": "from gz_made.maker import make\nMADE = make(3)\n",
    }
    folder = plant(files)

    def found():
        plugin = import_module("gz_made.plugin")
        return Sources().of(plugin.MADE, plugin).digest

    before = found()
    (folder / "gz_made" / "plugin.py").write_text("from gz_made.maker import make\nMADE = make(4)")
    assert found() != before


TOOLKIT = [
    "from gzsl_bench.stacked import Linear",
    "from gzsl_bench.stacked.layers import Linear",
    "from gzsl_bench import Config, stacked",
    "import gzsl_bench.stacked.layers as layers",
    "import gzsl_bench as g\ndef f():\n    return g.stacked.Linear",
    "def f():\n    from gzsl_bench.stacked import train",
]
NO_TOOLKIT = ["from gzsl_bench import Config", "import torch", "import gzsl_bench.stacked_like"]


@pytest.mark.parametrize("statement", [*TOOLKIT, *NO_TOOLKIT])
@pytest.mark.parametrize("through", [False, True])
def test_who_uses_the_toolkit(plant, statement, through):
    """Directly, or through modules of its package; others of the package play no part."""
    uses = (
        "from gz_kit.nets import x\nclass M: ...\n" if through else f"{statement}\nclass M: ...\n"
    )
    files = {
        "gz_kit/__init__.py": "from gzsl_bench import hookimpl\n",
        "gz_kit/nets.py": f"def late():\n{textwrap.indent(statement, '    ')}\nx = 1\n",
        "gz_kit/other.py": "from gzsl_bench.stacked import train\n",
    }
    plant(files)
    main = ModuleOf("gz_kit.main", uses, plant)
    assert Sources().of(main.made).toolkit == (statement in TOOLKIT)


def test_who_inherits_from_the_toolkit_uses_it(plant):
    plant({"gz_heir.py": "class M: ...\n"})
    made = {"__module__": "gz_heir"}
    assert Sources().of(type("M", (StackedAdam,), made)).toolkit
    assert not Sources().of(type("M", (), made)).toolkit


class ModuleOf:
    """A class said to come from a module that is written but never executed."""

    def __init__(self, name, text, plant):
        plant({f"{name.replace('.', '/')}.py": text})
        self.made = type("M", (), {"__module__": name})


def test_plugins_build_on_each_other_and_libraries_are_left_out(plant, tmp_path, monkeypatch):
    """What is installed counts where it is a plugin; a library has its version in the record."""
    site = tmp_path / "site-packages"
    for name, text in {
        "gz_base/__init__.py": "",
        "gz_base/nets.py": "import gz_library\n",
        "gz_library.py": "x = 1\n",
    }.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    monkeypatch.syspath_prepend(str(site))
    plant({})
    made = ModuleOf("gz_top", "from gz_base.nets import x\nimport torch, json\n", plant).made

    def found(*roots):
        return Sources(frozenset(roots)).of(made).digest

    before = found("gz_base"), found()
    (site / "gz_library.py").write_text("x = 2\n")
    assert (found("gz_base"), found()) == before
    (site / "gz_base" / "nets.py").write_text("import gz_library\nx = 2\n")
    assert found("gz_base") != before[0]
    assert found() == before[1]


def test_an_installed_plugin_has_the_digest_of_its_checkout(plant, tmp_path, monkeypatch):
    folder = plant(SHARED)
    editable = digests()
    for name, module in list(sys.modules.items()):
        # Not all that is called so: other tests of this process have modules of such names, too.
        if str(folder) in str(getattr(module, "__file__", None)):
            del sys.modules[name]
    site = tmp_path / "site-packages"
    shutil.copytree(folder, site)
    monkeypatch.setattr(sys, "path", [str(site), *(p for p in sys.path if p != str(folder))])
    invalidate_caches()
    assert digests(roots=["gz_many", "gz_beside"]) == editable
    assert str(site) in sys.modules["gz_many"].__file__


def test_roots_of_a_distribution():
    class Wheel:
        files = (Path("a/b.py"), Path("c.py"), Path("x-1.dist-info/METADATA"))

        def read_text(self, name):
            return "d\n" if name == "top_level.txt" else None

    assert distribution_roots(Wheel()) == {"a", "c", "d"}
    assert distribution_roots(None) == set()


def test_a_source_that_cannot_be_read_is_unknown(plant, tmp_path, monkeypatch):
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("gz_zipped.py", "class M: ...\n")
    monkeypatch.syspath_prepend(str(archive))
    plant({})
    found = Sources(frozenset({"gz_zipped"})).of(factory("gz_zipped:M"))
    assert found.digest is None
    assert found.toolkit  # nobody knows, so the toolkit's number is in the key


def test_the_classic_methods_are_told_apart(plant, tmp_path):
    """One edit in a distribution of many methods retrains those that import the module."""
    folder = plant({})
    package = folder / "gz_classic"
    shutil.copytree(ROOT / "plugins" / "classic" / "gzsl_bench_classic", package)
    for path in package.glob("*.py"):
        path.write_text(path.read_text().replace("gzsl_bench_classic", "gz_classic"))
    invalidate_caches()
    specs = import_module("gz_classic").SPECS

    def found():
        reader = Sources()
        return {spec.name: reader.of(spec.factory) for spec in specs}

    def edit(file):
        path = package / file
        path.write_text(path.read_text() + "\n# a comment\n")
        return found()

    before = found()
    users = {name for name, source in before.items() if source.toolkit}
    assert {"cmt", "cmt_star", "dem", "ale", "latem"} <= users
    assert not {"sae", "gfzsl", "dap", "iap", "sse"} & users
    for file, expected in {
        "ranking.py": {"ale", "devise", "sje"},
        "ridge.py": {"cmt", "cmt_star", "dem"},
        "sae.py": {"sae"},
        "__init__.py": set(),
    }.items():
        after = edit(file)
        changed = {name for name in after if after[name].digest != before[name].digest}
        assert changed >= expected, file
        assert changed & {"sae", "gfzsl"} == expected & {"sae", "gfzsl"}, file
        before = after
