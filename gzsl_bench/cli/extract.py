"""``gzsl-bench extract``: images and texts become features and embeddings of a data set."""

from __future__ import annotations

import os
import re
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gzsl_bench.cli.options import Parsed, choose_device, debug_option
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import about

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gzsl_bench.extract.backbones import Backbone
    from gzsl_bench.extract.transform import Transform

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
#: Options that change what the library does to an image.
_TRANSFORM = ("resize", "crop", "interpolation", "mean", "std")


def _channels(text: str) -> tuple[float, ...]:
    """``0.485,0.456,0.406``, or ``127/255`` for all three."""
    try:
        values = tuple(float(Fraction(item.strip())) for item in text.split(","))
    except (ValueError, ZeroDivisionError):
        values = ()
    if len(values) not in (1, 3):
        raise ValueError(f"{text!r} is not understood; give one number or three: 127/255")
    return values * 3 if len(values) == 1 else values


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name; letters, digits, '_', '-' and '.' may stand there")
    return text


_CHANNELS = Parsed("NUMBERS", _channels)


@click.command("extract")
@click.argument("images", type=click.Path(path_type=Path), required=False)
@click.option(
    "--to", "folder", type=click.Path(file_okay=False, path_type=Path), required=True,
    metavar="FOLDER", help="Folder of the data set; made where there is none.",
)  # fmt: skip
@click.option(
    "--backbone", required=True, metavar="NAME",
    help="timm:MODEL, torchvision:MODEL, open_clip:MODEL, package.module:function or"
    " file.py:function.",
)  # fmt: skip
@click.option(
    "--weights", default="", metavar="FILE|NAME",
    help="A file (.safetensors, .pth), package:name of one in an installed package, a name that the"
    " library knows (fetched), or random [default: the library's own].",
)  # fmt: skip
@click.option(
    "--set", "arguments", multiple=True, metavar="KEY=VALUE",
    help="Argument of the function that makes the backbone; may be repeated.",
)  # fmt: skip
@click.option(
    "--name", type=Parsed("NAME", _name),
    help="What the feature set or embedding is called [default: the model's name].",
)  # fmt: skip
@click.option(
    "--layer", default="", metavar="NAME",
    help="Method or submodule whose output is taken [default: the last map].",
)  # fmt: skip
@click.option(
    "--pool", type=click.Choice(["auto", "mean", "token", "own"]), default="auto",
    show_default=True,
    help="One vector an image: mean over regions, first token, or the backbone's own embedding.",
)  # fmt: skip
@click.option(
    "--regions", type=click.Choice(["none", "float16", "int8", "pixels"]), default="none",
    show_default=True,
    help="Keep the maps [images, regions, channels], too; or the photographs, cut and resized.",
)  # fmt: skip
@click.option("--resize", type=click.IntRange(1, 4096), help="Pixels of the shorter side.")
@click.option("--crop", type=click.IntRange(1, 4096), help="Pixels of the square's side.")
@click.option(
    "--interpolation", type=click.Choice(["bilinear", "bicubic", "lanczos", "nearest"]),
    help="Of the resizing, with Pillow.",
)  # fmt: skip
@click.option("--mean", type=_CHANNELS, help="Of the channels, 0 to 1: 0.485,0.456,0.406.")
@click.option("--std", type=_CHANNELS, help="The same; sizes and colours are the library's else.")
@click.option(
    "--trained-on", default="", metavar="DATA",
    help="What the weights were trained on, where the library does not say: imagenet-1k.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["float32", "float16", "bfloat16"]), default="float32",
    show_default=True, help="Arithmetic of the network.",
)  # fmt: skip
@click.option("--batch", type=click.IntRange(1, 65536), default=32, show_default=True,
              help="Images at a time.")  # fmt: skip
@click.option(
    "--texts", type=click.Path(path_type=Path), metavar="FILE",
    help="Embed class names (.txt) or descriptions (.csv: class, text) in place of images.",
)  # fmt: skip
@click.option(
    "--prompt", "prompts", multiple=True, metavar="TEXT",
    help="Text with {} for the class name; several are averaged [default: a photo of a {}.].",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]",
              help="Where the network runs.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 256),
              help="Threads that read images [default: the cores, at most 8].")  # fmt: skip
@click.option("--again", is_flag=True, help="Replace what is there under this name.")
@debug_option
def extract_command(
    images: Path | None,
    folder: Path,
    backbone: str,
    weights: str,
    arguments: tuple[str, ...],
    name: str | None,
    layer: str,
    pool: str,
    trained_on: str,
    device: str,
    texts: Path | None,
    prompts: tuple[str, ...],
    **options: Any,
) -> None:
    """Turn IMAGES, or texts, into a feature set of the data set in FOLDER.

    IMAGES is a folder, whose folders are classes, or a list: a .csv file with the columns file and
    class, or a .txt file. A run that was killed goes on where it stopped. What made the features
    is written into dataset.yaml and stands under tables.
    """
    from gzsl_bench.extract import backbones

    asked = backbones.Asked(backbone, weights, _arguments(arguments), layer, trained_on)
    if (images is None) == (texts is None):
        raise click.UsageError("name either a folder or list of images, or --texts FILE")
    if prompts and texts is None:
        raise click.UsageError("--prompt is for --texts")
    if texts is not None:
        _refuse_of_images()
    made = backbones.backbone(asked)
    if made.left_out:
        say(
            f"left out of the weights, for the backbone has no place for them:"
            f" {', '.join(made.left_out[:5])}{' ...' if len(made.left_out) > 5 else ''}"
        )
    name = name or _usual(asked.model)
    if images is None:
        assert texts is not None
        if made.module is not None:
            made.module.to(choose_device(device))
        _texts(texts, folder, made, name, prompts, options["again"])
        return
    _images(images, folder, made, name, pool, choose_device(device), options)


def _refuse_of_images() -> None:
    """Options that say what to do with images, where there are texts alone."""
    context = click.get_current_context()
    for option in ("layer", "pool", "regions", *_TRANSFORM, "precision", "batch", "jobs"):
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{option} is for images, and with --texts there are none")


def _texts(
    source: Path, folder: Path, made: Backbone, name: str, prompts: tuple[str, ...], again: bool
) -> None:
    from gzsl_bench.extract import texts

    found = texts.read(source, folder, prompts)
    put(str(texts.embed(found, folder, made, name, again)))
    said = f"{len(found.names)} classes, in words such as {found.of(0)[0]!r}"
    say(f"{name}: {said}; {folder / 'dataset.yaml'} says what made it")


def _images(
    source: Path,
    folder: Path,
    made: Backbone,
    name: str,
    pool: str,
    device: str,
    options: Mapping[str, Any],
) -> None:
    from gzsl_bench.extract.images import listing
    from gzsl_bench.extract.run import Order, extract

    order = Order(
        name,
        _transform(made.transform, options),
        pool,
        options["regions"],
        options["precision"],
        options["batch"],
        device,
        options["jobs"] or min(8, os.cpu_count() or 1),
        options["again"],
    )
    listed = listing(source)
    for note in listed.notes:
        say(f"note: {note}")
    found = extract(listed, folder, made, order, _Progress())
    for path in found.files:
        put(str(path))
    shape = f"{found.images} images, {found.width} features"
    if found.regions and order.regions != "none":
        pixels = f", photographs of {found.regions[0]} x {found.regions[1]} pixels"
        maps = f", {found.regions[0]} regions of {found.regions[1]} channels"
        shape += pixels if order.regions == "pixels" else maps
    before = f"; {found.reused} images were done before" if found.reused else ""
    say(f"{name}: {shape}{before}; {found.description} says what made them")
    if found.older:
        first, *others = found.older
        more = f" and {len(others)} more" if others else ""
        say(
            f"warning: {found.files[0]} is older than the image {first}{more}; --again makes it"
            " anew of what is there now"
        )


def _transform(usual: Transform, options: Mapping[str, Any]) -> Transform:
    from dataclasses import replace

    given = {key: options[key] for key in _TRANSFORM if options[key] is not None}
    if "crop" in given and "resize" not in given and given["crop"] > usual.resize:
        given["resize"] = given["crop"]
    return replace(usual, **given)


def _arguments(given: tuple[str, ...]) -> dict[str, Any]:
    import yaml

    from gzsl_bench.data.yamlfile import yaml_value

    found = {}
    for item in given:
        key, sign, value = item.partition("=")
        if not sign or not key.isidentifier():
            raise click.UsageError(f"--set {item!r} is not understood; write KEY=VALUE")
        try:
            found[key] = yaml_value(value)
        except yaml.YAMLError:
            raise click.UsageError(f"--set {item!r}: the value is no YAML; quote it") from None
    return found


def _usual(model: str) -> str:
    """A name made of the model's."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", model).strip("-.")
    return plain[:80] or "features"


class _Progress:
    """Images, pace and what is left, on stderr; ten lines where it is no terminal."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None
        self._shown = -1

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._began is None:  # the first batch warms up, and says where a run goes on
            self._began = (now, done)
        terminal, tenth = sys.stderr.isatty(), done * 10 // total
        if not terminal and tenth == self._shown:
            return
        self._shown = tenth
        line = f"{done} of {total} images"
        since, before = self._began
        if now > since and total > done > before:
            pace = (done - before) / (now - since)
            line += f", {pace:.1f} a second, {about((total - done) / pace)} left"
        say(f"\r{line:<70}" if terminal else line, nl=done == total or not terminal)
