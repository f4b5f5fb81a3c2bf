"""What a method offers to be drawn: it must be usable, and offering it must change nothing."""

from __future__ import annotations

from gzsl_bench.errors import NotApplicable
from gzsl_bench.testing.report import Broken, Checks
from gzsl_bench.testing.trials import Trials

check: Checks[Trials] = Checks()


@check
def latents(t: Trials) -> str | None:
    """Latents are finite, [N, K] and [M, K], the same at every call, and declared in the spec."""
    seen = t.base().seen
    if not seen.offered and not t.spec.latents:
        raise NotApplicable("it offers no latents to be drawn")
    if not seen.offered:
        raise Broken(
            "its MethodSpec says latents=True and no scorer offers any; give"
            " Scorer(..., latents=Latents(visual, semantic))"
        )
    if not t.spec.latents:
        raise Broken("its scorers offer latents; say so by latents=True in the MethodSpec")
    if seen.latents is not None:
        raise Broken(seen.latents)
    return None


@check
def latents_change_nothing(t: Trials) -> str | None:
    """A training whose latents are asked for gives the numbers of one whose latents are not."""
    if not t.base().seen.offered:
        raise NotApplicable("it offers no latents to be drawn")
    plain = t.audited().original
    if plain is None or not t.steady().trace.equals(plain, t.restless()):
        raise Broken(
            "asking for its latents changes its numbers; draw from run.generator with a purpose of"
            " its own inside the call, and change nothing that training or scoring uses"
        )
    return None
