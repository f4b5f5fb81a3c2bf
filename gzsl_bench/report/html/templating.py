"""One way to pour data into pages."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE = "gzsl_bench.report.html"


def engine(*packages: str) -> Environment:
    """The templates of packages; whatever is poured into them is escaped.

    Args:
        packages: each has a folder ``templates``; of templates of one name the last one counts.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    templates = {
        file.name: file.read_text(encoding="utf-8")
        for package in packages
        for file in (resources.files(package) / "templates").iterdir()
        if file.name.endswith(".j2")
    }
    return Environment(
        loader=DictLoader(templates),
        autoescape=True,  # labels, names, descriptions and causes come from anywhere
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
