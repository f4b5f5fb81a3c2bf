"""What a method says about itself: citation, fidelity, configuration, defaults of data sets."""

from __future__ import annotations

from pydantic import ValidationError

from gzsl_bench.data.known import KNOWN
from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.errors import in_one_line, unknown_name
from gzsl_bench.hooks.asked import FAULTS
from gzsl_bench.hooks.checks import check_spec
from gzsl_bench.hooks.dataset import DatasetInfo
from gzsl_bench.hooks.method import MethodSpec
from gzsl_bench.testing.report import Broken, Checks, ends_in
from gzsl_bench.testing.trials import Trials

check: Checks[Trials] = Checks()

#: A key that no configuration has.
_STRANGE = "no_such_field_of_any_method"


@check
def citation_and_fidelity(t: Trials) -> str | None:
    """The MethodSpec is complete: it names its publication and how far to trust the code."""
    problem = check_spec(t.spec, MethodSpec, "gzsl_bench_methods")
    if problem is not None:
        raise Broken(problem)
    if t.spec.preprocessing not in PREPROCESSING:
        raise Broken(unknown_name("preprocessing", t.spec.preprocessing, PREPROCESSING))
    if not t.spec.citation.strip():
        raise Broken(
            "its citation is empty; give authors, title, venue and year in one line (or"
            " 'unpublished, by ...'), since tables and `gzsl-bench plugins` show it"
        )
    return f"{t.spec.fidelity}; {t.spec.citation}"


@check
def configuration_has_defaults(t: Trials) -> str | None:
    """Config() works without arguments, and the values to check with are accepted."""
    config = t.spec.factory.Config
    try:
        config()
    except FAULTS as error:
        raise Broken(
            f"Config() fails: {_short(error)}; give every field a default that is valid"
        ) from error
    try:
        config.model_validate(dict(t.values))
    except FAULTS as error:
        strange = sorted(t.values.keys() - config.model_fields.keys())
        why = unknown_name("key", strange[0], config.model_fields) if strange else _short(error)
        raise Broken(f"the configuration to check with is refused: {why}") from error
    return None


@check
def configuration_documented(t: Trials) -> str | None:
    """Every field of the configuration has a description."""
    fields = t.spec.factory.Config.model_fields
    silent = [name for name, field in fields.items() if not (field.description or "").strip()]
    if silent:
        raise Broken(
            f"{'these fields have' if len(silent) > 1 else 'a field has'} no description:"
            f" {', '.join(silent)}; write Field(default, description=...) or stackable(default,"
            " 'what it is')"
        )
    return None if fields else "it has no fields"


@check
def configuration_refuses_unknown_keys(t: Trials) -> str | None:
    """A key that the configuration does not have is refused, so that no typing error is lost."""
    t.config  # noqa: B018  skipped where there is none
    try:
        t.spec.factory.Config.model_validate({**t.values, _STRANGE: 1})
    except ValidationError:
        return None
    raise Broken(
        "its Config accepts keys it does not have; leave model_config alone (gzsl_bench.Config says"
        " extra='forbid')"
    )


@check
def defaults_fit(t: Trials) -> str | None:
    """Method.defaults gives values its Config accepts, for any data set."""
    owner = t.spec.factory
    if not t.values:
        t.config  # noqa: B018  skipped where there is none
    for name in (*KNOWN, "digits", "a data set nobody has heard of"):
        unusable = (
            f"Method.defaults fails for the data set {name!r}: {{error}}; return {{}} for data sets"
            " you know nothing about"
        )
        with ends_in(Broken, unusable):
            values = dict(owner.defaults(DatasetInfo(name, "res101", "att")))
        try:
            owner.Config.model_validate(values)
        except ValidationError as error:
            raise Broken(
                f"Config refuses the defaults of the data set {name!r}: {_short(error)}"
            ) from error
    return None


def _short(error: BaseException) -> str:
    """The first complaint of pydantic, or the error in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return in_one_line(error)
