"""Backbones of torchvision, timm and open_clip, and whatever an importable factory makes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from gzsl_bench.errors import DataError, GzslBenchError, in_one_line, unknown_name
from gzsl_bench.extract import importing, weights
from gzsl_bench.extract.transform import Transform

if TYPE_CHECKING:
    from torch import Tensor

#: Where the last map of torchvision's models is: the first of these that a model has.
_LAST = ("permute", "layer4", "trunk_output", "features", "encoder", "Mixed_7c", "inception5b")
#: Methods that give a factory's last map; otherwise it is the module's own output.
_METHODS = ("forward_features", "extract_features")
_INSTALL = "pip install 'gzsl-bench[extract]'"

#: Images -> what the layer gives, and what the library calls the embedding (or None).
Run: TypeAlias = "Callable[[Tensor], tuple[Any, Tensor | None]]"


@dataclass(frozen=True)
class Asked:
    """What a user asks for.

    Attributes:
        name: ``timm:resnet50``, ``torchvision:...``, ``open_clip:...``, or an importable factory.
        weights: a file, ``package:name``, a name that the library knows, ``random``; or "".
        arguments: of a factory.
        layer: a method or submodule whose output is taken; "" for the library's usual one.
        trained_on: what the weights were trained on, where the user says so.
    """

    name: str
    weights: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    layer: str = ""
    trained_on: str = ""

    @property
    def library(self) -> str:
        """``timm``, ``torchvision``, ``open_clip``, or "" for a factory."""
        library = self.name.partition(":")[0]
        return library if library in _MAKERS else ""

    @property
    def model(self) -> str:
        """The name within the library."""
        return self.name.partition(":")[2]


@dataclass
class Backbone:
    """A network in evaluation mode, and how features are had from it.

    Attributes:
        name: as it was asked for.
        module: the network; None for a text encoder that is no module.
        run: images to the layer's output and the embedding.
        layer: where the map is taken.
        weights: what was loaded, in the library's or the user's words.
        digest: SHA-256 of them as they were loaded; "" of a text encoder that is no module.
        trained_on: what on; "" if that is not known.
        transform: what the library says its images go through.
        libraries: versions of what computes, by distribution.
        left_out: names of weights in the file that the module has no place for.
        prefix: tokens before those of regions; None where the count has to tell.
        channels_last: maps are [B, h, w, C].
        encode: texts to [n, A], where it can.
    """

    name: str
    module: Any
    run: Run
    layer: str
    weights: str
    digest: str = ""
    trained_on: str = ""
    transform: Transform = field(default_factory=Transform)
    libraries: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    prefix: int | None = None
    channels_last: bool = False
    encode: Callable[[list[str]], Any] | None = None


def backbone(asked: Asked) -> Backbone:
    """Make a backbone and load its weights, on the CPU, in float32.

    Raises:
        DataError: the library is not installed, knows no such model, or weights cannot be had.
    """
    if ":" not in asked.name:
        raise DataError(
            f"the backbone {asked.name!r} is not understood; write timm:MODEL, torchvision:MODEL,"
            " open_clip:MODEL, package.module:function or file.py:function"
        )
    try:
        made = _MAKERS.get(asked.library, _factory)(asked)
    except GzslBenchError:
        raise
    except ImportError as error:
        raise DataError(f"the backbone {asked.name} needs {error.name}: {_INSTALL}") from None
    except Exception as error:
        raise DataError(
            f"the backbone {asked.name} cannot be made: {in_one_line(error)[:300]}; weights may"
            " also lie in a file, named with --weights"
        ) from None
    if asked.trained_on:
        made.trained_on = asked.trained_on
    if made.module is not None:
        made.module.eval().requires_grad_(False)
        made.digest = weights.digest(made.module)
    made.libraries = {**_versions("torch", "numpy", "pillow"), **made.libraries}
    return made


def _versions(*names: str) -> dict[str, str]:
    from importlib import metadata

    return {name: metadata.version(name) for name in names}


def _refuse_unknown(asked: Asked, name: str, known: Sequence[str]) -> None:
    """Of hundreds of models only those with like names are listed."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=8, cutoff=0.4) or known[:8]
        raise DataError(
            f"{asked.library} has no model {name!r}; it has {len(known)} others, among them"
            f" {', '.join(near)}"
        )


def _own_file(asked: Asked, module: Any, made: Backbone) -> None:
    """Load the weights that the user names as a file, or draw them."""
    if asked.weights == weights.RANDOM:
        made.weights = weights.RANDOM
        return
    path = weights.file_of(asked.weights) if asked.weights else None
    if path is not None:
        made.left_out = tuple(weights.load(module, path))
        # A path says nothing on another machine; what the weights are, their hash says.
        made.weights = asked.weights if ":" in asked.weights else path.name


def _by_name(asked: Asked) -> str | None:
    """The weights' name in the library, or None where they come from elsewhere."""
    own = asked.weights == weights.RANDOM or (asked.weights and weights.file_of(asked.weights))
    return None if own else asked.weights


def _seeded(make: Callable[[], Any]) -> Any:
    """What is made with random weights is the same every time."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def at_layer(module: Any, layer: str, what: str, forward: Run | None = None) -> Run:
    """How to have the output of a layer.

    Args:
        module: the network.
        layer: ``output``, a method, or a submodule (``layer4.1``).
        what: how messages call the network.
        forward: runs it up to its embedding, where that is not its call.

    Raises:
        DataError: it has no such layer.
    """
    from torch import nn

    if layer == "output":
        return lambda images: (module(images), None)
    method = getattr(module, layer, None)
    if callable(method) and not isinstance(method, nn.Module):
        return lambda images: (method(images), None)
    try:
        part = module.get_submodule(layer)
    except AttributeError:
        there = ", ".join(name for name, _ in module.named_children())
        raise DataError(
            f"{what} has no layer {layer!r}; it has {there or 'none'}, and their parts"
            " (layer4.1), or name a method"
        ) from None

    def run(images: Tensor) -> tuple[Any, Tensor | None]:
        caught: list[Any] = []
        own = None
        handle = part.register_forward_hook(lambda _, __, given: caught.append(given))
        try:
            if forward is None:
                module(images)
            else:
                own = forward(images)[1]
        finally:
            handle.remove()
        if not caught:
            raise DataError(f"the layer {layer} of {what} takes no part; name another with --layer")
        return caught[-1], own

    return run


def _timm(asked: Asked) -> Backbone:
    import timm
    from timm.data import resolve_data_config

    named = _by_name(asked)
    model = f"{asked.model}.{named}" if named else asked.model
    if ":" not in asked.model:  # hf-hub:owner/name is the hub's to know
        _refuse_unknown(asked, asked.model.partition(".")[0], timm.list_models())
    module = _seeded(
        lambda: timm.create_model(
            model, pretrained=named is not None, num_classes=0, **asked.arguments
        )
    )
    config = module.pretrained_cfg
    tag = str(config.get("tag") or "")
    about = resolve_data_config({}, model=module)
    side = int(min(about["input_size"][1:]))
    made = Backbone(
        asked.name,
        module,
        run=lambda images: _with_head(module, images),
        layer=asked.layer or "forward_features",
        weights=tag if named is not None else asked.weights,
        trained_on=_of_tag(tag) if named is not None else "",
        transform=Transform(
            int(side / float(about["crop_pct"])), side, about["interpolation"],
            tuple(about["mean"]), tuple(about["std"]),
        ),
        libraries=_versions("timm"),
        prefix=getattr(module, "num_prefix_tokens", None),
        channels_last=getattr(module, "output_fmt", "") == "NHWC",
    )  # fmt: skip
    if asked.layer:
        made.run = at_layer(module, asked.layer, asked.name)
    _own_file(asked, module, made)
    return made


def _with_head(module: Any, images: Tensor) -> tuple[Any, Tensor | None]:
    raw = module.forward_features(images)
    return raw, module.forward_head(raw, pre_logits=True)


#: Parts of a tag of timm's and what they say, larger sets first.
_TAGS = (
    ("in22k", "imagenet-22k"), ("in21k", "imagenet-21k"), ("in12k", "imagenet-12k"),
    ("in1k", "imagenet-1k"),
)  # fmt: skip


def _of_tag(tag: str) -> str:
    parts = tag.lower()
    found = [name for part, name in _TAGS if part in parts]
    # Distilled from, or begun with, something larger: what that was the tag alone says.
    return ", ".join(found) + (f" (timm's tag {tag})" if found else "")


def _torchvision(asked: Asked) -> Backbone:
    from torchvision import models

    _refuse_unknown(asked, asked.model, models.list_models(models))
    named = _by_name(asked)
    known = models.get_model_weights(asked.model)
    if named and named not in known.__members__:
        raise DataError(
            unknown_name(f"weights of torchvision:{asked.model}", named, known.__members__)
        )
    chosen = known[named] if named else known.DEFAULT
    module = _seeded(
        lambda: models.get_model(
            asked.model, weights=chosen if named is not None else None, **asked.arguments
        )
    )
    about = chosen.transforms()
    layer = asked.layer or next((n for n in _LAST if hasattr(module, n)), "")
    if not layer or (not asked.layer and asked.model.startswith("densenet")):
        there = ", ".join(name for name, _ in module.named_children())
        raise DataError(f"name the layer of {asked.name} with --layer; it has {there}")
    made = Backbone(
        asked.name,
        module,
        run=at_layer(module, layer, asked.name),
        layer=layer,
        weights=chosen.name if named is not None else asked.weights,
        trained_on="imagenet-1k" if named is not None and "IMAGENET1K" in chosen.name else "",
        transform=Transform(
            int(about.resize_size[0]), int(about.crop_size[0]), about.interpolation.value,
            tuple(about.mean), tuple(about.std),
        ),
        libraries=_versions("torchvision"),
        prefix=1 if layer == "encoder" else None,
    )  # fmt: skip
    _own_file(asked, module, made)
    return made


def _open_clip(asked: Asked) -> Backbone:
    import open_clip

    _refuse_unknown(asked, asked.model, open_clip.list_models())
    named = _by_name(asked)
    tags = open_clip.list_pretrained_tags_by_model(asked.model)
    if named is not None and named not in tags:
        raise DataError(
            f"{asked.name} needs --weights: a file, or one of {', '.join(tags) or 'none'}"
            + (f", not {named!r}" if named else "")
        )
    module = _seeded(
        lambda: open_clip.create_model(asked.model, pretrained=named, **asked.arguments)
    )
    tokens, about = open_clip.get_tokenizer(asked.model), module.visual.preprocess_cfg
    side = about["size"] if isinstance(about["size"], int) else int(min(about["size"]))

    def embed(images: Tensor) -> tuple[Any, Tensor | None]:
        own = module.encode_image(images)
        return own, own

    def encode(texts: list[str]) -> Any:
        device = next(iter(module.parameters())).device
        return module.encode_text(tokens(texts).to(device))

    usual = "visual.layer4" if hasattr(module.visual, "layer4") else "visual.ln_post"
    layer = asked.layer or usual
    made = Backbone(
        asked.name,
        module,
        run=at_layer(module, layer, asked.name, embed),
        layer=layer,
        weights=named or asked.weights,
        trained_on=f"pairs of images and texts ({named})" if named else "",
        transform=Transform(
            side, side, about.get("interpolation", "bicubic"), tuple(about["mean"]),
            tuple(about["std"]),
        ),
        libraries=_versions("open_clip_torch"),
        encode=encode,
    )  # fmt: skip
    _own_file(asked, module, made)
    return made


def _factory(asked: Asked) -> Backbone:
    """Whatever a function makes: a module for images, or something with ``encode`` for texts."""
    from torch import nn

    make = importing.imported(asked.name, "the backbone")
    module = _seeded(lambda: make(**asked.arguments))
    if not isinstance(module, nn.Module) and not callable(getattr(module, "encode", None)):
        raise DataError(
            f"the backbone {asked.name} gives a {type(module).__name__}, but a torch.nn.Module or"
            " something with a method `encode` for texts is needed"
        )
    place = asked.name.rpartition(":")[0]
    given = ", ".join(f"{name}={value}" for name, value in asked.arguments.items())
    name = asked.name.rpartition("/")[2]  # a folder says nothing on another machine
    made = Backbone(
        f"{name}({given})" if given else name,
        module if isinstance(module, nn.Module) else None,
        run=lambda images: (None, None),
        layer="",
        weights="its own",
        libraries=importing.version(place),
        encode=getattr(module, "encode", None),
    )
    if made.module is not None:
        usual = next((name for name in _METHODS if hasattr(module, name)), "output")
        made.layer = asked.layer or usual
        made.run = at_layer(module, made.layer, asked.name)
    if asked.weights:
        if made.module is None or (
            asked.weights != weights.RANDOM and not weights.file_of(asked.weights)
        ):
            raise DataError(
                f"--weights {asked.weights} names no file; a factory's weights come from a file or"
                " from itself"
            )
        _own_file(asked, module, made)
    return made


_MAKERS: dict[str, Callable[[Asked], Backbone]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "open_clip": _open_clip,
}
