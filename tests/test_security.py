"""Nothing from outside is executed, unpickled, or written where it should not be; secrets stay."""

from __future__ import annotations

import ast
import base64
from pathlib import Path

import pytest
import yaml

from gzsl_bench.cli.main import run
from gzsl_bench.cli.sync import ui_command
from gzsl_bench.masking import masked

ROOT = Path(__file__).parents[1]
#: Our code, and that of the plugins we ship.
SOURCES = sorted(
    path
    for folder in ("gzsl_bench", "plugins", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "tests" not in path.parts and "build" not in path.parts
)
#: Modules that unpickle or run text.
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
#: Calls that do; each needs a reason below where it is allowed.
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "torch.load", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "os.system", "os.popen", "scipy.io.loadmat", "loadmat", "pd.read_pickle",
}  # fmt: skip
#: (file, what) -> why it is harmless.
ALLOWED: dict[tuple[str, str], str] = {}


def name_of(node: ast.expr) -> str:
    """``a.b.c`` of a chain of attributes; the last names of anything else."""
    if isinstance(node, ast.Attribute):
        before = name_of(node.value)
        return f"{before}.{node.attr}" if before else f".{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(path: Path) -> list[str]:
    """What in a module could run or unpickle something from outside."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_IMPORTS]
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            found += [module] if module in FORBIDDEN_IMPORTS else []
            full = {f"{node.module}.{a.name}" for a in node.names}
            found += sorted(full & FORBIDDEN_CALLS)
        if not isinstance(node, ast.Call):
            continue
        called = name_of(node.func)
        options = {k.arg: k.value for k in node.keywords}
        tensors = called == "torch.load" and _is(options.get("weights_only"), True)
        if called in FORBIDDEN_CALLS and not tensors:
            found.append(called)
        if called in ("np.load", "numpy.load") and not _is(options.get("allow_pickle"), False):
            found.append(f"{called} without allow_pickle=False")
        if _is(options.get("allow_pickle"), True) or _is(options.get("shell"), True):
            found.append(f"{called} with allow_pickle or shell")
        if called.endswith((".extractall", "unpack_archive")):
            found.append(called)
    return found


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "import pickle\nfrom torch import load\nimport numpy as np\nnp.load('x')\neval('1')\n"
        "np.load('x', allow_pickle=True)\nimport subprocess\nsubprocess.run('x', shell=True)\n"
        "z.extractall()\ntorch.load('x')\ntorch.load('x', weights_only=True)\n"
    )
    assert len(dangers(path)) == 10 - 1  # allow_pickle=True counts twice, imports of modules once


def test_nothing_unpickles_or_runs_text() -> None:
    assert len(SOURCES) > 150
    found = {
        (str(path.relative_to(ROOT)), what) for path in SOURCES for what in dangers(path)
    } - ALLOWED.keys()
    assert not found


def test_yaml_is_plain_data() -> None:
    """The one loader of our own is the safe one."""
    from gzsl_bench.data.yamlfile import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)
    assert not issubclass(_Loader, yaml.FullLoader)


SECRETS = {
    "http://me:pw-1@host:5/x": "http://***@host:5/x",
    "http://me:p@w/d@host/x": "http://***@host/x",
    "http://token-9@host/x": "http://***@host/x",
    "a postgresql+psycopg2://me:pw@db:1/x, b": "a postgresql+psycopg2://***@db:1/x, b",
    "https://host/x.zip?token=abc&y=1": "https://host/x.zip?token=***&y=1",
    "https://host/x?a=1&API_KEY=abc#f": "https://host/x?a=1&API_KEY=***#f",
    "me:pw-1@host:5000 was meant": "***@host:5000 was meant",
    "mysql://h/d?password=a'b": "mysql://h/d?password=***'b",
}
PLAIN = [
    "http://host:5000/#/experiments/1",
    "sqlite:////home/me@work/mlflow.db",
    "features @ weights.T, lambda x: x@w, see https://host/a and mail me@host",
    "config: {token: 3, key=value}",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_in_addresses(text: str) -> None:
    assert masked(text) == SECRETS[text]


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither is a value that is too short, nor one under a name that only looks like a secret's.
    monkeypatch.setenv("MY_TOKEN", "3")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "features")
    assert masked(text) == text


def test_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf-abcdef")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:tr0ub4dor@db/x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hf-abcdefgh")
    assert masked("hf-abcdef, hf-abcdefgh, tr0ub4dor, db") == "***, ***, ***, db"


def test_the_header_of_a_password_in_the_environment_is_masked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that echoes the request sends it as base64, which no password is found in."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "kreide-und-holz")
    sent = base64.b64encode(b"anna:kreide-und-holz").decode()
    assert masked(f"you sent Authorization: Basic {sent}") == "you sent Authorization: Basic ***"


@pytest.mark.parametrize(
    "uri",
    ["http://me:horse-9@host:port", "me:horse-9@host:5000", "file://me:horse-9@host/x",
     "ftp://me:horse-9@host", "sqlite://me:horse-9@/"],
)  # fmt: skip
def test_a_wrong_tracking_uri_is_named_without_its_password(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "s.yaml"
    suite.write_text("name: s\ndatasets: [digits]\nmethods: [eszsl]\n")
    out = str(tmp_path / "out")
    for arguments in (
        ["run", str(suite), "--out", out, "--tracking-uri", uri],
        ["run", str(suite), "--out", out, uri],
        ["run", str(suite), "--out", out, "--device", uri],
    ):
        assert run(arguments) == 2
        said = "".join(capsys.readouterr())
        assert "horse-9" not in said
        assert "gzsl-bench" in said


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "..", "a/b", "a\\b", "a\0b", "x" * 300])
def test_names_are_no_paths(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a suite or a command calls by name, nothing outside the folders is touched."""
    inside = tmp_path / "work"
    inside.mkdir()
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "x.mat").write_text("no data")
    suite = inside / "s.yaml"
    entries = [
        {"name": name},
        {"datasets": [{"use": name}]},
        {"datasets": [{"use": "CUB", "features": name}]},
        {"datasets": [{"use": "CUB", "attributes": name}]},
        {"datasets": [{"use": "digits", "label": name}]},
    ]
    before = {path for path in tmp_path.rglob("*") if path.is_file()} | {suite}
    for entry in entries:
        whole = {"name": "s", "datasets": ["digits"], "methods": ["eszsl"]} | entry
        suite.write_text(yaml.safe_dump(whole))
        options = ["--out", str(inside / "out"), "--data", str(inside), "--tracking-uri", "none"]
        assert run(["run", str(suite), *options, "--dry-run", "--device", "cpu"]) == 2
    for command in (["table", name], ["sync", name], ["new-plugin", name]):
        code = run([*command, *(["--out", str(inside / "out")] * (command[0] != "new-plugin"))])
        assert code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "internal error" not in said
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_page_is_for_this_machine_alone() -> None:
    (host,) = [option for option in ui_command.params if option.name == "host"]
    assert host.default == "127.0.0.1"
