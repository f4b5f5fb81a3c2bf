"""Every complaint about a suite file names file and line and says what would be right."""

from __future__ import annotations

import json
import re
import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gzsl_bench import Config, Method, MethodSpec, stackable
from gzsl_bench.errors import GzslBenchError, SuiteError
from gzsl_bench.suite.load import LoadedSuite, check_names, load_suite
from gzsl_bench.suite.schema import Suite, json_schema


class Knobs(Config):
    width: int = 4
    rate: float = stackable(0.1, "learning rate", gt=0)


class Plain(Method):
    Config = Knobs

    def fit(self, task, run):
        return None


SPECS = (
    MethodSpec("acmr", Plain, citation="", fidelity="paper"),
    MethodSpec("eszsl", Plain, citation="", fidelity="paper"),
)

GOOD = """\
name: good
datasets: [tiny]
methods: [acmr]
"""


@pytest.fixture
def complaint(tmp_path, make_registry):
    """The text of the error a suite file gets, file name cut off: ``LINE: sentence``."""

    def ask(text: str) -> str:
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SuiteError) as caught:
            check_names(load_suite(path), make_registry(*SPECS), ["FOLDER"], tmp_path)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(f"{path}:")
        return message.removeprefix(f"{path}:")

    return ask


WRONG = {
    "unknown key": (
        "name: a\ndatasets: [tiny]\nmethodes: [acmr]\n",
        "3: unknown key 'methodes'; did you mean 'methods'?",
    ),
    "unknown key in a data set": (
        "name: a\nmethods: [acmr]\ndatasets:\n  - tiny\n  - use: tiny\n    feature: x\n",
        "6: unknown key 'feature'; did you mean 'features'?",
    ),
    "unknown key in a method": (
        "name: a\ndatasets: [tiny]\nmethods:\n- {use: acmr, lable: x}\n",
        "4: unknown key 'lable'; did you mean 'label'?",
    ),
    "missing key": ("name: a\ndatasets: [tiny]\n", "1: the key 'methods' is missing"),
    "missing use": (
        "name: a\ndatasets: [tiny]\nmethods:\n  - acmr\n  - {label: x}\n",
        "5: the key 'use' is missing",
    ),
    "wrong type": (
        "name: a\ndatasets: tiny\nmethods: [acmr]\n",
        "2: 'datasets' should be a list, not 'tiny'",
    ),
    "number for a name": (
        "name: a\ndatasets: [tiny]\nmethods: [acmr, 3]\n",
        "3: 'methods[1]' should be a name or a mapping",
    ),
    "empty list": ("name: a\ndatasets: []\nmethods: [acmr]\n", "2: 'datasets' is empty"),
    "name": ("name: a b\ndatasets: [tiny]\nmethods: [acmr]\n", "1: 'name' is 'a b', but only"),
    "precision": (GOOD + "precision: float16\n", "4: 'precision' is 'float16', but 'float32'"),
    "duplicate key": ("name: a\ndatasets: [tiny]\nname: b\n", "3: the key 'name' stands here"),
    "duplicate key inside": (
        "name: a\ndatasets: [tiny]\nmethods:\n  - use: acmr\n    config:\n"
        "      width: 1\n      width: 2\n",
        "7: the key 'width' stands here twice",
    ),
    "invalid": ("name: a\ndatasets: [tiny\nmethods: [acmr]\n", "3: this is no valid YAML"),
    "tab": ("name: a\n\tdatasets: [tiny]\n", "2: this is no valid YAML"),
    "python object": (
        "name: !!python/object/apply:os.getpid []\n",
        "1: this is no valid YAML: could not determine a constructor",
    ),
    "two documents": (GOOD + "---\nname: b\n", "4: this is no valid YAML"),
    "a list": ("- name: a\n", "1: a suite is a mapping"),
    "empty": ("", "1: a suite is a mapping"),
    "unknown method": (
        "name: a\ndatasets: [tiny]\nmethods:\n  - acmr\n  - {use: esszl}\n",
        "5: unknown method 'esszl'; did you mean 'eszsl'? available: acmr, eszsl",
    ),
    "unknown data set": (
        "name: a\nmethods: [acmr]\ndatasets:\n  - tiny\n  - folder\n",
        "5: unknown data set 'folder'; did you mean 'FOLDER'? available: FOLDER, tiny",
    ),
    "unknown recipe": (
        "name: a\nmethods: [acmr]\ndatasets:\n  - tiny\n  - {use: FOLDER, recipe: tinny}\n",
        "5: unknown data set as a recipe 'tinny'; did you mean 'tiny'? available: FOLDER, tiny",
    ),
    "a method of a file": (
        "name: a\ndatasets: [tiny]\nmethods: [quite_other]\n",
        "3: unknown method 'quite_other'; available: acmr, eszsl; one of a file comes with --plug",
    ),
    "path of data": (
        "name: a\nmethods: [acmr]\ndatasets: [./my/tiny]\n",
        "3: './my/tiny' is a path; a suite names the folder, 'tiny', and --data what it lies in",
    ),
    "unknown config key": (
        "name: a\ndatasets: [tiny]\nmethods:\n  - use: acmr\n    config:\n      widht: 3\n",
        "6: unknown key 'widht'; did you mean 'width'? available: rate, width",
    ),
    "config type": (
        "name: a\ndatasets: [tiny]\nmethods:\n  - use: acmr\n    config:\n      width: wide\n",
        "6: 'width' should be a whole number, not 'wide'",
    ),
    "config range": (
        "name: a\ndatasets: [tiny]\nmethods:\n  - use: acmr\n    config: {rate: 0}\n",
        "5: 'rate' is 0: input should be greater than 0",
    ),
    "config no mapping": (
        "name: a\ndatasets: [tiny]\nmethods:\n  - use: acmr\n    config: 3\n",
        "5: 'config' should be a mapping, not 3",
    ),
    "preprocessing": (
        "name: a\nmethods: [acmr]\ndatasets:\n  - use: tiny\n    preprocessing: minmx\n",
        "5: unknown preprocessing 'minmx'; did you mean 'minmax'?",
    ),
    "val of a scaler that leaks": (
        "name: a\ndatasets: [tiny]\nselection: [last, val]\nmethods:\n  - acmr\n"
        "  - {use: acmr, label: b, preprocessing: minmax_refit_on_test}\n",
        "6: the preprocessing 'minmax_refit_on_test' of 'b' sees the test set, so it cannot be"
        " combined with the selection rule 'val'; give it a suite of its own",
    ),
    "calibration of data whose scaler leaks": (
        "name: a\ncalibration: true\nmethods: [acmr]\ndatasets:\n  - use: tiny\n"
        "    preprocessing: minmax_refit_on_test\n",
        "5: the preprocessing 'minmax_refit_on_test' of 'acmr' sees the test set, so it cannot be"
        " combined with calibration",
    ),
    "calibration without an honest rule": (
        GOOD + "selection: [best_test]\ncalibration: true\n",
        "5: calibration is chosen on validation folds, so it needs 'last' or 'val' as a rule",
    ),
    "no folds": (GOOD + "folds: 0\n", "4: 'folds' is 0: input should be greater than or equal"),
    "folds as text": (GOOD + "folds: three\n", "4: 'folds' should be a whole number"),
    "too many folds": (GOOD + "folds: 21\n", "4: 'folds' is 21: input should be less than"),
    "val_seeds as text": (GOOD + "val_seeds: one\n", "4: 'val_seeds' should be a whole number or"),
    "no val_seeds": (GOOD + "val_seeds: 0\n", "4: a number of seeds must lie between 1 and"),
    "calibration as text": (GOOD + "calibration: soon\n", "4: 'calibration' should be true or"),
    "unknown rule": (
        GOOD + "selection: [last, best]\n",
        "4: unknown selection rule 'best'; did you",
    ),
    "one label for two": (
        GOOD.replace("[tiny]", "[tiny, {use: digits, label: tiny}]"),
        "2: two data sets are called 'tiny'; give each a `label` of its own",
    ),
    "rule with a bias": (
        GOOD + "selection: [val+gamma]\n",
        "4: 'val+gamma' is how tables call 'val' with a bias: list 'val', and say",
    ),
    "rule that takes no bias": (
        GOOD + "selection: [best_test+gamma]\n",
        "4: 'best_test' takes no bias: list 'best_test'",
    ),
    "unknown rule with a bias": (
        GOOD + "selection: [vla+gamma]\n",
        "4: unknown selection rule 'vla'; did you mean 'val'",
    ),
    "label nobody sees": (
        GOOD.replace("[acmr]", '[{use: acmr, label: "a\\nb"}]'),
        "3: 'a\\nb' holds '\\n', which nobody sees",
    ),
    "label that looks the same": (
        GOOD.replace("[acmr]", '[{use: acmr, label: "acmr\\u200b"}]'),
        "3: 'acmr\\u200b' holds '\\u200b', which nobody sees",
    ),
    "rule as text": (GOOD + "selection: last\n", "4: 'selection' should be a list"),
    "rule twice": (GOOD + "selection: [last, last]\n", "4: the same rule is listed twice"),
    "seed twice": (GOOD + "seeds: [1, 2, 1]\n", "4: the same seed is listed twice"),
    "no seeds": (GOOD + "seeds: 0\n", "4: a number of seeds must lie between 1 and 10000"),
    "empty seeds": (GOOD + "seeds: []\n", "4: 'seeds' is empty"),
    "negative seed": (GOOD + "seeds: [0, -1]\n", "4: 'seeds[1]' is -1: input should be greater"),
    "seed as text": (GOOD + "seeds: [0, one]\n", "4: 'seeds[1]' should be a whole number"),
    "seed as fraction": (GOOD + "seeds: [0.5]\n", "4: 'seeds[0]' should be a whole number"),
    "seed true": (GOOD + "seeds: true\n", "4: 'seeds' should be a"),
    "seed true in a list": (GOOD + "seeds: [true]\n", "4: 'seeds[0]' should be a whole number"),
    "seed twice for a method": (
        "name: a\ndatasets: [tiny]\nmethods:\n  - use: acmr\n    seeds: [1, 1]\n",
        "5: the same seed is listed twice",
    ),
    "seed twice on a data set": (
        "name: a\nmethods: [acmr]\ndatasets:\n  - use: tiny\n    seeds: [1, 1]\n",
        "5: the same seed is listed twice",
    ),
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "tune: {width: [1]}\n", "; 'tune' is a key of an entry of `methods`"),
        (GOOD + "features: x\n", "; 'features' is a key of an entry of `datasets`"),
        (
            GOOD.replace("[acmr]", "[{use: acmr, selection: [val]}]"),
            "; 'selection' is a key of the whole suite",
        ),
        (
            GOOD.replace("[acmr]", "[{use: acmr, width: 3}]"),
            "; hyper-parameters of the method stand under `config`",
        ),
        (GOOD.replace("name: ", "name: ß"), "only the letters a to z and A to Z, digits"),
        (
            GOOD.replace("name: ", "name: " + 300 * "n"),
            "letters, 'nnnnnnnnnnnnnnnnnnnn'..., but 80 are the most",
        ),
    ],
)
def test_where_a_key_belongs_and_what_a_name_may_be(complaint, text, said):
    assert said in complaint(text)


@pytest.mark.parametrize("case", WRONG)
def test_complaints(complaint, case):
    text, expected = WRONG[case]
    assert complaint(text).startswith(expected), complaint(text)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (
            "name: a\ndatasets: [tiny]\nmethods:\n  - acmr\n  - {use: acmr, config: {width: 2}}\n",
            5,
            "two methods are called 'acmr'; give each entry a `label`",
        ),
        (
            "name: a\nmethods: [acmr]\ndatasets:\n  - tiny\n  - tiny\n",
            5,
            "the data set 'tiny' is listed twice",
        ),
        (
            "name: a\ndatasets: [tiny]\nmethods:\n  - use: acmr\n    datasets: [small]\n",
            5,
            "method 'acmr' names the data set 'small', which this suite does not list",
        ),
    ],
)
def test_complaints_about_the_whole_name_the_line_too(complaint, text, line, expected):
    found, sentence = complaint(text).split(": ", 1)
    assert sentence.startswith(expected)
    assert int(found) == line


@pytest.mark.parametrize("number", [10**9, 10**18, 10**30])
def test_absurd_numbers_of_seeds_are_refused(complaint, number):
    """In a sentence, not by running out of memory."""
    if number < 10**18:
        import resource

        limits = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as statm:  # noqa: PTH123
            now = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 2**29, limits[1]))
    try:
        assert complaint(GOOD + f"seeds: {number}\n").startswith("4: ")
    finally:
        if number < 10**18:
            resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("value", ["!!bool maybe", "!!timestamp soon", "!!int ''", "!!float x"])
def test_a_tag_that_does_not_fit_its_value_is_invalid_yaml(complaint, value):
    assert "no valid YAML" in complaint(f"name: a\ndescription: {value}\n")


@pytest.mark.parametrize(("written", "read", "why"), [
    ("010", "8", "a leading zero asks for base 8"),
    ("-007", "-7", "a leading zero asks for base 8"),
    ("08", "'08'", "a leading zero asks for base 8"),
    ("1:30", "90", "colons mean base 60"),
    ("-1:30.5", "-90.5", "colons mean base 60"),
    ("1_000", "1000", "underscores are passed over"),
    ("1_0.5", "10.5", "underscores are passed over"),
    ("0x1_0", "16", "underscores are passed over"),
])  # fmt: skip
def test_numbers_that_mean_another_one_are_refused(complaint, written, read, why):
    for line in (f"seeds: {written}", f"seeds:\n- {written}"):
        text = complaint(GOOD + line + "\n")
        assert text == (
            f"{3 + len(line.splitlines())}: {written} would be read as {read}, for in YAML {why};"
            f" write the number plainly, or quote it ('{written}') if it is a text"
        )
    assert "would be read" not in complaint(GOOD + f"seeds: '{written}'\n")


def test_numbers_that_mean_what_they_say(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(GOOD + "seeds: [0, 0x10, 12]\ndescription: 1.2.3_4 at 08:30\n")
    assert load_suite(path).suite.seeds == [0, 16, 12]
    path.write_text("name: g\ndatasets: [t]\nmethods: [{use: m, config: {a: [0.5, 007.5, 1e3]}}]\n")
    assert load_suite(path).suite.methods[0].config == {"a": [0.5, 7.5, "1e3"]}


@pytest.mark.parametrize("word", ["no", "Yes", "on", "OFF", "y", "2026-01-31", "="])
def test_words_and_dates_are_texts(tmp_path, complaint, word):
    path = tmp_path / "s.yaml"
    path.write_text(f"name: g\ndatasets: [{word}]\nmethods: [{{use: m, label: {word}}}]\n")
    suite = load_suite(path).suite
    assert (suite.datasets[0].use, suite.methods[0].label) == (word, word)
    assert complaint(GOOD + f"calibration: {word}\n") == (
        f"4: 'calibration' should be true or false, not {word!r}"
    )


@pytest.mark.parametrize(("line", "text"), [
    ("name: true", "1: 'name' should be a text, not True; quote it if it is a name"),
    ("name: 12", "1: 'name' should be a text, not 12; quote it if it is a name"),
    ("name: [a]", "1: 'name' should be a text, not ['a']"),
    ("methods: [1.5]", "1: 'methods[0]' should be a name or a mapping with `use`, not 1.5;"
     " quote it if it is a name"),
    ("1: x", "1: keys are texts, not '1'; quote it"),
])  # fmt: skip
def test_what_is_to_be_a_text_is_to_be_quoted(complaint, line, text):
    key = line.split(":")[0]
    rest = [other for other in GOOD.splitlines() if not other.startswith(f"{key}:")]
    assert complaint("\n".join([line, *rest]) + "\n") == text


def test_merge_keys(tmp_path, complaint):
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: g\ndatasets: [t]\nmethods:\n"
        "- &one {use: m, label: one, config: {a: 1}}\n"
        "- &two {use: n, seeds: 2}\n"
        "- {<<: *one, label: three}\n"
        "- {label: four, <<: [*two, *one]}\n"
    )
    methods = load_suite(path).suite.methods
    assert [(m.use, m.label, m.config, m.seeds) for m in methods[2:]] == [
        ("m", "three", {"a": 1}, None), ("n", "four", {"a": 1}, [0, 1]),
    ]  # fmt: skip
    assert complaint(GOOD + "<<: [1]\n").startswith("4: this is no valid YAML: expected a mapping")
    # What is merged is checked where it stands.
    wrong = (
        "name: g\ndatasets: [t]\nmethods:\n- &a {use: acmr,\n  lable: x}\n- {<<: *a, use: eszsl}\n"
    )
    assert complaint(wrong).startswith("5: unknown key 'lable'")
    assert complaint("a: &a {<<: *a}\n").startswith("1: unknown key 'a'")


def test_keys_that_are_no_text(complaint):
    for key in ("1", "null", "true", "2020-01-01"):
        assert complaint(GOOD + f"{key}: x\n").startswith("4: "), key


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SuiteError, match="there is no suite file"):
        load_suite(tmp_path / "no.yaml")
    with pytest.raises(SuiteError, match="is a folder"):
        load_suite(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(SuiteError, match="cannot be read"):
        load_suite(tmp_path / "b.yaml")


@pytest.mark.parametrize(("text", "seeds"), [("5", [0, 1, 2, 3, 4]), ("[7, 3]", [7, 3])])
def test_seeds(tmp_path, text, seeds):
    path = tmp_path / "s.yaml"
    path.write_text(GOOD + f"seeds: {text}\n")
    assert load_suite(path).suite.seeds == seeds


def test_the_defaults(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(GOOD)
    suite = load_suite(path).suite
    assert (suite.seeds, suite.selection, suite.precision) == ([0], ["last"], "float32")
    assert suite.methods[0].use == "acmr"


def test_a_broken_plugin_is_mentioned_where_a_method_is_unknown(tmp_path, make_registry):
    from gzsl_bench.hooks.manager import BrokenPlugin

    registry = make_registry(*SPECS)
    registry.broken.append(BrokenPlugin("cada", "gzsl-cada", "cannot be loaded: ImportError"))
    path = tmp_path / "s.yaml"
    path.write_text(GOOD.replace("acmr", "cada_vae"))
    with pytest.raises(SuiteError, match=r"'cada_vae'.*plugin 'cada' \(gzsl-cada\)"):
        check_names(load_suite(path), registry, ())


# Garbage -----------------------------------------------------------------------------------------

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 40),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["tiny", "acmr", "last", "val", "use", "good"]),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["use", "label", "config", "seeds", "features", "datasets"]),
                st.text(max_size=5),
                st.integers(),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
_suites = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.just("good"), _values),
        "datasets": st.one_of(st.just(["tiny"]), st.lists(_values, max_size=3), _values),
        "methods": st.one_of(st.just(["acmr"]), st.lists(_values, max_size=3), _values),
        "seeds": _values,
        "selection": _values,
        "description": _values,
        "extra": _values,
    },
)


def suite_or_sentence(path, registry):
    try:
        loaded = load_suite(path)
        check_names(loaded, registry, ())
    except SuiteError as error:
        message = str(error)
    else:
        assert isinstance(loaded, LoadedSuite)
        return
    assert "\n" not in message
    assert str(path) in message


LIGHT = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(_suites)
@LIGHT
def test_garbage_gets_a_sentence(tmp_path, make_registry, content):
    path = tmp_path / "g.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    suite_or_sentence(path, make_registry(*SPECS))


@given(
    st.text(
        st.sampled_from(string.ascii_lowercase[:6] + "01:-[]{}&*!?|>'\"#%@ \n\t,."), max_size=40
    )
)
@LIGHT
def test_random_text_gets_a_sentence(tmp_path, make_registry, text):
    path = tmp_path / "g.yaml"
    path.write_text(text, encoding="utf-8")
    suite_or_sentence(path, make_registry(*SPECS))


@given(st.binary(max_size=40))
@LIGHT
def test_random_bytes_get_a_sentence(tmp_path, make_registry, blob):
    path = tmp_path / "g.yaml"
    path.write_bytes(blob)
    suite_or_sentence(path, make_registry(*SPECS))


def test_deep_and_circular_documents(tmp_path, make_registry):
    path = tmp_path / "g.yaml"
    for text in ("[" * 3000, "name: &a [*a]\n", "&a {name: *a}\n", "- " * 3000 + "x"):
        path.write_text(text)
        with pytest.raises(GzslBenchError):
            check_names(load_suite(path), make_registry(*SPECS), ())


def test_the_schema_is_for_editors():
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"name", "datasets", "methods"}
    assert set(schema["properties"]) == set(Suite.model_fields)
    assert re.match("https://json-schema.org", schema["$schema"])


def test_a_precision_the_method_does_not_offer(complaint, tmp_path, make_registry):
    text = GOOD + "precision: bf16\n"
    assert complaint(text) == (
        "3: method 'acmr' cannot train in bf16; give this entry a `precision` of its own: float32"
    )
    own = GOOD.replace("[acmr]", "\n  - use: acmr\n    precision: tf32")
    assert complaint(own).startswith("5: method 'acmr' cannot train in tf32;")
    assert "'fp16'" in complaint(GOOD + "precision: fp16\n")
    path = tmp_path / "fine.yaml"
    path.write_text(text.replace("[acmr]", "[{use: acmr, precision: float32}]"), encoding="utf-8")
    check_names(load_suite(path), make_registry(*SPECS), [])


def test_a_folder_that_is_no_data_set_says_what_it_lacks(complaint, tmp_path):
    (tmp_path / "BARE").mkdir()
    assert complaint("name: a\ndatasets: [BARE]\nmethods: [acmr]\n") == (
        f"2: the folder {tmp_path / 'BARE'} is no data set: it has neither att_splits.mat nor"
        " dataset.yaml (docs/dataset-plugins.md)"
    )
