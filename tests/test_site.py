"""The site hangs together: no orphan page, no dead link, every picture described, every colour readable.

The sources are checked always. The built site is checked by the slow tests where it stands in ``docs/_build/html`` or
where ``MIXEDFX_SITE`` says.
"""

import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

import mixedfx as mfx

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILT = Path(os.environ.get("MIXEDFX_SITE", DOCS / "_build" / "html"))
NOT_PAGES = {"_build", "_templates", "jupyter_execute"}
PAGES = sorted(page for page in DOCS.rglob("*.md") if not NOT_PAGES & set(page.relative_to(DOCS).parts))
READABLE = 4.5  # WCAG 2.2, level AA, text of usual size
SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)


def name(page):
    return page.relative_to(DOCS).with_suffix("").as_posix()


@cache
def text(page):
    return page.read_text(encoding="utf-8")


@cache
def prose(page):
    """What stands on a page outside its blocks of code."""
    found = re.sub(r"\A---\n.*?\n---\n", "", text(page), flags=re.DOTALL)
    return re.sub(
        r"^```(?!\{(?:dropdown|admonition|note|tip|warning|toctree)).*?^```\s*$", "", found, flags=re.M | re.S
    )


@cache
def anchors(page):
    """Return the anchors that the headings of a page get, and those that it sets itself."""
    found = set(re.findall(r"^\(([\w-]+)\)=\s*$", prose(page), re.MULTILINE))
    for title in re.findall(r"^#{1,3} (.+?)\s*$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-")
        while slug in found:
            slug += "-1"
        found |= {slug, re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")}  # MyST's, and docutils'
    return found


def entries(page):
    """Yield the pages of the tables of contents of a page."""
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        for line in lines:
            if line.startswith(":"):
                continue
            target = re.sub(r".*<(.+)>", r"\1", line)
            if ":glob:" in lines and "*" in target:
                yield from page.parent.glob(f"{target}.md")
            else:
                yield (page.parent / f"{target}.md").resolve()


def test_every_page_is_reached_from_the_front_page_exactly_once():
    parents, waiting = {DOCS / "index.md": ["-"]}, [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        for entry in entries(page):
            if entry == page:
                continue
            assert entry.exists(), f"{name(page)} lists {entry}, which is not there"
            if entry not in parents:
                waiting.append(entry)
            parents.setdefault(entry, []).append(name(page))
    assert [name(page) for page in PAGES if page not in parents] == [], "pages that no table of contents lists"
    assert {name(page): names for page, names in parents.items() if len(names) > 1} == {}, "pages that are listed twice"


def targets(page):
    """Yield (how it is written, page, anchor) for the internal links of a page."""
    whole = prose(page)
    words = SPAN.sub(lambda found: found.group() if whole[: found.start()].endswith("}") else "code", whole)
    for role in re.findall(r"\{doc\}`([^`]+)`", words):
        target = re.sub(r".*<(.+)>\Z", r"\1", role, flags=re.DOTALL)
        base = DOCS if target.startswith("/") else page.parent
        yield role, (base / f"{target.lstrip('/')}.md").resolve(), ""
    for link in re.findall(r":link: (\S+)\n:link-type: doc", text(page)):
        yield link, (page.parent / f"{link}.md").resolve(), ""
    for link in re.findall(r"(?<!!)\[[^\]]*\]\(<?([^)>\s]+)>?\)", words):
        if not urlsplit(link).scheme:
            path, _, anchor = link.partition("#")
            yield link, (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    dead = []
    for written, target, anchor in targets(page):
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(written)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pictures_that_are_not_drawn_by_a_cell_are_there_and_described(page):
    for description, path in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", prose(page)):
        assert description.strip(), f"{path} without a description"
        assert urlsplit(path).scheme or (page.parent / path).exists(), path
    for block in re.findall(r"^[`:]{3,}\{(?:image|figure)\}.*?^[`:]{3,}\s*$", text(page), re.MULTILINE | re.DOTALL):
        assert re.search(r"^:alt: \S", block, re.MULTILINE), block
    for call in re.findall(r"\bImage\(.*\)", text(page)):
        assert re.search(r"alt=[\"'].", call), call


CALLS = sorted(
    {
        (page, call.replace("\\|", "|"))
        for page in ("coming-from", "from_lme4", "from_statsmodels")
        for row in re.findall(r"^\|.*\|$", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.MULTILINE)
        for call in re.findall(r"`((?:mfx|fit|means)\.[^`]+)`", re.split(r"(?<!\\)\|", row)[2])
        if "…" not in call
    }
)


@cache
def invented():
    """Data with every column that the tables of those who come from elsewhere name, and a fit."""
    d = mfx.design(clusters={"school": 6, "class": 2}, subjects=4, within={"treat": ["a", "b"]}, visits=3)
    d["f"] = np.array(["p", "q", "r"])[np.arange(len(d)) // 2 % 3]
    d = d.rename(columns={"visit": "time"})
    draw = np.random.default_rng(1).normal
    d["x"] = draw(size=len(d))
    shift = {
        column: draw(size=d[column].nunique())[d[column].astype("category").cat.codes] for column in ("school", "class")
    }
    slope = draw(size=6)[d["school"].astype("category").cat.codes]
    person = draw(size=d["subject"].nunique())[d["subject"].astype("category").cat.codes]
    d["item"] = np.arange(len(d)) % 7
    seen = shift["school"] + shift["class"] + slope * d["x"] + person + draw(size=7)[d["item"]]
    d["y"] = seen + draw(size=len(d)) * (1 + (d["f"] == "q"))
    d["yes"] = (seen + draw(size=len(d)) > 0).astype(int)
    d["count"] = np.random.default_rng(2).negative_binomial(2, 0.5 / (0.5 + np.exp(seen / 4)))
    return d, mfx.lmer("y ~ x * treat + f + (x | school)", d)


@cache
def renamed():
    """What the tables of those who come from R and statsmodels call things: data, fits, means, new rows."""
    d = invented()[0]
    d = d.assign(g=d["school"], Subject=d["subject"], study=d["subject"], no=1 - d["yes"], yi=d["y"], vi=0.5)
    d["x2"], d["x3"] = d["item"] % 2, d["item"] % 3
    small, large = (mfx.lmer(f"y ~ {x} + (1 | g)", d, reml=False) for x in ("1", "x"))
    fit = mfx.lmer("y ~ x + f + x2 + x3 + (x | g) + (1 | Subject)", d)
    fits = [mfx.lmer("y ~ x2 + x3 + f + (1 | g)", d.assign(x2=d["x2"] + shift * d["x"])) for shift in (0, 0.1, 0.2)]
    meta = mfx.lmer("yi ~ 1 + (1 | study)", d, residual=mfx.KnownVariance("vi"))
    names = {"fit": fit, "fit0": small, "fit1": large, "small": small, "large": large, "meta": meta, "fits": fits}
    return names | {"mfx": mfx, "d": d, "new": d[:5], "means": mfx.emmeans(fit, "f")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize(("page", "call"), CALLS)
def test_calls_of_those_who_come_from_elsewhere_run(page, call):
    names = renamed()
    if page == "coming-from":
        d, fit = invented()
        rows = d[d["treat"] == "a"] if "residual=" in call else d  # one row a visit
        names = {"mfx": mfx, "d": rows, "fit": fit}
    assert eval(call, dict(names)) is not None


def test_the_recipe_for_tables_of_spss_runs():
    rng = np.random.default_rng(3)
    wide = mfx.design(subjects=12, between={"group": ["a", "b"]})[["subject", "group"]]
    wide[["t1", "t2", "t3"]] = rng.normal(10, 2, (12, 1)) + rng.normal(size=(12, 3)) + [0, 1, 2]
    (code,) = re.findall(r"^```python\n(.*?)^```", (DOCS / "coming-from.md").read_text(encoding="utf-8"), re.M | re.S)
    names = {"mfx": mfx, "d": wide}
    exec(code, names)
    assert len(names["data"]) == 36
    tests = mfx.anova(names["fit"]).to_frame()["F"]
    strata = str(mfx.aov("score ~ group * time + Error(subject / time)", names["data"]))
    assert all(f"{value:.3f}" in strata for value in tests[["time", "group:time"]]), "balanced: the same tests"
    assert "efficiency" not in strata
    incomplete = names["data"].drop(index=0)
    assert "leave incomplete units out" in " ".join(
        mfx.aov("score ~ group * time + Error(subject / time)", incomplete).summary().notes
    )


def luminance(colour):
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def long(colour):
    """``#rgb`` or ``#rrggbb[aa]`` as ``#rrggbb``."""
    return "#" + ("".join(digit * 2 for digit in colour[1:4]) if len(colour) < 7 else colour[1:7])


def rules(css):
    """Yield (selector, {property: value}) of a style sheet."""
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)):
        pairs = [line.split(":", 1) for line in body.split(";") if ":" in line]
        yield selector.strip(), {key.strip(): value.strip() for key, value in pairs}


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the best-known grey that just fails


@pytest.mark.parametrize("sheet", sorted((DOCS / "_static").glob("*.css")), ids=lambda sheet: sheet.name)
def test_a_rule_that_sets_a_background_sets_a_readable_colour(sheet):
    for selector, rule in rules(sheet.read_text(encoding="utf-8")):
        background = rule.get("background-color", rule.get("background", ""))
        if background.startswith("#"):
            assert "color" in rule, f"{selector}: a background without a colour of the text"
            assert contrast(long(rule["color"]), long(background)) >= READABLE, selector


class Seen(HTMLParser):
    """Links, anchors and pictures of a built page."""

    def __init__(self):
        super().__init__()
        self.links, self.ids, self.pictures = [], set(), []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("link", "script", "img"):
            self.links += [found[key] for key in ("href", "src") if found.get(key)]
        if tag == "img":
            self.pictures.append((found.get("src", ""), found.get("alt")))


@cache
def seen(page):
    parser = Seen()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


built = pytest.mark.skipif(not BUILT.is_dir(), reason=f"no built site in {BUILT}: sphinx, or MIXEDFX_SITE=…")


@built
@pytest.mark.slow
def test_links_of_the_built_site():
    dead = []
    for page in sorted(BUILT.rglob("*.html")):
        if "_static" in page.relative_to(BUILT).parts:
            continue
        for link in seen(page).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target.suffix == ".html" and anchor not in seen(target).ids):
                dead.append(f"{page.relative_to(BUILT)}: {link}")
    assert dead == []


@built
@pytest.mark.slow
def test_pictures_of_the_built_site_are_described():
    bare = [
        f"{page.relative_to(BUILT)}: {source}"
        for page in sorted(BUILT.rglob("*.html"))
        for source, described in seen(page).pictures
        if described is None or Path(source).name in described or (not described and "_images" in source)
    ]
    assert bare == []


@built
@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_links_of_the_built_site_are_readable(theme):
    values = {}
    for sheet in [*sorted((BUILT / "_static" / "styles").glob("*.css")), DOCS / "_static" / "mixedfx.css"]:
        for selector, rule in rules(sheet.read_text(encoding="utf-8")):
            if selector == "html" or f"data-theme={theme}]" in selector.replace('"', ""):
                values |= {key: value for key, value in rule.items() if key.startswith("--pst-color")}

    def colour(key):
        value = values[f"--pst-color-{key}"]
        while value.startswith("var("):
            value = values[value[4:].split(",")[0].rstrip(")")]
        return long(value)

    for ink in ("text-base", "text-muted", "link", "link-hover", "inline-code"):
        for paper in ("background", "surface"):
            assert contrast(colour(ink), colour(paper)) >= READABLE, (ink, paper)


@built
@pytest.mark.slow
def test_the_search_index_knows_what_people_look_for():
    index = (BUILT / "searchindex.js").read_text(encoding="utf-8")
    for word in ("odd", "ratio", "singular", "satterthwait"):  # stems, as Sphinx keeps them
        assert f'"{word}"' in index or f"{word}:" in index, word
