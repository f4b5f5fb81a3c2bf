"""Class names and descriptions become class embeddings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from gzsl_bench.cli.extract import extract_command
from gzsl_bench.errors import DataError
from gzsl_bench.extract.backbones import Asked, Backbone, backbone
from gzsl_bench.extract.texts import embed, read


@pytest.fixture
def letters(backbone_file: Path) -> Backbone:
    return backbone(Asked(f"{backbone_file}:Letters"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ZOO").mkdir()
    (tmp_path / "ZOO" / "classes.txt").write_text("bee\n002.red_fox\n")
    return tmp_path / "ZOO"


def unit(*rows: list[float]) -> np.ndarray:
    values = np.array(rows, float)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_names_are_put_into_prompts_and_averaged_at_unit_length(
    folder: Path, letters: Backbone
) -> None:
    texts = read(folder / "classes.txt", folder, ["a {}", "{}"])
    assert [texts.of(n) for n in (0, 1)] == [["a bee", "bee"], ["a red fox", "red fox"]]
    found = np.load(embed(texts, folder, letters, "letters"))
    bee = unit([1, 1, 0, 0, 2], [0, 1, 0, 0, 2]).mean(0)
    fox = unit([1, 0, 0, 1, 1], [0, 0, 0, 1, 1]).mean(0)
    np.testing.assert_allclose(found, unit(bee, fox), rtol=1e-6)
    said = yaml.safe_load((folder / "dataset.yaml").read_text())["attributes"]["letters"]
    assert (said["file"], said["classes"]) == ("attributes/letters.npy", "rows")
    assert said["source"]["prompts"] == ["a {}", "{}"]
    assert said["source"]["backbone"] == "tiny_backbone.py:Letters"


def test_descriptions_stand_in_the_order_of_the_classes(folder: Path, letters: Backbone) -> None:
    table = folder / "said.csv"
    table.write_text('class,text\n002.red_fox,"a, dead"\nbee,bee\nbee,cab\n')
    texts = read(table, folder)
    assert texts.said == (("bee", "cab"), ("a, dead",))
    found = np.load(embed(texts, folder, letters, "said"))
    np.testing.assert_allclose(found[1:], unit([2, 0, 0, 2, 1]), rtol=1e-6)
    with pytest.raises(DataError, match="a class embedding said that was made otherwise"):
        embed(read(table, folder, ["the {}"]), folder, letters, "said")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "bee\n", "says nothing of the class '002.red_fox'"),
        ("a.txt", "bee\n002.red_fox\nowl\n", "has the class 'owl', which is not in"),
        ("a.csv", "name,text\n", "a.csv:1: the heading needs the columns `class` and `text`"),
        ("a.csv", "class,text\nbee,\n", "a.csv:2: this line lacks a class or a text"),
        ("b.csv", None, "b.csv does not exist"),
    ],
)
def test_texts_that_cannot_be_used(name: str, content: str | None, said: str, folder: Path) -> None:
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(DataError, match=said):
        read(folder / name, folder)


def test_what_encodes_no_texts_and_what_gives_no_direction(
    folder: Path, backbone_file: Path, letters: Backbone
) -> None:
    texts = read(folder / "classes.txt", folder, ["{}"])
    with pytest.raises(DataError, match="tiny_backbone.py:tiny encodes no texts"):
        embed(texts, folder, backbone(Asked(f"{backbone_file}:tiny")), "x")
    (folder / "classes.txt").write_text("zyx\n")
    with pytest.raises(DataError, match="the vector of 'zyx' is zero"):
        embed(read(folder / "classes.txt", folder, ["{}"]), folder, letters, "x")
    with pytest.raises(DataError, match=r"--prompt 'a' has no \{\}"):
        read(folder / "classes.txt", folder, ["a"])


def test_the_command_embeds_texts_or_images_not_both(folder: Path, backbone_file: Path) -> None:
    asked = ["--to", str(folder), "--backbone", f"{backbone_file}:Letters"]
    texts = ["--texts", str(folder / "classes.txt")]
    found = CliRunner().invoke(extract_command, [*asked, *texts], catch_exceptions=False)
    assert found.stdout == f"{folder}/attributes/Letters.npy\n"
    assert "2 classes, in words such as 'a photo of a bee.'" in found.stderr
    for wrong in ([], [*texts, str(folder)]):
        assert CliRunner().invoke(extract_command, [*asked, *wrong]).exit_code == 2


@pytest.mark.parametrize("option", ["--pool=mean", "--regions=int8", "--resize=64", "--batch=8"])
def test_what_is_for_images_is_refused_with_texts(
    option: str, folder: Path, backbone_file: Path
) -> None:
    """It would change nothing, and who gave it expects that it does."""
    asked = ["--to", str(folder), "--backbone", f"{backbone_file}:Letters", option]
    asked += ["--texts", str(folder / "classes.txt")]
    found = CliRunner().invoke(extract_command, asked)
    assert found.exit_code == 2
    assert f"{option.partition('=')[0]} is for images" in found.stderr


def test_clip_embeds_images_and_texts_into_one_space(tmp_path: Path, photos: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    from gzsl_bench.extract.images import listing
    from gzsl_bench.extract.run import Order, extract

    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    config = tmp_path / "gzsl-tiny.json"
    config.write_text(json.dumps({"embed_dim": 12, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(config)
    model = backbone(Asked("open_clip:gzsl-tiny", "random"))
    order = Order("clip", replace(model.transform), regions="float16", batch=3)
    table = photos / "few.csv"
    table.write_text("file,class\nred fox/0.png,red fox\ngreen frog/0.png,green frog\n")
    found = extract(listing(table), tmp_path / "ZOO", model, order)
    assert (found.width, found.regions) == (12, (16, 64))
    texts = read(tmp_path / "ZOO" / "classes.txt", tmp_path / "ZOO")
    assert np.load(embed(texts, tmp_path / "ZOO", model, "clip")).shape == (2, 12)
    said = yaml.safe_load((tmp_path / "ZOO" / "dataset.yaml").read_text())
    sources = [said[part]["clip"]["source"] for part in ("features", "attributes")]
    assert sources[0]["weights_sha256"] == sources[1]["weights_sha256"]
