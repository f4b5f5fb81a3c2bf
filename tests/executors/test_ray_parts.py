"""The parts of the Ray executor that need no cluster, nor Ray."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gzsl_bench.cli.main import run
from gzsl_bench.data.tasks import TaskData
from gzsl_bench.engine.events import CellEnded, Progress, UnitEnded, UnitStarted
from gzsl_bench.engine.sealed import Sealed
from gzsl_bench.errors import PluginError
from gzsl_bench.executors.ray.host import Outbox, Placed
from gzsl_bench.executors.ray.plugins import pack, unpack
from gzsl_bench.executors.resources import Resources, parse_resources
from gzsl_bench.hooks.inline import load_inline
from gzsl_bench.hooks.source import Sources


def test_resources_are_read():
    assert parse_resources("cpu=2, gpu=0.5,memory=8GiB") == Resources(2, 0.5, 8 << 30)
    assert parse_resources("gpu=1") == Resources(1, 1, 0)
    assert str(parse_resources("gpu=0.25,memory=1GiB")) == "cpu=1, gpu=0.25, memory=1 GiB"
    assert (parse_resources("gpu=1").device, Resources().device) == ("cuda", "cpu")
    assert (Resources(cpu=0.5).threads, Resources(cpu=3).threads) == (1, 3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not understood; write cpu=1,gpu=0.5,memory=8GiB"),
        ("cores=2", "'cores=2' in 'cores=2' is not understood"),
        ("cpu=1,cpu=2", "'cpu=2' in 'cpu=1,cpu=2' is not understood"),
        ("cpu=0", "cpu=0 is no number between 0.01 and 4096"),
        ("gpu=2", "gpu=2 is no number between 0 and 1; a method trains on one GPU"),
        ("gpu=nan", "gpu=nan is no number"),
        ("gpu=0.33333", "Ray counts in steps of 0.0001"),
        ("memory=lots", "'lots' is no size"),
    ],
)
def test_resources_that_cannot_be(text, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse_resources(text)


def test_how_many_workers_a_node_holds():
    node = {"CPU": 8.0, "GPU": 2.0, "memory": float(10 << 30)}
    assert Resources().fit(node) == 8
    assert Resources(cpu=3).fit(node) == 2
    assert Resources(gpu=0.5).fit(node) == 4
    assert Resources(cpu=0.1).fit({"CPU": 1.0}) == 10  # 1 / 0.1 and its like round as they should
    assert Resources(gpu=0.1).fit({"CPU": 64.0, "GPU": 0.3}) == 3
    assert Resources(memory=4 << 30).fit(node) == 2
    assert Resources(gpu=1).fit({"CPU": 8.0}) == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--resources", "cpu=1"], "--ray-address and --resources need --executor ray or slurm"),
        (["--ray-address", "auto"], "--ray-address and --resources need --executor ray or slurm"),
        (["--executor", "ray", "--inline"], "--inline trains in this process"),
        (["--executor", "ray", "--threads", "2"], "on Ray a worker computes with as many threads"),
        (["--executor", "ray", "--device", "cuda:1"], "the scheduler chooses the GPU"),
        (["--executor", "ray", "--device", "cpu", "--resources", "gpu=1"], "contradict"),
        (["--executor", "ray", "--resources", "gpu=3"], "gpu=3 is no number between 0 and 1"),
    ],
)
@pytest.mark.parametrize("command", ["run", "tune"])
def test_options_that_do_not_go_together(command, options, complaint, tmp_path, capsys):
    suite = tmp_path / "s.yaml"
    suite.write_text("name: s\ndatasets: [digits]\nmethods: [eszsl]\n")
    assert run([command, str(suite), "--out", str(tmp_path / "out"), *options]) == 2
    assert complaint in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_plugins_travel_by_content(tmp_path):
    single = tmp_path / "one.py"
    single.write_bytes(b"VALUE = 1\r\n")
    package = tmp_path / "many"
    (package / "inner" / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("from .inner import part\n")
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "part.py").write_text("VALUE = 2\n")
    (package / "inner" / "table.txt").write_text("data")
    (package / "inner" / "__pycache__" / "part.pyc").write_bytes(b"stale")
    sent = pack([single, package])
    there = unpack(sent, tmp_path / "there")
    assert [place.name for place in there] == ["one.py", "many"]
    assert there[0].read_bytes() == b"VALUE = 1\r\n"
    assert (there[1] / "inner" / "table.txt").read_text() == "data"
    assert not list(there[1].rglob("*.pyc"))
    # What the key of a cell says of the source holds there, too.
    digests = [digest_of(place) for place in (single, package)]
    for name in [name for name in sys.modules if name.startswith("gzsl_bench_inline_")]:
        del sys.modules[name]
    assert [digest_of(place) for place in there] == digests


def digest_of(place):
    found = Sources().of(type("Made", (), {"__module__": load_inline(place).__name__}))
    assert found.digest is not None
    return found.digest


def test_a_plugin_that_does_not_arrive_whole_is_refused(tmp_path):
    file = tmp_path / "one.py"
    file.write_text("VALUE = 1\n")
    (sent,) = pack([file])
    for bad in (
        replace(sent, files={"": b"VALUE = 2\n"}),
        replace(sent, name="two.py"),
        replace(sent, files={}),
    ):
        with pytest.raises(PluginError, match="did not arrive as it was sent"):
            unpack([bad], tmp_path / "there")


@pytest.mark.parametrize("name", ["../x.py", "/x.py", "a/../../x.py"])
def test_a_plugin_file_cannot_lead_out_of_its_folder(name, tmp_path):
    from gzsl_bench.executors.ray import plugins as ray_plugins

    files = {name: b""}
    bad = ray_plugins.PluginFiles("p", files, ray_plugins._digest("p", files))
    with pytest.raises(PluginError, match="leads out of its folder"):
        unpack([bad], tmp_path / "there")
    assert not (tmp_path / "x.py").exists()


@given(st.lists(st.tuples(st.sampled_from("psce"), st.sampled_from("ab")), max_size=30))
def test_no_message_is_lost_or_overtaken(drawn):
    """All but progress arrives in order; of progress the last word of each cell does."""
    made = []
    for number, (kind, cell) in enumerate(drawn):
        made.append(
            {
                "p": Progress("u", cell, number, 99),
                "s": UnitStarted(cell),
                "c": CellEnded("u", cell),
                "e": UnitEnded(cell),
            }[kind]
        )
    outbox = Outbox()
    for message in made:
        outbox.put(message)
    found = outbox.take() if made else []
    assert [m for m in found if not isinstance(m, Progress)] == [
        m for m in made if not isinstance(m, Progress)
    ]
    for cell in "ab":
        told = [m for m in made if isinstance(m, Progress) and m.key == cell]
        heard = [m for m in found if isinstance(m, Progress) and m.key == cell]
        assert heard[-1:] == told[-1:]

    def weighty_before(messages, one):
        return sum(not isinstance(m, Progress) for m in messages[: messages.index(one)])

    for message in found:
        if isinstance(message, Progress):
            assert weighty_before(found, message) == weighty_before(made, message)


def test_news_wait_for_something_to_say():
    outbox = Outbox()
    threading.Timer(0.1, lambda: outbox.put(CellEnded("u", "k"))).start()
    began = time.monotonic()
    assert outbox.take() == [CellEnded("u", "k")]
    assert 0.05 < time.monotonic() - began < 20


def test_a_task_is_opened_where_another_process_of_the_node_has_it():
    """The same memory, as long as it lies there; anything else under that number is refused."""
    features = np.arange(1200, dtype=np.float32).reshape(40, 30)
    empty = np.zeros(0, np.int64)
    task = Sealed.of(TaskData(features, empty, features[:0], empty, empty, features[:0], empty))
    placed = Placed.of("t", task)
    other = placed.opened()
    assert os.fstat(other.descriptor).st_ino == os.fstat(task.descriptor).st_ino
    with pytest.raises(OSError, match="descriptor|[Pp]ermi"):
        os.write(other.descriptor, b"x")
    assert replace(placed, inode=placed.inode + 1).opened() is None
    task.close()
    assert placed.opened() is None
    assert np.array_equal(other.private().train_features, features)
    other.close()
