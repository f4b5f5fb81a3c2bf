"""Backbones and their weights: what is loaded, what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gzsl_bench.errors import DataError
from gzsl_bench.extract.backbones import Asked, backbone


@pytest.fixture
def state(backbone_file: Path) -> dict[str, torch.Tensor]:
    """Other weights than those that the factory makes."""
    made = backbone(Asked(f"{backbone_file}:tiny")).module.state_dict()
    return {name: value + 1 for name, value in made.items()}


def test_weights_are_the_same_whatever_file_they_come_from(
    backbone_file: Path, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: Any
) -> None:
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    wrapped = {"state_dict": {f"module.{n}": v for n, v in state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "w.ckpt")
    package = tmp_path / "weights_package"
    package.mkdir()
    (package / "__init__.py").write_text("def path():\n    return __path__[0] + '/w.pth'\n")
    torch.save(state, package / "w.pth")
    monkeypatch.syspath_prepend(tmp_path)
    names = [*(str(tmp_path / n) for n in ("w.safetensors", "w.pth", "w.ckpt"))]
    names += ["weights_package:w.pth", "weights_package:path"]
    made = [backbone(Asked(f"{backbone_file}:tiny", name)) for name in names]
    assert len({one.digest for one in made}) == 1
    own = backbone(Asked(f"{backbone_file}:tiny"))
    assert own.digest != made[0].digest
    assert own.digest == backbone(Asked(f"{backbone_file}:tiny")).digest
    assert [made[0].weights, made[-1].weights] == [
        "w.safetensors",
        "weights_package:path",
    ]


def test_weights_without_a_place_are_left_out_and_named(
    backbone_file: Path, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({**state, "fc.weight": torch.ones(2)}, tmp_path / "w.pth")
    made = backbone(Asked(f"{backbone_file}:tiny", str(tmp_path / "w.pth")))
    assert made.left_out == ("fc.weight",)


def test_weights_of_something_else_are_refused(
    backbone_file: Path, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    def loading(content: Any) -> str:
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(DataError) as caught:
            backbone(Asked(f"{backbone_file}:tiny", str(tmp_path / "w.pth")))
        return str(caught.value)

    less = {name: value for name, value in state.items() if name != "head.bias"}
    assert "lacks 1 of the backbone's 4 weights (head.bias the first" in loading(less)
    assert "head.bias in" in loading({**state, "head.bias": torch.ones(3)})
    assert "holds no weights by name" in loading([1, 2])
    (tmp_path / "p.pth").write_bytes(pickle.dumps({"model": Asked("x")}))
    with pytest.raises(DataError, match=r"holds Python objects beside weights \(a pickle\)"):
        backbone(Asked(f"{backbone_file}:tiny", str(tmp_path / "p.pth")))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("resnet50", "", "the backbone 'resnet50' is not understood; write timm:MODEL"),
        ("no_such_package:make", "", "no_such_package cannot be imported"),
        ("FILE:nothing", "", "has no nothing"),
        ("FILE:BACKBONE", "", "has no BACKBONE"),
        ("json:loads", "", "cannot be made: TypeError"),
        ("builtins:dict", "", "gives a dict, but a torch.nn.Module"),
        ("FILE:tiny", "nowhere.pth", "the weights nowhere.pth do not exist"),
        ("FILE:tiny", "imagenet", "--weights imagenet names no file"),
        ("FILE:tiny", "no_such_package:w.pth", "there is no package no_such_package"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(
    name: str, given: str, said: str, backbone_file: Path
) -> None:
    with pytest.raises(DataError, match=said):
        backbone(Asked(name.replace("FILE", str(backbone_file)), given))


def test_a_layer_that_is_not_there_is_named_with_those_that_are(backbone_file: Path) -> None:
    with pytest.raises(DataError, match="has no layer 'stam'; it has stem, head"):
        backbone(Asked(f"{backbone_file}:tiny", layer="stam"))


@pytest.mark.parametrize(
    ("name", "width", "regions", "layer"),
    [
        ("timm:resnet10t", 512, (4, 512), "forward_features"),
        ("timm:vit_tiny_patch16_224", 192, (196, 192), "forward_features"),
        ("timm:test_efficientnet", 256, (25, 256), "forward_features"),
        ("torchvision:resnet18", 512, (4, 512), "layer4"),
        ("torchvision:squeezenet1_1", 512, (9, 512), "features"),
    ],
)
def test_models_of_libraries(name: str, width: int, regions: tuple[int, int], layer: str) -> None:
    pytest.importorskip(name.partition(":")[0])
    import numpy as np

    from gzsl_bench.extract.run import Order, _Network

    made = backbone(Asked(name, "random"))
    side = 224 if "vit" in name else 160 if "test_" in name else 64
    from dataclasses import replace

    order = Order("x", replace(made.transform, resize=side, crop=side), regions="float16")
    network = _Network(made, order)
    found = network(np.zeros((2, 3, side, side), np.float32))
    assert (made.layer, network.width, network.regions) == (layer, width, regions)
    assert [rows.shape for rows in found] == [(2, width), (2, *regions)]
    assert made.digest == backbone(Asked(name, "random")).digest


def test_a_pickle_is_refused_without_further_words(
    backbone_file: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "p.pth").write_bytes(pickle.dumps({"model": 1}, protocol=4))
    with pytest.raises(DataError, match="which are never loaded"):
        backbone(Asked(f"{backbone_file}:tiny", str(tmp_path / "p.pth")))
    assert not recwarn.list
