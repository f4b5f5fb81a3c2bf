"""The public API: its names and their signatures, pinned.

A change here is a change for every plugin: bump ``HOOKS_VERSION`` where a plugin would have to
change, say so in CHANGELOG.md, and only then edit this file.
"""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import gzsl_bench
from gzsl_bench.hooks import specs

PINNED = {
    "BatchedMethod": {
        "made with": "self config",
        "fit": "self task run",
        "fit_batch": "self task runs",
    },
    "DataError": {},
    "DatasetInfo": {"fields": "name features attributes"},
    "DatasetRequest": {"fields": "name root features attributes cache? regions? second?"},
    "DatasetSpec": {
        "fields": "name load missing? features? attributes? citation? summary? regions?",
        "missing": "request",
    },
    "GZSLData": {
        "fields": "name features labels attributes trainval test_seen test_unseen "
        "class_names? folds? feature_set? attribute_set? fingerprint? "
        "provenance? warnings? regions? second? second_set? words? groups?",
        "num_classes": "property",
        "seen": "property",
        "unseen": "property",
    },
    "HOOKS_VERSION": 1,
    "Images": {
        "made with": "self features regions? second?",
        "blocks": "self size",
        "clone": "self",
        "device": "property",
        "equal": "self other",
        "shape": "property",
    },
    "Latents": {"fields": "visual semantic"},
    "Method": {
        "made with": "self config",
        "axes": "cls config",
        "defaults": "cls dataset",
        "differs": "cls config",
        "fit": "self task run",
        "restore": "self state",
    },
    "MethodSpec": {
        "fields": "name factory citation fidelity preprocessing? deterministic? "
        "setting? summary? precisions? latents? needs? wants? version? family?"
    },
    "MetricSpec": {
        "fields": "name compute percent? higher_is_better? needs_scores? summary? unit? "
        "in_table? version?",
        "about": "self",
    },
    "MissingFile": {"fields": "path hint"},
    "NotApplicable": {},
    "Predictions": {
        "fields": "labels seen unseen predicted predicted_seen predicted_unseen "
        "best_seen? best_unseen? rounded?",
        "from_unseen": "property",
    },
    "Results": {
        "made with": "self found",
        "cells": "self *mixed?",
        "checkpoints": "self *mixed?",
        "per_class": "self rule? *mixed?",
        "table": "self rule? *intervals? *mixed?",
    },
    "RegionMaps": {"fields": "name values scale? digest?"},
    "Regions": {
        "made with": "self values scale rows device",
        "of": "self wanted",
        "shape": "property",
        "to": "self device",
    },
    "Run": {
        "made with": "self seed device config sink *alone? *precision?",
        "checkpoint": "self number scorer",
        "checkpoints_offered": "property",
        "fail": "self reason",
        "generator": "self purpose",
        "log": "self step kwargs:values",
        "progress": "self done total",
    },
    "Scorer": {"fields": "embed score latents? state?"},
    "Task": {
        "fields": "features labels attributes seen unseen unlabelled? regions? second? words? "
        "groups? class_names?",
        "device": "property",
        "num_classes": "property",
        "shared": "self make",
        "shared_changed": "self",
    },
    "compare": "results a b *rule? *datasets?",
    "hookimpl": "pluggy's",
    "load": "suite *out?",
    "run": "suite *out? *data? *plugins? *seeds? *datasets? *methods? *device? *executor? *slurm? "
    "*jobs? *threads? *timeout? *memory_limit? *retries? *progress?",
    "stackable": "default description kwargs:constraints",
}


def shape(value: object) -> object:
    """Names, kinds and defaults of parameters; names and defaults of public fields and methods."""
    if isinstance(value, int):
        return value
    if not hasattr(value, "__module__") or value.__module__.startswith("pluggy"):
        return "pluggy's"
    if not inspect.isclass(value):
        return parameters(value)
    found = {}
    if dataclasses.is_dataclass(value):
        found["fields"] = " ".join(
            f.name + ("" if required(f) else "?")
            for f in dataclasses.fields(value)
            if not f.name.startswith("_")
        )
    elif value.__init__ is not object.__init__ and not issubclass(value, Exception):
        found["made with"] = parameters(value.__init__)
    for name, member in sorted(vars(value).items()):
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if inspect.isfunction(member):
            found[name] = parameters(member)
        elif isinstance(member, property):
            found[name] = "property"
    return found


def required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def parameters(function: object) -> str:
    texts = []
    for p in inspect.signature(function).parameters.values():
        mark = {p.KEYWORD_ONLY: "*", p.VAR_POSITIONAL: "args:", p.VAR_KEYWORD: "kwargs:"}
        texts.append(mark.get(p.kind, "") + p.name + ("" if p.default is p.empty else "?"))
    return " ".join(texts)


@pytest.mark.parametrize("name", sorted(set(gzsl_bench.__all__) - {"Config"}))
def test_a_name_is_what_plugins_rely_on(name):
    assert shape(getattr(gzsl_bench, name)) == PINNED[name]


def test_no_name_came_or_went():
    assert set(gzsl_bench.__all__) == {*PINNED, "Config"}


def test_hooks():
    hooks = {n: parameters(f) for n, f in vars(specs).items() if n.startswith("gzsl_bench_")}
    assert hooks == dict.fromkeys(
        ("gzsl_bench_datasets", "gzsl_bench_methods", "gzsl_bench_metrics"), ""
    )


def test_config_is_strict():
    assert dict(gzsl_bench.Config.model_config) == {
        "extra": "forbid", "frozen": True, "allow_inf_nan": False, "validate_default": True,
    }  # fmt: skip


STACKED = {
    "Batch",
    "BatchNorm",
    "Critic",
    "CrossModalNetworks",
    "CrossModalVAE",
    "Decoder",
    "ElementwiseAdam",
    "Encoder",
    "FeatureGAN",
    "GANNetworks",
    "Generator",
    "Generators",
    "Loss",
    "Maker",
    "Optimizer",
    "Linear",
    "Parameters",
    "Phase",
    "Progress",
    "Repeat",
    "RestartedClassifier",
    "Several",
    "Shuffles",
    "Diffusion",
    "TimeEmbedding",
    "SoftmaxClassifier",
    "StackedAdam",
    "Table",
    "StackedRMSprop",
    "StackedSGD",
    "Terms",
    "WarmUp",
    "arithmetic",
    "as_they_are",
    "class_means",
    "dropout",
    "embed_in_chunks",
    "first_rows",
    "frozen",
    "generated_latents",
    "generator_terms",
    "integers",
    "in_blocks",
    "keeps",
    "kl_divergence",
    "l1_error",
    "lanes",
    "latent_training_set",
    "linear",
    "normals",
    "per_run",
    "permutations",
    "permute_channels",
    "precision_of",
    "region_products",
    "reparameterize",
    "sampled_latents",
    "seen_places",
    "seen_loss",
    "subsets_in_turn",
    "subsets",
    "train",
    "train_alternating",
    "train_on_latents",
    "trained_softmax",
    "uniforms",
    "unseen_classes",
    "unit_regions",
    "with_more",
    "wasserstein_distance",
}


def test_the_toolkit():
    from gzsl_bench import stacked

    assert set(stacked.__all__) == STACKED
