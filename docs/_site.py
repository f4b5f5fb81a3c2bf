"""Hooks of mkdocs: generated pages, pages that live elsewhere in the repository, and their links.

The README is the home page and every plugin's README a page of its own, though none of them lies
in ``docs/``.  Links are written as GitHub needs them, relative to the file; here they are turned
into links between pages.  A link to what is no page is left for ``mkdocs build --strict``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from _reference import pages
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(\]\()([^)#\s]*)((?:#[^)\s]*)?\))")
_ROLE = re.compile(r":(?:meth|class|func|data|attr|mod):(<code>)")


def sources() -> dict[str, str]:
    """Files of the repository that are pages of the site: path -> place in the site."""
    found = {
        "README.md": "index.md",
        "CHANGELOG.md": "changelog.md",
        "CONTRIBUTING.md": "contributing.md",
        "SECURITY.md": "security.md",
        "benchmarks/README.md": "benchmarks.md",
    }
    for path in sorted((ROOT / "plugins").glob("*/README.md")):
        found[f"plugins/{path.parent.name}/README.md"] = f"shipped/{path.parent.name}.md"
    for path in sorted((ROOT / "docs").glob("*.md")):
        found[f"docs/{path.name}"] = path.name
    return found


def on_files(files: Any, config: Any) -> Any:
    """Add what does not lie in ``docs/``."""
    for path, place in sources().items():
        if not path.startswith("docs/"):
            text = (ROOT / path).read_text(encoding="utf-8")
            files.append(File.generated(config, place, content=text))
    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    places = sources()
    path = next((p for p, place in places.items() if place == page.file.src_uri), None)
    return markdown if path is None else relink(markdown, path, places)


def relink(markdown: str, path: str, places: dict[str, str]) -> str:
    """Links of the file ``path`` as links of its page.

    Args:
        markdown: the file's text.
        path: where it lies in the repository.
        places: :func:`sources`.
    """
    here, page = posixpath.dirname(path), posixpath.dirname(places[path])

    def turn(found: re.Match[str]) -> str:
        target = found.group(2)
        if not target or re.match(r"[a-z]+:", target):
            return found.group(0)
        goal = posixpath.normpath(posixpath.join(here, target))
        place = places.get(goal) or places.get(f"{goal}/README.md")
        if place is None and goal.startswith("docs/") and (ROOT / goal).is_file():
            place = goal.removeprefix("docs/")  # pictures, the board, reports lie there in both
        if place is None:
            return found.group(0)
        return f"{found.group(1)}{posixpath.relpath(place, page or '.')}{found.group(3)}"

    return _LINK.sub(turn, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Docstrings mark names as Sphinx does (``:meth:``); the name alone is enough here."""
    return _ROLE.sub(r"\1", html)
