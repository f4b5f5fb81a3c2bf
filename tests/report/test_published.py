"""The registry against its sheets; its checks against hand-made rows and arithmetic."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from records_factory import commit

from gzsl_bench.cli.main import run
from gzsl_bench.published import audit
from gzsl_bench.published.beside import beside, changed, published_names
from gzsl_bench.published.entries import (
    TABLES,
    Entry,
    counts,
    entries,
    facts,
    papers,
    releases,
)
from gzsl_bench.published.page import page
from gzsl_bench.published.schema import PrintedRow, Release
from gzsl_bench.records.store import RecordStore
from gzsl_bench.report.beside import render_beside
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.suite.cells import Cell, digest, identity
from gzsl_bench.suite.resolved import ResolvedSuite

ROOT = Path(__file__).parents[2]
DATA = resources.files("gzsl_bench.published") / "data"


def row(method="M", dataset="CUB", table="gbu", source="s", setting="gzsl", **printed) -> Entry:
    return Entry(table, method, dataset, printed, setting, "published (own)", source)


def found(status: str, table: str | None = None):
    return {
        (f.method, f.dataset)
        for f in audit.findings()
        if f.status == status and f.recomputed and table in (None, f.table)
    }


# What is registered ------------------------------------------------------------------------------


def test_every_row_is_there():
    per_table = Counter(entry.table for entry in entries())
    # 60 cells of Table 2 (56 with U, S and H; CVAE's four with H alone), 4 x 4 of Table 3.
    assert per_table["acmr-2"] == 60
    assert per_table["acmr-3"] == 16
    # 245 rows of the sheet less the nine that quote ACMR's Table 2, which is here itself.
    assert per_table["gbu"] == 236
    # A file for each paper; 69 rows of SDGZSL's README in its newest version, 21 of another.
    assert len(papers()) == 28
    assert per_table["sdgzsl"] == 90
    assert per_table["dkgzsl"] == 91
    assert sum(map(len, papers().values())) == 354
    assert len(counts()) == 4
    triples = [e for e in entries() if e.table == "acmr-2" and len(e.printed) == 3]
    assert len(triples) == 56
    assert {e.dataset for e in entries()} == {"CUB", "SUN", "AWA1", "AWA2", "APY", "FLO"}
    assert all(e.source and e.kind and e.printed for e in entries())


def test_conditions_override_one_another_and_have_a_basis():
    by = {(e.table, e.method, e.dataset): e for e in entries()}
    assert by["acmr-2", "ACMR", "CUB"].selection == "best_test"
    assert by["acmr-2", "CADA-VAE", "CUB"].selection == "last"
    assert by["acmr-2", "cycle-CLSWGAN", "CUB"].embedding == "sentences"
    assert by["acmr-2", "cycle-CLSWGAN", "SUN"].embedding == "att"
    assert by["acmr-2", "AREN", "CUB"].features == "ResNet-101 fine-tuned"
    assert by["acmr-2", "OCD", "CUB"].features is None
    assert all(item["basis"] for item in facts()["about"])
    for item in [*facts()["about"], *facts()["findings"]]:
        assert any(_applies(e, item["match"]) for e in entries()), item


def _applies(entry, match):
    from gzsl_bench.published.entries import matches

    return matches(entry, match)


def test_typed_findings_name_their_evidence():
    typed = [f for f in audit.findings() if not f.recomputed]
    assert typed
    for finding in typed:
        assert finding.status == "swapped?" or finding.status.startswith("not comparable")
        assert finding.source.endswith(")")
        evidence = finding.source.rsplit("(", 1)[1].rstrip(")")
        assert evidence in ("recalled", "third-party", "inferred", "code", "table", "derived")
        if evidence in ("recalled", "inferred"):
            assert "?" in finding.status.split(":")[0]  # no proof, so no certainty


# Recomputed findings -----------------------------------------------------------------------------


#: Rows whose H is not what their own U and S allow, by table: as they are printed.
CONTRADICTORY = {
    "acmr-2": {
        "DAZLE SUN 25.7/82.5/25.8",
        "cycle-CLSWGAN AWA1 63.4/59.6/59.8",
        "CADA-VAE CUB 51.6/53.5/52.4",
        "ACMR AWA1 59.4/77.6/67.5",
    },
    "dkgzsl": {"ZSLViT SUN 45.9/48.3/47.3", "CLIP AWA2 77.8/81.7/79.6"},
    "dpfs": {"DUET (another of this name) AWA2 48.2/90.2/63.4"},
    "relation-net": {"RelationNet AWA2 30.0/93.4/45.3"},
    "scfa-gzsl": {
        "DVBE AWA2 63.6/70.8/41.9",
        "CADA-VAE CUB 51.6/53.5/52.4",
        "IZF AWA1 61.3/80.5/69.1",
    },
    "sdgzsl": {
        "CADA-VAE CUB 51.6/53.5/52.4",
        "AGZSL AWA2 52.6/86.5/76.8",
        "SDGZSL AWA2 69.6/86.5/73.7",
        "SDGZSL APY 36.2/60.7/47.5",
        "SDGZSL FLO 86.1/89.1/87.8",
        "TF-VAEGAN FLO 63.8/92.5/79.4",
    },
    "vifr": {"ViFR SUN 51.3/40.0/44.7"},
    "zslvit": {"ZSLViT SUN 45.9/48.4/47.3"},
}


def test_every_h_is_that_of_its_u_and_s_but_for_those_named():
    """All numbers may be rounded to a decimal, half a unit of the last digit up or down."""
    wrong, checked = {}, 0
    for entry in entries():
        if {"U", "S", "H"} <= entry.printed.keys():
            checked += 1
            printed = {n: Fraction(entry.printed[n]) for n in ("U", "S", "H")}
            step = {n: Fraction(str(entry.half_step(n))) for n in ("U", "S", "H")}
            low = exact_h(*(max(printed[n] - step[n], Fraction(0)) for n in ("U", "S")))
            high = exact_h(*(printed[n] + step[n] for n in ("U", "S")))
            if not low - step["H"] <= printed["H"] <= high + step["H"]:
                text = f"{entry.method} {entry.dataset} {audit.numbers(entry)}"
                wrong.setdefault(entry.table, set()).add(text)
    assert checked > 400
    assert wrong == CONTRADICTORY
    found_ = {}
    for f in audit.findings():
        if f.status == "inconsistent":
            found_.setdefault(f.table, set()).add(f"{f.method} {f.dataset} {f.printed}")
    assert found_ == CONTRADICTORY


def test_a_finding_on_one_row_of_a_method_is_none_on_its_others():
    own = [e for e in entries() if (e.table, e.method, e.dataset) == ("sdgzsl", "SDGZSL", "AWA2")]
    assert {e.features: audit.status(e) for e in own} == {
        "res101": "ok", "res101 fine-tuned": "inconsistent",
    }  # fmt: skip


def test_a_swap_that_was_recalled_now_has_a_witness():
    swaps = [f for f in audit.findings() if f.method == "OCD" and f.status == "swapped?"]
    assert {f.dataset for f in swaps if f.recomputed} == {"CUB", "SUN", "AWA2"}
    assert len(swaps) == 3


def test_places_that_know_more_than_one_variant_contradict_nobody():
    def h(value, source, **more):
        return replace(row(H=value, source=source, table=source), **more)

    both = [h("54.0", "b"), h("49.7", "b")]
    assert list(audit._contradictions([h("54.0", "a"), h("49.7", "c"), *both])) == []
    # Where a data set has two class embeddings, one that is not told proves nothing.
    known = {"embedding": "att"}
    assert list(audit._contradictions([h("54.0", "a", **known), h("49.7", "c")])) == []
    sun = {"dataset": "SUN"}
    assert list(audit._contradictions([h("54.0", "a", **sun), h("49.7", "c", **sun)])) != []
    tuned = {"features": "res101 fine-tuned", **sun}
    plain = {"features": "res101", **sun}
    assert list(audit._contradictions([h("54.0", "a", **tuned), h("49.7", "c", **plain)])) == []
    # Of a quotation and an original the quotation is named, whichever stands first.
    quoted = {"secondary": True, **sun}
    for pair in ([h("5.0", "a"), h("6.0", "q")], [h("6.0", "q"), h("5.0", "a")]):
        pair = [replace(e, **(quoted if e.source == "q" else sun)) for e in pair]
        assert [f.table for f in audit._contradictions(pair)] == ["q"]


# Releases ----------------------------------------------------------------------------------------


def test_rows_have_the_rule_that_their_release_was_read_to_have():
    by = {(e.table, e.method): e.selection for e in entries() if e.dataset == "AWA2"}
    assert by["sdgzsl", "SDGZSL"] == "best_test"
    assert by["sdgzsl", "CADA-VAE"] == "last"
    assert by["sdgzsl", "LisGAN"] == "best_test"  # LiGAN in the release's table of names
    assert by["dkgzsl", "I2MVFormer"] == "best_test"
    assert by["zla", "ZLAP+WGAN"] == "best_test"
    assert by["zla", "CE-GZSL"] is None  # a re-run by others
    assert by["sdgzsl", "f-VAEGAN-D2"] is None  # the code read is not its authors'
    assert by["sdgzsl", "DCN"] is None
    # Logs that have both, from one training.
    logs = [e for e in entries() if (e.table, e.dataset) == ("closed-form-sample-probing", "AWA2")]
    assert [(e.selection, e.printed["H"]) for e in logs] == [
        ("val", "63.2"), ("best_test", "65.2"), ("val", "63.5"), ("best_test", "65.6"),
    ]  # fmt: skip


def test_the_corrections_of_a_second_reading():
    by = {release.method: release for release in releases()}
    assert len(by) == len(releases()) == 73
    for method in ("DPPN", "DVBE", "DSEN", "Bias-aware GZSL"):
        assert by[method].calibration == "test"
    assert by["Bias-aware GZSL"].selection == "last"
    assert {m for m, r in by.items() if r.selection == "val"} == {
        "class-norm (CNZSL)", "COSMO", "GDAN",
    }  # fmt: skip
    # The README heads the columns U, S, H.
    (wgan,) = [r for r in papers()["zla"] if (r.method, r.dataset) == ("ZLAP+WGAN", "AWA2")]
    assert (wgan.U, wgan.S) == ("65.4", "82.2")


GOOD_ROW = dict.fromkeys(PrintedRow.model_fields, "") | {
    "method": "M", "dataset": "CUB", "U": "50.0", "S": "50.0", "H": "50.0", "secondary": "no",
    "source": "s", "checked": "no",
}  # fmt: skip
GOOD_RELEASE = dict.fromkeys(Release.model_fields, "") | {
    "method": "M", "repository": "a/b", "commit": "0" * 40, "selection": "test",
    "calibration": "none", "where": "f.py:1", "read": "cited", "setting": "inductive",
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "good", "bad"),
    [
        (PrintedRow, GOOD_ROW, {"U": "0,5"}),
        (PrintedRow, GOOD_ROW, {"H": "50.123"}),
        (PrintedRow, GOOD_ROW, {"dataset": "cub"}),
        (PrintedRow, GOOD_ROW, {"secondary": ""}),
        (PrintedRow, GOOD_ROW, {"source": ""}),
        (PrintedRow, GOOD_ROW, {"H": "", "S": ""}),
        (PrintedRow, GOOD_ROW, {"surplus": "x"}),
        (Release, GOOD_RELEASE, {"selection": "best"}),
        (Release, GOOD_RELEASE, {"commit": "abc"}),
        (Release, GOOD_RELEASE, {"repository": "b"}),
        (Release, GOOD_RELEASE, {"where": ""}),
        (Release, GOOD_RELEASE, {"read": "context"}),
        (Release, GOOD_RELEASE, {"read_commit": "1" * 40}),
    ],
)
def test_the_schema_refuses(model, good, bad):
    model.model_validate(good)
    with pytest.raises(ValidationError):
        model.model_validate(good | bad)


def test_the_page_is_what_the_registry_makes_of_it():
    committed = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")
    assert committed == page(), "gzsl-bench published page > docs/published.md"


def test_the_page_begins_with_counts_and_has_every_release_and_row():
    text = page()
    first = text.index("| Rule |")
    assert first < text.index("### What was read") < text.index("## Tables")
    with (DATA / "releases.csv").open(encoding="utf-8") as lines:
        rows_ = list(csv.DictReader(lines))
    for rule in ("test", "val", "last", "unknown"):
        own = [r for r in rows_ if r["selection"] == rule]
        read = sum(r["read"] == "context" for r in own)
        assert re.search(rf"^\| `{rule}` \|[^|]*\| {len(own)} \| {read} \|$", text, re.M)
    for release in rows_:
        assert text.count(f"| {release['method']} |") >= 1
        assert f"* **{release['method']}** (" in text
    for table in papers():
        assert f"\n### {table}\n" in text
    tables = text[text.index("## Tables") :]
    printed = Counter(audit.numbers(e) for e in entries() if e.setting == "gzsl")
    assert all(tables.count(shown) >= n for shown, n in printed.items() if shown != "-/-/-")
    assert tables.count(" ✗") == sum(map(len, CONTRADICTORY.values())) + 1  # and the legend


def test_repeated_cells():
    assert found("duplicate") == {
        ("LsrGAN", "AWA1"),
        ("LsrGAN", "AWA2"),
        ("DAZLE", "SUN"),
        ("DAZLE", "AWA2"),
    }


def test_contradictions_between_tables():
    wrong = found("contradiction")
    assert {("ACMR", "AWA1"), ("ACMR", "CUB"), ("-", "SUN")} <= wrong
    assert ("ACMR", "SUN") not in wrong
    (sun,) = [f for f in audit.findings() if f.table == "acmr-1"]
    assert "707 (right: 645)" in sun.detail
    assert "10 (right: 72)" in sun.detail
    details = [f.detail for f in audit.findings() if f.method == "ACMR"]
    assert any("67.5 here and 67.3" in text for text in details)
    assert any("55.3 here and 55.2" in text for text in details)


def test_swaps_with_a_witness_are_recomputed():
    assert {("f-CLSWGAN", "CUB"), ("f-CLSWGAN", "SUN"), ("SE", "AWA2")} <= found("swapped?")
    assert not {m for m, _ in found("swapped?")} & {"ACMR", "CADA-VAE", "AREN", "DE-VAE", "LiGAN"}


def test_statuses():
    by = {}
    for entry in entries():
        by.setdefault((entry.table, entry.method, entry.dataset, entry.setting), entry)
    assert audit.status(by["acmr-2", "ACMR", "AWA2", "gzsl"]) == "ok"
    assert audit.status(by["acmr-2", "ACMR", "AWA1", "gzsl"]) == "inconsistent; contradiction"
    assert audit.status(by["acmr-3", "ACMR", "AWA1", "gzsl"]) == "contradiction"
    lsr = audit.status(by["acmr-2", "LsrGAN", "AWA2", "gzsl"])
    assert lsr == "duplicate; swapped?; not comparable: no such published result"
    assert audit.status(by["acmr-2", "AREN", "CUB", "gzsl"]).startswith("not comparable: fine-")


def test_a_finding_on_one_row_is_none_on_the_others():
    standard = [e for e in entries() if e.method == "ESZSL" and e.dataset == "SUN"]
    statuses = {e.split: set() for e in standard}
    for entry in standard:
        statuses[entry.split].add(audit.status(entry))
    assert statuses["standard split"] == {"not comparable: standard split"}
    assert "not comparable: standard split" not in statuses["PS"]


def exact_h(unseen: Fraction, seen: Fraction) -> Fraction:
    return 2 * unseen * seen / (unseen + seen) if unseen + seen else Fraction(0)


@given(
    st.integers(0, 100_000),
    st.integers(0, 100_000),
)
@settings(max_examples=300)
def test_what_was_rounded_from_true_values_is_never_called_inconsistent(unseen, seen):
    """True U and S in thousandths of a percent, H of them, all rounded to a decimal."""
    u, s = Fraction(unseen, 1000), Fraction(seen, 1000)
    entry = row(**{k: f"{float(v):.1f}" for k, v in {"U": u, "S": s, "H": exact_h(u, s)}.items()})
    assert list(audit._inconsistent([entry])) == []


def test_the_interval_by_hand():
    # U in [59.35, 59.45], S in [77.55, 77.65]: 2 * 59.35 * 77.55 / 136.9 and so on.
    low, high = audit.harmonic_interval(row(U="59.4", S="77.6"))
    assert low == pytest.approx(2 * 59.35 * 77.55 / 136.90)
    assert high == pytest.approx(2 * 59.45 * 77.65 / 137.10)
    assert audit.harmonic_interval(row(H="30.0")) is None
    # A whole number stands for one decimal, two decimals for two.
    assert row(U="42").half_step("U") == pytest.approx(0.05)
    assert row(U="31.68").half_step("U") == pytest.approx(0.005)
    (above,) = audit._inconsistent([row(U="59.4", S="77.6", H="67.5")])
    assert "above, which no averaging over runs explains" in above.detail
    (below,) = audit._inconsistent([row(U="59.4", S="77.6", H="67.1")])
    assert "below" in below.detail
    assert list(audit._inconsistent([row(U="59.4", S="77.6", H="67.3")])) == []


def test_planted_duplicates_contradictions_and_swaps():
    one = row("A", "AWA1", U="10.0", S="50.0", H="16.7")
    copy = replace(one, dataset="SUN")
    assert [f.dataset for f in audit._duplicates([one, copy])] == ["AWA1", "SUN"]
    assert list(audit._duplicates([one, replace(copy, source="other")])) == []
    there = replace(one, source="other", printed={"U": "50.0", "S": "10.0", "H": "16.7"})
    assert [f.status for f in audit._swapped([one, there])] == ["swapped?"]
    assert list(audit._contradictions([one, there])) == []
    other = replace(one, source="other", printed={"H": "17.0"})
    assert [f.status for f in audit._contradictions([one, other])] == ["contradiction"]
    assert list(audit._contradictions([one, replace(other, embedding="x", kind="k")])) != []
    two_kinds = [replace(one, embedding="att"), replace(other, embedding="sentences")]
    assert list(audit._contradictions(two_kinds)) == []
    assert list(audit._contradictions([one, replace(other, kind="reproduction")])) == []


# Ours beside theirs ------------------------------------------------------------------------------

CONFIG = {
    "acmr": {"iem": True, "vsa": True, "attention": "softmax"},
    "cada_vae": {},
    "eszsl": {},
    "f_clswgan": {},
    "f_vaegan": {},
    "sae": {},
}


def our_cell(
    method="acmr", dataset="CUB", features="res101", attributes="att", preprocessing="minmax",
    setting="inductive", **config,
) -> Cell:  # fmt: skip
    released = facts()["released"].get(method, {})
    full = released.get("all", {}) | released.get(dataset, {}) | CONFIG[method] | config
    described = identity(
        dataset={
            "fingerprint": "0123456789abcdef", "trainval_order": "",
            "features": features, "attributes": attributes,
        },
        preprocessing=preprocessing,
        setting=setting,
        method={"name": method, "version": "1", "source": None, "config": full},
        seed=0,
        precision="float32",
    )  # fmt: skip
    described["where"] = dataset
    return Cell(
        key=digest(described), identity=described, dataset=dataset,
        method=method, label=method.upper(), seed=0,
        request={"use": dataset, "features": features, "attributes": attributes},
        about={"fidelity": "paper", "citation": "", "deterministic": False, "distribution": "x"},
    )  # fmt: skip


def compare(tmp_path, *cells: Cell, selection=("best_test",), h=50.0):
    store = RecordStore(tmp_path / "out")
    names = ("acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc", "ausuc")
    metrics = dict(zip(names, (h - 1, h + 1, h, h + 2, 30.0), strict=True))
    for cell in cells:
        rows_ = [{"number": 1, "metrics": metrics}]
        commit(store, cell, {"status": "complete", "checkpoints": rows_})
    suite = ResolvedSuite("s", "", tuple(selection), tuple(cells), (), "name: s\n")
    results = Results(suite, store)
    table = rows(results)
    return table, results, beside(table, results)


def test_the_difference_where_everything_agrees(tmp_path):
    _, _, lines = compare(tmp_path, our_cell())
    second, third = lines
    assert (second["published"], second["source"][-7:]) == ("ACMR", "Table 2")
    # 50 - 55.3, 49 - 53.1, 51 - 57.7.
    assert second["difference"] == {"acc_unseen": -4.1, "acc_seen": -6.7, "harmonic_mean": -5.3}
    assert third["difference"] == {"harmonic_mean": -5.2}
    assert second["status"] == "contradiction"
    assert second["their_selection"] == "best_test"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"features": "resnet_fc1000"}, "not comparable: features resnet_fc1000, theirs res101"),
        ({"attributes": "sent.npy"}, "not comparable: class embedding sent.npy, theirs att"),
        ({"setting": "transductive"}, "not comparable: transductive"),
        (
            {"preprocessing": "minmax_refit_on_test"},
            "not comparable: preprocessing minmax_refit_on_test",
        ),
        ({"epochs": 5}, "not comparable: configuration: epochs 5 instead of 100"),
    ],
)
def test_no_difference_where_something_differs(tmp_path, options, why):
    table, results, lines = compare(tmp_path, our_cell(**options))
    assert lines
    assert all(line["difference"] is None for line in lines)
    assert {line["comparable"] for line in lines} == {why}
    assert why in render_beside(table, results)


def test_a_row_that_failed_its_audit_is_compared_with_nothing(tmp_path):
    table, results, _ = compare(tmp_path, our_cell())
    lines = beside(
        [replace(row, audit="FAILED: scores depend on what it was shown") for row in table], results
    )
    assert {line["comparable"] for line in lines} == {"not comparable: failed the audit"}
    assert all(line["difference"] is None for line in lines)


def test_what_the_audit_calls_not_comparable_gets_no_difference(tmp_path):
    _, _, lines = compare(tmp_path, our_cell("eszsl", "SUN"))
    by_split = [(line["comparable"], line["status"]) for line in lines]
    assert ("not comparable: standard split", "not comparable: standard split") in by_split
    gbu = next(line for line in lines if line["theirs"].get("harmonic_mean") == 15.8)
    assert gbu["difference"]["harmonic_mean"] == pytest.approx(34.2)
    zsl = next(line for line in lines if line["theirs"] == {"zsl_acc": 54.5})
    assert zsl["difference"] == {"zsl_acc": -2.5}


def test_ablations_go_to_the_rows_of_table_3(tmp_path):
    for flags, name in (
        ((True, True), "ACMR"),
        ((False, False), "Dual-VAE"),
        ((True, False), "IE-VAE"),
        ((False, True), "VSA-VAE"),
    ):
        assert published_names(our_cell(iem=flags[0], vsa=flags[1])) == [name]
    assert published_names(our_cell(attention="identity")) == []
    assert published_names(our_cell("cada_vae")) == ["CADA-VAE"]
    assert published_names(our_cell("f_clswgan")) == ["f-CLSWGAN"]
    assert published_names(our_cell("f_vaegan")) == ["f-VAEGAN-D2"]


def test_a_difference_across_rules_is_marked(tmp_path):
    table, results, _ = compare(tmp_path, our_cell(), selection=("last", "best_test"))
    text = render_beside(table, results)
    lines = [line for line in text.splitlines() if "Table 2" in line]
    assert ["-5.3*" in line for line in lines] == [True, False]
    assert "not a fair difference" in text
    assert render_beside(table, results).startswith("| Data set")


def test_every_format(tmp_path):
    table, results, lines = compare(tmp_path, our_cell())
    (own,) = json.loads(render_beside(table, results, "json"))
    assert [p["published"] for p in own["published"]] == ["ACMR", "ACMR"]
    assert own["harmonic_mean"]["mean"] == 50.0
    read = list(csv.DictReader(io.StringIO(render_beside(table, results, "csv"))))
    assert [line["H - theirs"] for line in read] == ["-5.3", "-5.2"]
    assert r"best\_test" in render_beside(table, results, "latex")


def test_a_method_nobody_printed(tmp_path):
    cell = replace(our_cell(), method="mine")
    table, results, lines = compare(tmp_path, cell)
    assert lines == []
    assert "holds no printed number" in render_beside(table, results)
    assert changed(cell) == {}


def test_every_classic_method_has_its_name_in_the_literature(tmp_path):
    printed = {entry.method for entry in entries() if entry.table == "gbu"}
    ours = {}
    for item in facts()["ours"]:
        ours.setdefault(item["method"], []).append(item["published"])
    for name in ("dap", "conse", "sae", "gfzsl", "sync", "sse", "eszsl"):
        assert set(ours[name]) <= printed
    for name in ("devise", "sje", "ale", "latem", "dem"):
        assert set(ours[name]) <= printed
    # The registry's source of GBU's numbers has no rows of these three.
    assert [ours[n] for n in ("iap", "cmt", "cmt_star")] == [["IAP"], ["CMT"], ["CMT*"]]
    assert not {"IAP", "CMT", "CMT*"} & printed


def test_each_direction_of_sae_has_its_own_rows(tmp_path):
    forth, back = (
        our_cell("sae", direction=direction) for direction in ("to_attributes", "to_features")
    )
    assert published_names(forth) == ["SAE", "SAE F->S"]
    assert published_names(back) == ["SAE S->F"]
    _, _, lines = compare(tmp_path, back)
    # S->F on CUB, github mvp18: 15.72/57.02/24.64; ours are 49/51/50.
    gzsl = next(line for line in lines if "harmonic_mean" in line["theirs"])
    assert gzsl["difference"] == {
        "acc_unseen": 33.28, "acc_seen": -6.02, "harmonic_mean": 25.36,
    }  # fmt: skip


def test_values_of_gfzsl_s_released_code_are_our_defaults():
    from gzsl_bench import DatasetInfo
    from gzsl_bench.hooks.manager import load_plugins

    methods = load_plugins().methods
    if "gfzsl" not in methods:
        pytest.skip("the plugin of gfzsl is not installed")
    factory, released = methods["gfzsl"].factory, facts()["released"]["gfzsl"]
    for dataset in ("CUB", "SUN", "AWA1"):
        given_ = dict(factory.defaults(DatasetInfo(dataset, "res101", "att")))
        config = factory.Config.model_validate(given_).model_dump(mode="json")
        wanted = released["all"] | released[dataset]
        assert {k: config[k] for k in wanted} == wanted


@pytest.mark.parametrize("name", ["acmr", "cada_vae", "ce_gzsl", "f_clswgan", "tf_vaegan"])
def test_released_values_are_those_of_the_plugins(name):
    from gzsl_bench import DatasetInfo
    from gzsl_bench.hooks.manager import load_plugins

    methods = load_plugins().methods
    if name not in methods:
        pytest.skip(f"the plugin of {name} is not installed")
    factory = methods[name].factory
    released = facts()["released"][name]
    for dataset in set(released) - {"all"}:
        given_ = dict(factory.defaults(DatasetInfo(dataset, "res101", "att")))
        config = factory.Config.model_validate(given_).model_dump(mode="json")
        wanted = released["all"] | released[dataset]
        assert {k: config[k] for k in wanted} == wanted
        assert set(config) - set(wanted) <= {"iem", "vsa", "attention", "evaluate_every"}


# The command -------------------------------------------------------------------------------------


def test_the_command(capsys):
    assert run(["published", "audit", "--format", "json"]) == 0
    said = capsys.readouterr()
    lines = json.loads(said.out)
    assert len(lines) == len(audit.findings())
    assert f"{len(lines)} findings" in said.err
    assert run(["published", "list", "--format", "csv", "--dataset", "FLO"]) == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["dataset"] for line in read} == {"FLO"}
    assert all(line["status"] and line["source"] for line in read)
    assert run(["published", "list"]) == 0
    assert capsys.readouterr().out.startswith("| table")
    assert run(["published", "audit", "--method", "AMCR"]) == 2
    assert "did you mean 'ACMR'?" in capsys.readouterr().err


def test_the_audit_begins_with_counts_and_fits_a_terminal(capsys):
    assert run(["published", "audit"]) == 0
    counts, details = capsys.readouterr().out.split("\n\n")
    body = [[c.strip() for c in line.split("|")[1:-1]] for line in counts.splitlines()[2:]]
    kinds = Counter((f.table, f.status.partition(":")[0]) for f in audit.findings())
    assert {(table, kind): int(n) for table, kind, n in body} == kinds
    assert sum(line.startswith("* ") for line in details.splitlines()) == len(audit.findings())
    words = [w for line in (counts, details) for w in line.split()]
    longest = max(80, 2 + max(map(len, words)))  # a word is not torn apart
    assert max(len(line) for line in f"{counts}\n{details}".splitlines()) <= longest
    # One method of one data set has a list of its own, too; nothing found, nothing counted.
    assert run(["published", "audit", "--method", "DAZLE", "--dataset", "CUB"]) == 0
    assert "Findings in table" in capsys.readouterr().out
    assert run(["published", "audit", "--method", "GMN"]) == 0
    assert capsys.readouterr().out == ""


def test_releases_and_page_are_printed(capsys):
    assert run(["published", "releases", "--format", "csv"]) == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["method"] for line in read] == [release.method for release in releases()]
    assert run(["published", "releases"]) == 0
    assert capsys.readouterr().out.startswith("| method")
    assert run(["published", "page"]) == 0
    assert capsys.readouterr().out.startswith("# Published numbers")


def test_a_quotation_of_a_row_that_is_there_is_not_set_beside_ours_again(tmp_path):
    _, _, lines = compare(tmp_path, our_cell("cada_vae"))
    shown = [(line["printed"]["U"], line["source"]) for line in lines if "U" in line["printed"]]
    assert [n for n, source in shown if source == TABLES["acmr-2"]] == ["51.6"]
    assert not [source for n, source in shown if n == "51.6" and "SCFA" in source]
    # Another class embedding is another row.
    assert [n for n, _ in shown if n == "52.0"] == ["52.0"]
