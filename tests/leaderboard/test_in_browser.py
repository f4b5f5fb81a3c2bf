"""The leaderboard in a browser: from a folder, without script and with it, narrow, and on paper."""

from __future__ import annotations

import pytest

from gzsl_bench.leaderboard.site import build

pytestmark = pytest.mark.browser

_WIDTH = "document.documentElement.scrollWidth"


def _shown(page) -> list[str]:
    """H of the lines in sight."""
    return page.eval_on_selector_all(
        "#board tbody tr:not(.rule)",
        "all => all.filter(r => r.checkVisibility()).map(r => r.cells[2].innerText.slice(0, 4))",
    )


def test_the_site_works_in_a_browser(browser, listen, made, tmp_path):
    out = tmp_path / "site"
    build([made.repository, made.own], out)
    table = max((out / "tables").iterdir(), key=lambda place: place.stat().st_size)
    # No script is needed to read it.
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
    page = context.new_page()
    troubles, asked = listen(page)
    page.goto((out / "index.html").as_uri())
    assert page.get_by_role("link", name="D", exact=True).count() == 2
    page.goto(table.as_uri())
    assert page.locator("#filters").is_hidden()
    assert page.locator("#board tbody tr").count() == 5
    # The name leads to the method, every number of a row to its records.
    page.locator("#board").get_by_role("link", name="Good", exact=True).click()
    # Loaded whole: what is left too early counts as not found.
    page.wait_for_url("**/methods.html#*")
    for column in (5, 8):
        page.goto(table.as_uri())
        box = page.locator("#board tbody tr:not(.rule)").first.locator("td, th").nth(column)
        box.scroll_into_view_if_needed()
        at = box.bounding_box()
        page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        page.wait_for_url("**/entries/*")
    page.goto(table.as_uri())
    page.get_by_role("link", name="80.0 ± 0.0").click()
    page.wait_for_url("**/entries/*")
    page.get_by_role("link", name=made.keys["good 0"]).click()
    assert page.url.endswith(f"/records/lab-a/{made.keys['good 0']}.json")
    context.close()
    # With one it is sorted and filtered; nothing scrolls sideways but the tables.
    page = browser.new_page(viewport={"width": 390, "height": 800})
    troubles_too, asked_too = listen(page)
    entry = next(place.name for place in (out / "entries").iterdir())
    for place in ("index.html", "methods.html", f"entries/{entry}", f"tables/{table.name}"):
        page.goto((out / place).as_uri())
        assert page.evaluate(_WIDTH) <= 390
        assert page.title() != "broken"
        assert page.evaluate("getComputedStyle(document.body).margin") == "0px"
    assert _shown(page) == ["80.0", "84.7", "70.0"]
    page.get_by_role("button", name="U", exact=True).click()
    page.get_by_role("button", name="U", exact=True).click()
    assert _shown(page) == ["80.0", "70.0", "84.7"]  # each block by itself
    assert page.locator("th[aria-sort=ascending]").inner_text() == "U"
    # Times are told apart by their unit, too.
    last = "[...document.querySelectorAll('#board tbody:last-of-type tr:not(.rule)')]"
    page.evaluate(f"{last}.forEach((r, k) => r.cells[10].textContent = ['2.0 h', '35 min'][k])")
    page.get_by_role("button", name="Time").click()
    assert page.evaluate(f"{last}.map(r => r.cells[10].innerText)") == ["35 min", "2.0 h"]
    page.get_by_label("Status").select_option("recomputed")
    assert _shown(page) == ["70.0"]
    page.get_by_label("Status").select_option("")
    page.get_by_label("Source").select_option("lab-a")
    assert _shown(page) == ["80.0", "84.7"]
    page.get_by_label("Source").select_option("")
    page.get_by_label("Method").fill("GOO")
    assert _shown(page) == ["80.0"]
    assert page.locator("output").inner_text() == "1 of 3"
    # On paper nothing is cut off.
    page.get_by_label("Method").fill("")
    page.set_viewport_size({"width": 1032, "height": 700})  # A4 without its margins
    page.emulate_media(media="print")
    assert page.locator("#filters").is_hidden()
    cut = "[...document.querySelectorAll('.box')].filter(b => b.scrollWidth > b.clientWidth + 1)"
    assert page.evaluate(f"{cut}.length") == 0
    assert troubles + troubles_too == []
    assert [url for url in asked + asked_too if not url.startswith(("file:", "data:"))] == []
