"""What a check is, how it ends, and the report of all of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gzsl_bench.errors import NotApplicable, in_one_line
from gzsl_bench.hooks.asked import FAULTS
from gzsl_bench.wording import counted

OK, FAILED, NOT_APPLICABLE, SKIPPED = "ok", "failed", "not applicable", "skipped"

Subject = TypeVar("Subject")


class Broken(Exception):
    """A check failed; the text says what was seen and what to do about it."""


class Skipped(Exception):
    """A check could not be made here; the text says why."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One thing a plugin must do.

    Attributes:
        name: how reports and tests call it.
        about: one sentence.
        look: raises ``Broken``, ``Skipped`` or ``NotApplicable``; returns a remark or None.
    """

    name: str
    about: str
    look: Callable[[Subject], str | None]

    def result(self, subject: Subject) -> Result:
        """How the check ends for one plugin."""
        began = time.monotonic()
        outcome, reason = OK, ""
        try:
            reason = self.look(subject) or ""
        except Broken as error:
            outcome, reason = FAILED, str(error)
        except Skipped as error:
            outcome, reason = SKIPPED, str(error)
        except NotApplicable as error:
            outcome, reason = NOT_APPLICABLE, str(error)
        return Result(self.name, self.about, outcome, reason, time.monotonic() - began)


def make(
    checks: Sequence[Check[Subject]], subject: Subject, on_check: Callable[[str], None]
) -> list[Result]:
    """Make checks one after the other; ``on_check`` is told the name of each as it begins."""
    results = []
    for check in checks:
        on_check(check.name)
        results.append(check.result(subject))
    return results


class Checks(Generic[Subject]):
    """Checks of one kind of plugin, in the order they are made."""

    def __init__(self) -> None:
        self.all: list[Check[Subject]] = []

    def __call__(self, look: Callable[[Subject], str | None]) -> Callable[[Subject], str | None]:
        """Add a function; its name is the check's, its docstring the sentence."""
        self.add(look.__name__, " ".join((look.__doc__ or "").split()), look)
        return look

    def add(self, name: str, about: str, look: Callable[[Subject], str | None]) -> None:
        """Add a check whose name and sentence are made."""
        self.all.append(Check(name, about, look))


@dataclass(frozen=True)
class Result:
    """How one check ended.

    Attributes:
        name: of the check.
        about: what the check asks for.
        outcome: ``ok``, ``failed``, ``not applicable`` or ``skipped``.
        reason: why; for ``ok`` a remark, mostly empty.
        seconds: what it took; a training that several checks look at counts for the first.
    """

    name: str
    about: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """All checks of one plugin.

    Attributes:
        kind: ``method``, ``dataset`` or ``metric``.
        name: of the plugin's method, data set or metric.
        results: in the order of the checks.
        checked: what exactly was checked: the configuration, the device, the budget.
    """

    kind: str
    name: str
    results: Sequence[Result]
    checked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no check failed and at least one was made."""
        return not self.failures and any(each.outcome == OK for each in self.results)

    @property
    def failures(self) -> list[Result]:
        """The checks that failed."""
        return [each for each in self.results if each.outcome == FAILED]

    def result(self, name: str) -> Result:
        """The result of the check ``name``."""
        return next(each for each in self.results if each.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "passed": self.passed,
            "checked": dict(self.checked),
            "checks": [vars(each) | {"seconds": round(each.seconds, 3)} for each in self.results],
        }

    def text(self) -> str:
        """One line per check, a line for what was checked and one that counts."""
        lines = [f"{self.kind} {self.name}", *(f"  {line}" for line in self._checked())]
        width = max((len(each.name) for each in self.results), default=0)
        for each in self.results:
            shown = each.outcome.upper() if each.outcome == FAILED else each.outcome
            line = f"  {shown:<14}  {each.name:<{width}}"
            lines.append(f"{line}  {each.reason}".rstrip())
        counts = [
            f"{number} {outcome}"
            for outcome in (OK, FAILED, NOT_APPLICABLE, SKIPPED)
            if (number := sum(each.outcome == outcome for each in self.results))
        ]
        # Named at the end, too: one fault may leave thirty checks skipped around its own.
        failed = ", ".join(each.name for each in self.failures)
        last = f"{counted(len(self.results), 'check')}: {', '.join(counts)}"
        return "\n".join([*lines, f"{last}; failed: {failed}" if failed else last])

    def _checked(self) -> list[str]:
        """What was checked, line by line; the full configuration is in the JSON report."""
        found = []
        if "given" in self.checked:
            given = ", ".join(f"{key}={value}" for key, value in self.checked["given"].items())
            rest = "; every other field at its default" if given else "the defaults"
            found.append(f"configuration: {given}{rest}")
        if "budget" in self.checked:
            budget = self.checked["budget"]
            found.append(
                f"device: {self.checked['device']}; budget of a training:"
                f" {budget['seconds']:g} s, {budget['megabytes']:g} MB"
            )
        if "variant" in self.checked:
            found.append(f"variant: {self.checked['variant']}")
        return found


@contextlib.contextmanager
def ends_in(
    how: type[Broken] | type[Skipped],
    reason: str,
    *what: type[Exception],
) -> Iterator[None]:
    """An exception in here ends the check; ``{error}`` in ``reason`` stands for its text."""
    ending = what or FAULTS
    try:
        yield
    except ending as error:
        raise how(reason.replace("{error}", in_one_line(error))) from error
