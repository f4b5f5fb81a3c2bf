"""A step cut into regions is the plugin's step, compiled or not; the conclusion is arithmetic."""

from __future__ import annotations

import shutil

import pytest

from benchmarks import compiled
from benchmarks.plugin_runs import random_task
from benchmarks.regions import REGIONS, Stage

SMALL = {
    "latent": 8, "visual_encoder_hidden": 20, "visual_decoder_hidden": 18,
    "attribute_encoder_hidden": 16, "attribute_decoder_hidden": 14, "batch": 10,
}  # fmt: skip


@pytest.fixture(params=REGIONS)
def stage(request):
    return Stage(request.param, "CUB", random_task(12, 7, 6, 3, 95, "cpu"), 4, **SMALL)


def test_the_cut_step_is_the_plugins(stage):
    plugin = compiled.once(stage, stage.plugin)
    cut = compiled.once(stage, lambda inputs: stage.cut(inputs, REGIONS[stage.method]))
    assert plugin["terms"].keys() == cut["terms"].keys()
    assert max(compiled.apart(plugin, cut).values()) < 1e-6
    # Every layer gets a gradient, and another step has another one.
    assert all(gradient.abs().max() > 0 for gradient in plugin["gradients"])
    stage.draws = stage.draws[1:]
    assert max(compiled.apart(plugin, compiled.once(stage, stage.plugin)).values()) > 1e-3


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of inductor's for all tests: it keeps the compiler's headers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        # Helpers would import torch to compile a handful of kernels.
        patch.setattr("torch._inductor.config.compile_threads", 1)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_regions_agree_with_the_plugin(stage):
    found = compiled.measure(stage, rounds=4, warm=True)
    assert found["cost"]["wall"] > 0
    assert max(found["apart"].values()) < 1e-5
    assert found["regions"].keys() == REGIONS[stage.method].keys()
    for steps in found["steps"].values():
        assert 0 < steps["forward"] < steps["step"]
    profile = found["profile"]
    assert sum(profile["kinds"].values()) == pytest.approx(profile["wall"])
    assert profile["kinds"]["products"] > 0
    assert profile["kinds"]["Adam"] > 0


def test_the_conclusion():
    def steps(forward, backward):
        return {"forward": forward, "backward": backward, "adam": 4.0,
                "step": forward + backward + 4.0}  # fmt: skip

    found = compiled.conclude(
        {
            "steps": {"eager": steps(8.0, 8.0), "compiled": steps(6.0, 9.0)},
            "regions": {"gate": {"eager": 1.0, "compiled": 0.5},
                        "errors": {"eager": 2.0, "compiled": 1.0}},
        }
    )  # fmt: skip
    assert found == pytest.approx(
        {
            "share_of_regions": 0.2,  # the gate counts twice: 4 of 20
            "regions_faster": 2.0,
            "saved_by_regions": 0.1,
            "saved": 0.05,  # 19 of 20 are left
            "saved_forward": 0.25,
            "saved_backward": -0.125,
        }
    )
