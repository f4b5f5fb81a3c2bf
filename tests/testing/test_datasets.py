"""The checks of data set plugins: built-in ones pass, planted faults fail theirs and no other."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from gzsl_bench import DataError, DatasetSpec, MissingFile
from gzsl_bench.data.identity import identify
from gzsl_bench.testing import DatasetConformance, check_dataset


class TestDigits(DatasetConformance):
    dataset = "digits"


@pytest.fixture
def offer(make_data):
    """Makes a spec of a tiny data set; ``change`` is done to the data after each load."""

    def build(change=lambda data, request: data, **about):
        def load(request):
            if request.features != "raw":
                raise DataError(f"there are no features {request.features!r}, but there are 'raw'")
            return change(replace(make_data(), name="tiny"), request)

        settings = {"features": "raw", "attributes": "made", "citation": "c", "summary": "s"}
        return DatasetSpec("tiny", **({"load": load} | settings | about))

    return build


def failures(report):
    return {each.name: each.reason for each in report.failures}


def test_an_honest_one_passes(offer):
    report = check_dataset(offer())
    assert report.passed, report.text()
    assert {each.outcome for each in report.results} == {"ok"}
    assert report.result("missing_files_are_listed").reason == "it needs no files"
    assert check_dataset(offer(lambda data, request: identify(data))).passed


def test_files_that_are_missing_are_no_failure(tmp_path):
    report = check_dataset("CUB", root=tmp_path)
    assert report.passed, report.text()
    loads = report.result("loads")
    assert loads.outcome == "skipped"
    assert re.search(r"\d of its files are not here .*--data", loads.reason)


def _moves(data, request):
    np.random.rand()
    return data


def _differs(data, request):
    noise = np.random.default_rng().random(data.features.shape)
    return replace(data, features=(data.features + noise).astype(np.float32))


def _unreadable(request):
    raise FileNotFoundError("res101.mat")


def _refuses(request):
    raise DataError("res101.mat is not there")


def _lenient(make_data):
    return lambda request: replace(make_data(), name="tiny", feature_set=request.features)


PLANTED = {
    "summary": ("described", "its summary must not be empty"),
    "unlisted": ("missing_files_are_listed", "raises FileNotFoundError: res101.mat; list what"),
    "refused": ("missing_files_are_listed", "says 'res101.mat is not there' but missing lists no"),
    "text": ("missing_files_are_listed", "missing gives a str; gzsl_bench.MissingFile is expected"),
    "no hint": ("missing_files_are_listed", "has no path or no hint"),
    "needless": ("missing_files_are_listed", "yet load needs none"),
    "dictionary": ("loads", "load gives a dict; gzsl_bench.GZSLData is expected"),
    "type": ("is_a_valid_split", "labels of .* has type int32"),
    "overlap": ("is_a_valid_split", "trainval and test_seen .* overlap in 3 rows"),
    "other name": ("is_what_was_asked_for", "feature_set is 'res101' where the request says 'raw'"),
    "lenient": ("unknown_variants_are_refused", "gives data all the same; look at request.feat"),
    "differs": ("fingerprint_is_stable", "two loads give other contents"),
    "global": ("no_global_random_state", r"global random state of numpy\.random"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_fail_their_check_and_no_other(offer, make_data, tmp_path, name):
    here = tmp_path / "tiny.npz"
    needed = MissingFile(str(here), "")
    specs = {
        "summary": lambda: offer(summary=""),
        "unlisted": lambda: offer(load=_unreadable),
        "refused": lambda: offer(load=_refuses),
        "text": lambda: offer(missing=lambda request: ["res101.mat"]),
        "no hint": lambda: offer(load=_refuses, missing=lambda request: [needed]),
        "needless": lambda: offer(missing=lambda r: [replace(needed, hint="x")] * (r.root != None)),  # noqa: E711
        "dictionary": lambda: offer(lambda data, request: vars(data)),
        "type": lambda: offer(lambda data, r: replace(data, labels=data.labels.astype(np.int32))),
        "overlap": lambda: offer(
            lambda data, r: replace(data, trainval=np.append(data.trainval, data.test_seen[:3]))
        ),
        "other name": lambda: offer(lambda data, request: replace(data, feature_set="res101")),
        "lenient": lambda: offer(load=_lenient(make_data)),
        "differs": lambda: offer(_differs),
        "global": lambda: offer(_moves),
    }
    check, reason = PLANTED[name]
    report = check_dataset(specs[name]())
    found = failures(report)
    expected = [check, "loads"] if name in ("unlisted", "refused") else [check]
    assert list(found) == expected, report.text()
    assert re.search(reason, found[check]), found[check]
