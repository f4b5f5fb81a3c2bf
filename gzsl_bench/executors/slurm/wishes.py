"""``--slurm``: what jobs ask of Slurm, for all methods or for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gzsl_bench.executors.limits import parse_duration
from gzsl_bench.executors.resources import Resources, parse_resources

_OURS = ("cpu", "gpu", "memory")
#: Set by the crew, or by submitit for it.
_RESERVED = frozenset(
    {"array", "output", "error", "job-name", "ntasks", "nodes", "requeue", "signal", "open-mode"}
)


@dataclass(frozen=True)
class Wishes:
    """What a job asks for.

    Attributes:
        resources: cores, GPU, memory.
        minutes: time limit; a job that reaches it is requeued and goes on with what is left.
        others: options of sbatch by name: ``partition``, ``account``, ``constraint``.
    """

    resources: Resources = field(default_factory=Resources)
    minutes: int = 12 * 60
    others: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, object]:
        """As submitit takes them."""
        found: dict[str, object] = {
            "timeout_min": self.minutes,
            "cpus_per_task": self.resources.threads,
            "slurm_additional_parameters": {"requeue": True, **self.others},
        }
        if self.resources.gpu:
            found["gpus_per_node"] = 1
        if self.resources.memory:
            found["slurm_mem"] = f"{-(-self.resources.memory // (1 << 20))}M"
        return found


def parse_wishes(texts: Sequence[str], basis: Resources) -> dict[str, Wishes]:
    """Wishes by label of the method; those of all under "".

    Args:
        texts: ``[LABEL:]KEY=VALUE,...`` each; ``cpu``, ``gpu``, ``memory`` and ``time``, else an
            option of sbatch.
        basis: where a text does not say otherwise.

    Raises:
        ValueError: a text says something else.
    """
    found = {"": Wishes(basis)}
    for text in sorted(texts, key=lambda text: bool(_split(text)[0])):  # those of all come first
        label, pairs = _split(text)
        found[label] = _wished(found.get(label, found[""]), pairs, text)
    return found


def _split(text: str) -> tuple[str, str]:
    label, mark, rest = text.partition(":")
    return (label.strip(), rest) if mark and "=" not in label else ("", text)


def _wished(before: Wishes, pairs: str, text: str) -> Wishes:
    ours, others, minutes = [], dict(before.others), before.minutes
    for part in pairs.split(","):
        name, mark, value = (piece.strip() for piece in part.partition("="))
        name = name.removeprefix("--")
        if not mark or not value or not name.replace("-", "").isalnum() or name in _RESERVED:
            raise ValueError(
                f"{part.strip()!r} in --slurm {text!r} is not understood; write"
                " [METHOD:]cpu=4,gpu=1,memory=16GiB,time=2h,partition=NAME"
            )
        if name in _OURS:
            ours.append(part)
        elif name == "time":
            minutes = max(1, round(parse_duration(value) / 60))
        else:
            others[name] = value
    resources = before.resources
    if ours:
        asked, named = parse_resources(",".join(ours)), {p.partition("=")[0].strip() for p in ours}
        resources = replace(resources, **{name: getattr(asked, name) for name in named})
    if resources.gpu not in (0, 1) or resources.cpu != int(resources.cpu):
        raise ValueError(f"{resources}: a job of Slurm takes whole cores and no or one whole GPU")
    return Wishes(resources, minutes, others)
