"""The report in a browser: asks no host, breaks nothing, light and dark, wide and narrow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gzsl_bench import Config, Method, MethodSpec
from gzsl_bench.report.html.page import build
from gzsl_bench.results.view import Results

pytestmark = pytest.mark.browser

#: The name ends in markup: a browser that ran it would call its title "broken".
EVIL = "<img src=x onerror=\"document.title='broken'\">"


class Ridge(Method):
    """Two checkpoints of a linear map."""

    class Config(Config):
        penalty: float = 1.0

    def fit(self, task, run):
        import torch

        x, targets = task.features, task.attributes[task.labels]
        for number in (1, 2):
            ridge = x.T @ x + self.config.penalty / number * torch.eye(x.shape[1])
            weights = torch.linalg.solve(ridge, x.T @ targets)
            run.log(number, loss=float(((x @ weights - targets) ** 2).mean()))
            run.checkpoint(number, lambda rows, w=weights: rows @ w @ task.attributes.T)


@pytest.fixture
def page_file(make_registry, resolve_text, run_inline, tmp_path) -> Path:
    registry = make_registry(MethodSpec("ridge", Ridge, "none", "paper"))
    suite = resolve_text(
        "name: shown\ndatasets: [tiny]\nmethods:\n  - {use: ridge, label: plain}\n"
        f"  - {{use: ridge, label: {json.dumps(EVIL)}, config: {{penalty: 50}}}}\n"
        "seeds: 2\nselection: [last, best_test]\n",
        registry,
    )
    _, store, _ = run_inline(suite.cells, registry)
    return build(Results(suite, store), tmp_path / "page").path


def test_the_page_works_in_a_browser(browser, listen, page_file, tmp_path):
    for width, scheme in ((1300, "light"), (1300, "dark"), (390, "light")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        troubles, asked = listen(page)
        page.goto(page_file.as_uri())
        assert troubles == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert page.title() == "shown: gzsl-bench report"
        # The first screen answers the question.
        card = page.locator(".card").first
        box = card.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 900
        assert "H " in card.inner_text()
        assert "Protocol" in card.inner_text()
        # Every plot is decoded and large enough to be read; the page itself never scrolls sideways.
        sizes = page.eval_on_selector_all(
            "figure img", "all => all.map(i => [i.naturalWidth, i.getBoundingClientRect().width])"
        )
        assert len(sizes) == 7
        assert all(natural > 500 and shown > 500 for natural, shown in sizes)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("table.h-table tbody tr").count() == 4
        lost = page.evaluate(
            "[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
            ".filter(to => to[0] !== '#' || !document.getElementById(to.slice(1)))"
        )
        assert lost == []
        if width == 390:
            _scroll_to_the_last_rule(page)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        plot = page.evaluate(
            "getComputedStyle(document.querySelector('figure .plot')).backgroundColor"
        )
        assert plot == "rgb(255, 255, 255)"
        page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
        context.close()


def _scroll_to_the_last_rule(page) -> None:
    """On a telephone the method's name and the honest column stay where they are."""
    page.set_viewport_size({"width": 240, "height": 900})  # two rules alone would fit 390
    where = "document.querySelectorAll('#table .h-table {}')[0].getBoundingClientRect().x"
    kinds = ("tbody th", "td.lead", "td:last-child")
    before = [page.evaluate(where.format(kind)) for kind in kinds]
    moved = page.evaluate(
        "() => { const box = document.querySelector('#table .box'); box.scrollLeft = 60;"
        " return box.scrollLeft; }"
    )
    after = [page.evaluate(where.format(kind)) for kind in kinds]
    assert moved > 0
    assert after[:2] == before[:2]
    assert after[2] == before[2] - moved


def test_on_paper_everything_is_there(browser, page_file):
    page = browser.new_page(viewport={"width": 703, "height": 1000})  # A4 without its margins
    page.goto(page_file.as_uri())
    hidden = (
        "[...document.querySelectorAll('details > :not(summary)')]"
        ".filter(each => !each.checkVisibility({contentVisibilityAuto: true}))"
        ".map(each => each.outerHTML.slice(0, 200))"
    )
    assert len(page.evaluate(hidden)) > 0
    page.emulate_media(media="print")
    # What lies off the screen is laid out a moment later.  The page lets nobody wait within it: its
    # policy forbids ``eval``.
    for _ in range(100):
        if not page.evaluate(hidden):
            break
        page.wait_for_timeout(50)
    assert page.evaluate(hidden) == []
    cut = page.evaluate(
        "[...document.querySelectorAll('.box, .plot, pre')]"
        ".filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.innerText)"
    )
    assert cut == []
    assert page.evaluate("getComputedStyle(document.querySelector('h2')).breakAfter") == "avoid"
