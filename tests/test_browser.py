"""The built site in a headless Chromium: search, copy buttons, sizes of pictures, narrow screens, live pictures.

It is checked where it stands in ``docs/_build/html`` or where ``MIXEDFX_SITE`` says.
"""

import os
from pathlib import Path

import pytest

from tests import browser

BUILT = Path(os.environ.get("MIXEDFX_SITE", Path(__file__).parents[1] / "docs" / "_build" / "html"))
PAGES = sorted(page.relative_to(BUILT).as_posix() for page in BUILT.rglob("*.html") if "_static" not in page.parts)
LIVE = ("shrinkage", "surface", "sampling", "power")
WIDE, NARROW = 1280, 375
MEASURE = """
(() => ({
  across: document.documentElement.scrollWidth - window.innerWidth,
  lazy: [...document.images].filter((image) => image.loading === "lazy").length,
  empty: [...document.images].filter((image) => image.complete && !(image.naturalWidth && image.clientWidth))
    .map((image) => image.src.slice(0, 80)),
}))()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browser.executable(), reason="no Chromium (apt-get install chromium)"),
    pytest.mark.skipif(not PAGES, reason=f"no built site in {BUILT} (sphinx-build docs docs/_build/html)"),
]


@pytest.fixture(scope="module")
def site():
    """Return a page of Chromium and the address of the site."""
    with browser.served(BUILT) as address, browser.opened() as page:
        page.call("Network.setBlockedURLs", urls=["https://*"])  # what other servers send is not the site's
        yield page, address


def test_no_page_complains_is_wider_than_a_phone_or_has_an_empty_picture(site):
    page, address = site
    page.size(NARROW)
    found = {}
    for name in PAGES:
        page.go(f"{address}/{name}")
        measured = page.evaluate(MEASURE)
        said = [*page.complaints, *(f"empty picture {source}" for source in measured["empty"])]
        if measured["across"] > 0:
            said.append(f"{measured['across']} px wider than {NARROW}")
        if said:
            found[name] = said
    assert found == {}


def test_search_finds(site):
    page, address = site
    page.size(WIDE)
    page.go(f"{address}/search.html?q=odds+ratio")
    page.wait("document.querySelectorAll('#search-results li a').length > 0")
    page.wait("/\\d/.test(document.querySelector('#search-results .search-summary').textContent)")
    assert page.evaluate("document.querySelectorAll('#search-results li').length") >= 3
    assert page.complaints == []


def test_code_is_copied(site):
    page, address = site
    page.size(WIDE)
    page.go(f"{address}/index.html")
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"], origin=address)
    page.call("Page.bringToFront")
    page.wait("document.querySelectorAll('button.copybtn').length > 0")
    code = page.evaluate(
        "(() => { const button = [...document.querySelectorAll('button.copybtn')].find((one) => "
        "one.closest('.highlight').innerText.includes('import mixedfx'));"
        "button.id = 'tried'; return button.closest('.highlight').querySelector('pre').innerText; })()"
    )
    page.click("#tried")
    page.wait("navigator.clipboard.readText().then((text) => text.includes('import mixedfx'))")
    assert page.evaluate("navigator.clipboard.readText()").split() == code.split()


def opened_live(site, name, width):
    page, address = site
    assert f"course/live-{name}.html" in PAGES
    page.size(width)
    page.go(f"{address}/course/live-{name}.html")
    page.wait("document.querySelectorAll('.live').length && !document.querySelector('.live:not([data-ready])')")
    return page


def shown(page):
    """What the table and the sentence under a picture say."""
    return page.evaluate("['.live table', '.live .said'].map((part) => document.querySelector(part).innerText)")


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", LIVE)
def test_a_live_picture_fits_and_is_described(site, name, width):
    page = opened_live(site, name, width)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('.live svg[role]')].every((one) => one.ariaLabel)")
    sizes = page.evaluate("[...document.querySelectorAll('.live .panel svg')].map((one) => one.clientWidth)")
    assert min(sizes) >= 200
    names = page.evaluate(
        "[...document.querySelectorAll('.live [role=slider]')].map((one) => one.ariaLabel + one.ariaValueText)"
    )
    assert all(names)
    unnamed = "[...document.querySelectorAll('.live input, .live select')].filter((one) => !one.labels.length).length"
    assert page.evaluate(unnamed) == 0


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize(("name", "right", "down"), [("shrinkage", 0, -40), ("surface", 30, -30), ("power", 30, 0)])
def test_a_dragged_point_changes_the_numbers(site, name, right, down, width):
    page = opened_live(site, name, width)
    before = shown(page)
    page.drag(".live .handle:not(.off)", right, down)
    assert all(old != new for old, new in zip(before, shown(page), strict=True))


@pytest.mark.parametrize(
    ("name", "key"), [("shrinkage", "ArrowUp"), ("surface", "ArrowRight"), ("power", "ArrowRight")]
)
def test_the_keyboard_moves_a_point_that_keeps_the_focus(site, name, key):
    page = opened_live(site, name, WIDE)
    before = shown(page)
    page.evaluate("document.querySelector('.live .handle').focus()")
    for _ in range(3):
        page.key(key)
    assert shown(page) != before
    assert page.evaluate("document.activeElement.classList.contains('handle')")


def test_data_sets_are_drawn_and_counted_the_same_for_everybody(site):
    press = "[...document.querySelectorAll('.live button')].find((one) => one.innerText === '{}').click()"
    page = opened_live(site, "sampling", WIDE)
    first = shown(page)
    assert "Data set 1:" in first[1]
    page.evaluate(press.format("1000 more"))
    drawn = shown(page)
    assert "Data set 1001:" in drawn[1]
    covered = float(drawn[0].splitlines()[1].split("\t")[1].removesuffix("%"))
    assert abs(covered - 95) < 5 * (0.05 * 0.95 / 1001) ** 0.5 * 100
    page.evaluate(press.format("Start again"))
    assert shown(page) == first


def test_sliders_and_choices_change_the_numbers(site):
    for name in LIVE:
        page = opened_live(site, name, WIDE)
        count = page.evaluate("document.querySelectorAll('.live input[type=range]').length")
        for i in range(count):
            before = shown(page)
            page.evaluate(
                f"(one => {{ one.value = Number(one.value) === Number(one.min) ? one.max : one.min;"
                f"one.dispatchEvent(new Event('input')); }})(document.querySelectorAll('.live input[type=range]')[{i}])"
            )
            assert shown(page) != before, (name, i)


CONTRASTS = """
(() => {
  const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (node) => {
    const colour = rgb(getComputedStyle(node).backgroundColor);
    return colour[3] === 0 ? ground(node.parentElement) : colour;
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const out = {};
  const measure = (selector, property) => {
    for (const node of document.querySelectorAll(`.live ${selector}`)) {
      const [one, two] = [light(rgb(getComputedStyle(node)[property])), light(ground(node))];
      out[selector] = Math.min(out[selector] || 99, (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05));
    }
  };
  for (const text of [".said", "button", "select", "input[type=number]", "th", "td", ".control span", ".title", "li"])
    measure(text, "color");
  measure("svg text", "fill");
  for (const line of ["own", "model", "all", "good", "bad"]) measure(`svg .${line}:not(circle)`, "stroke");
  return out;
})()
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", LIVE)
def test_words_and_lines_stand_out_from_their_ground(site, name, theme):
    page = opened_live(site, name, WIDE)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.wait("document.getAnimations().every((one) => one.playState !== 'running')")
    found = page.evaluate(CONTRASTS)
    assert len(found) >= 9
    assert {part: ratio for part, ratio in found.items() if ratio < 4.5} == {}
