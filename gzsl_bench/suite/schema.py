"""What a suite file may say; checked by pydantic, which also gives editors a JSON schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
)

from gzsl_bench.errors import SuiteError
from gzsl_bench.scoring.rules import GAMMA, RULES, Last, rule_of
from gzsl_bench.suite.space import SearchKind, Space, Trials
from gzsl_bench.suite.space import contradiction as space_contradiction
from gzsl_bench.suite.sweep import Sweep, variants


def _rule(value: str) -> str:
    plain = value.removesuffix(GAMMA)
    try:
        rule = rule_of(plain)
    except SuiteError as error:
        raise ValueError(str(error)) from None
    if plain == value:
        return rule.name
    if not rule.calibrates:
        raise ValueError(f"{plain!r} takes no bias: list {plain!r}")
    raise ValueError(
        f"{value!r} is how tables call {plain!r} with a bias: list {plain!r}, and say"
        " `calibration: true`"
    )


_ALONG = "|".join(name for name, rule in RULES.items() if rule.searches)
Selection = Annotated[
    str,
    AfterValidator(_rule),
    WithJsonSchema({"anyOf": [{"enum": list(RULES)}, {"pattern": rf"^({_ALONG})\.[A-Za-z_]\w*$"}]}),
]
Precision = Literal["float32", "tf32", "bf16"]


def _visible(value: str) -> str:
    """A label stands in tables, files and commands, where two that look alike would be one."""
    if odd := [letter for letter in value if not letter.isprintable()]:
        raise ValueError(
            f"{value!r} holds {odd[0]!r}, which nobody sees; letters, digits, signs and spaces are"
            " fine"
        )
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


#: More is a slip of the keyboard.
MOST_SEEDS = 10_000
MOST_FOLDS = 20


def _seed_list(value: Any) -> Any:
    """``seeds: 5`` means 0, 1, 2, 3, 4."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_SEEDS:
            raise ValueError(f"a number of seeds must lie between 1 and {MOST_SEEDS}")
        return list(range(value))
    return value


def _no_repeats(value: list[int]) -> list[int]:
    if len(set(value)) != len(value):
        raise ValueError("the same seed is listed twice")
    return value


Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**31, strict=True)]],
    BeforeValidator(_seed_list, json_schema_input_type=int | list[int]),
    Field(min_length=1, max_length=MOST_SEEDS),
    AfterValidator(_no_repeats),
]


class _Entry(_Strict):
    use: str
    label: str | None = None

    @property
    def name(self) -> str:
        """How tables call it."""
        return self.label or self.use


class DatasetEntry(_Entry):
    """One data set of a suite; a plain string stands for ``use`` alone."""

    use: str = Field(
        description="name of a registered data set, or of a folder under the data folder"
    )
    label: Name | None = Field(None, description="how tables call it; the name by default")
    features: str | None = Field(
        None,
        description="feature set: stem of a feature file, e.g. res101, or a name of dataset.yaml",
    )
    attributes: str | None = Field(
        None,
        description="class embedding: a key of att_splits.mat, FILE.mat:KEY, FILE.npy, or a name of"
        " dataset.yaml",
    )
    regions: str | None = Field(
        None,
        description="region maps, for methods that need them: stem of an .npy file in regions/, or"
        " a name of dataset.yaml [default: the only ones there are]",
    )
    second: str | None = Field(None, description="a second feature set, for methods that need one")
    recipe: str | None = Field(
        None,
        description="name of the data set whose released hyper-parameters methods take as defaults"
        " [default: its own]",
    )
    preprocessing: str | None = Field(
        None, description="overrides the preprocessing that methods declare"
    )
    seeds: Seeds | None = Field(None, description="overrides the suite's seeds on this data set")


class MethodEntry(_Entry):
    """One method of a suite; a plain string stands for ``use`` alone."""

    use: str = Field(description="name of an installed method")
    label: Annotated[str, AfterValidator(_visible)] | None = Field(
        None, min_length=1, max_length=80, description="how tables call it; the name by default"
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="hyper-parameters that differ from the method's defaults"
    )
    preprocessing: str | None = Field(
        None, description="overrides the preprocessing the method declares"
    )
    precision: Precision | None = Field(
        None, description="overrides the suite's arithmetic for this method"
    )
    seeds: Seeds | None = Field(None, description="overrides the suite's seeds for this method")
    datasets: list[str] | None = Field(
        None, min_length=1, description="labels of the data sets it runs on; all by default"
    )
    sweep: Sweep | None = Field(
        None,
        description="hyper-parameters with the values that each takes, one after the other, all"
        " else as it is; the points are rows of their own, shown and never ranked",
    )
    sweep_seeds: Seeds | None = Field(
        None, description="seeds of the swept points; those of the entry by default"
    )
    tune: Space | None = Field(
        None,
        description="what `gzsl-bench tune` tries: for each hyper-parameter a list of values, or a"
        " range with low, high and log",
    )
    search: SearchKind | None = Field(
        None, description="overrides the suite's kind of search for this method"
    )
    trials: Trials | None = Field(
        None, description="overrides the suite's number of trials for this method"
    )


def _entry(value: Any) -> Any:
    return {"use": value} if isinstance(value, str) else value


class Suite(_Strict):
    """A checked suite file: which methods run on which data sets, with which seeds."""

    name: Name = Field(description="name of the suite and of its MLflow experiment")
    description: str = Field("", description="what the suite is for")
    plugins: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="plugin files or package folders that are not installed, relative to the suite",
    )
    datasets: list[Annotated[DatasetEntry, BeforeValidator(_entry)]] = Field(
        min_length=1, description="data sets: names, or mappings with `use`"
    )
    methods: list[Annotated[MethodEntry, BeforeValidator(_entry)]] = Field(
        min_length=1, description="methods: names, or mappings with `use`"
    )
    seeds: Seeds = Field(
        default_factory=lambda: [0], description="a number of seeds, counted from 0, or a list"
    )
    selection: list[Selection] = Field(
        default=[Last.name],
        min_length=1,
        description="rules that choose the checkpoint, in the order of tables; an honest one leads",
    )
    precision: Precision = Field(
        "float32",
        description="arithmetic of training: float32, tf32 (CUDA only) or bf16 products",
    )
    folds: Annotated[int, Field(strict=True, ge=1, le=MOST_FOLDS)] = Field(
        3,
        description="validation folds that rules such as `val` and `calibration` choose on",
    )
    val_seeds: Seeds = Field(
        default_factory=lambda: [0],
        description="seeds of the folds: a number, counted from 0, or a list",
    )
    calibration: bool = Field(
        False,
        strict=True,
        description="show rules with calibrated stacking, too; the bias between seen and"
        " unseen scores is chosen on the validation folds",
    )
    search: SearchKind = Field(
        "grid",
        description="what `gzsl-bench tune` tries: all combinations of lists, or random draws",
    )
    trials: Trials | None = Field(
        None, description="how many draws a random search of `gzsl-bench tune` tries"
    )

    @property
    def needs_folds(self) -> bool:
        """Whether anything is chosen on validation folds."""
        return self.calibration or any(rule_of(rule).needs_folds for rule in self.selection)

    @field_validator("selection")
    @classmethod
    def _rules_once(cls, value: list[Selection]) -> list[Selection]:
        if len(set(value)) != len(value):
            raise ValueError("the same rule is listed twice")
        return value

    def contradiction(self) -> tuple[tuple[str | int, ...], str] | None:
        """The first thing that is wrong between entries, and where: a path of keys."""
        if self.calibration and not any(rule_of(rule).calibrates for rule in self.selection):
            fitting = " or ".join(repr(name) for name, rule in RULES.items() if rule.calibrates)
            text = f"calibration is chosen on validation folds, so it needs {fitting} as a rule"
            return ("calibration",), text
        labels: dict[str, list[MethodEntry]] = {}
        for index, method in enumerate(self.methods):
            for variant in variants(method.name, {}, method.sweep):
                if not all(_apart(method, other) for other in labels.get(variant.label, ())):
                    text = (
                        f"two methods are called {variant.label!r}; give each entry a `label` of"
                        " its own, or `datasets` that no other has"
                    )
                    return ("methods", index), text
                labels.setdefault(variant.label, []).append(method)
            if method.sweep_seeds and not method.sweep:
                text = "`sweep_seeds` is of no use without `sweep`"
                return ("methods", index, "sweep_seeds"), text
            if method.sweep and method.tune:
                text = "an entry is swept or tuned; give `tune` an entry of its own"
                return ("methods", index, "sweep"), text
        shown: dict[tuple[str | None, ...], str] = {}
        for index, entry in enumerate(self.datasets):
            more = (entry.regions, entry.second)
            form = (entry.name, entry.features, entry.attributes, entry.preprocessing, *more)
            if form in shown:
                text = f"the data set {form[0]!r} is listed twice in the same form"
                if shown[form] != entry.use:
                    text = f"two data sets are called {form[0]!r}; give each a `label` of its own"
                return ("datasets", index), text
            shown[form] = entry.use
        known = {entry.name for entry in self.datasets}
        for index, method in enumerate(self.methods):
            for place, name in enumerate(method.datasets or ()):
                if name not in known:
                    text = (
                        f"method {method.name!r} names the data set {name!r}, which"
                        f" this suite does not list; it lists {', '.join(sorted(known))}"
                    )
                    return ("methods", index, "datasets", place), text
        return self._search_contradiction()

    def kind_of_search(self, method: MethodEntry) -> SearchKind:
        """How candidates of ``method`` are found."""
        return method.search or self.search

    def _search_contradiction(self) -> tuple[tuple[str | int, ...], str] | None:
        """The first thing that is wrong about what ``gzsl-bench tune`` is to do."""
        counted = False
        for index, method in enumerate(self.methods):
            kind, trials = self.kind_of_search(method), method.trials or self.trials
            if method.tune is None:
                if method.search or method.trials:
                    text = "`search` and `trials` are of no use without a search space, `tune`"
                    return ("methods", index, "search" if method.search else "trials"), text
                continue
            if method.trials and kind == "grid":
                text = "a grid tries all combinations, so `trials` belongs to `search: random`"
                return ("methods", index, "trials"), text
            counted = counted or kind == "random"
            if found := space_contradiction(method.tune, method.config, kind, trials):
                return ("methods", index, *found[0]), found[1]
        if self.trials and not counted:
            text = "`trials` belongs to `search: random`, and no method here is searched that way"
            return ("trials",), text
        return None


def _apart(one: MethodEntry, other: MethodEntry) -> bool:
    """Whether two entries may share a label: one method with a configuration for each data set."""
    if one is other or one.use != other.use or one.datasets is None or other.datasets is None:
        return False
    return not set(one.datasets) & set(other.datasets)


def json_schema() -> dict[str, Any]:
    """JSON schema of a suite file, for editors."""
    schema = Suite.model_json_schema(mode="validation")
    # Entries may be plain strings; pydantic cannot see that through the validator.
    for key, entry in (("datasets", "DatasetEntry"), ("methods", "MethodEntry")):
        schema["properties"][key]["items"] = {
            "anyOf": [{"type": "string"}, {"$ref": f"#/$defs/{entry}"}]
        }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "gzsl-bench suite"
    return schema
