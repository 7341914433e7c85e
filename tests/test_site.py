"""The site: built without a warning, every link leads somewhere, and its steppers step."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
import test_browser
from harness import REQUIRED
from playwright.sync_api import Browser
from test_browser import browser as browser, chromium as chromium

from skynet_lite.view.payload import unpack

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(
    p for p in (ROOT / "notebooks").rglob("*.ipynb") if not any(part.startswith(".") for part in p.parts[-2:])
)
pytestmark = pytest.mark.skipif(
    (find_spec("myst_nb") is None or find_spec("furo") is None) and not REQUIRED,
    reason="no Sphinx here: pip install 'skynet_lite[docs]', and these tests run",
)
with_browser = test_browser.pytestmark


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as the README says, warnings being errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "doctrees", "docs", folder / "site"],
        cwd=ROOT, capture_output=True, text=True, timeout=1200, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "site"


class Page(HTMLParser):
    """What a page links to, what it loads, and what in it can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.frames: list[dict[str, str | None]] = []
        self.images: list[dict[str, str | None]] = []
        self.anchors: set[str] = set()
        self.language: str | None = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = dict(attrs)
        self.anchors |= {value for key, value in at.items() if key in ("id", "name") and value}
        if tag == "html":
            self.language = at.get("lang")
        if tag == "a" and at.get("href"):
            self.links.append(at["href"] or "")
        if tag in ("img", "script", "iframe", "source") and at.get("src"):
            self.loads.append(at["src"] or "")
        if tag == "link" and at.get("rel") != "canonical":
            self.loads.append(at.get("href") or "")
        if tag == "iframe":
            self.frames.append(at)
        if tag == "img":
            self.images.append(at)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def local(link: str) -> bool:
    return re.match(r"[a-z]+:", link) is None


def test_every_link_and_anchor_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    """From every page: files that are there, anchors that are on them, steps that a viewer has."""
    broken = []
    for path, page in pages.items():
        for link in filter(local, [*page.links, *page.loads]):
            address, anchor = urldefrag(link)
            address = address.partition("?")[0]  # Sphinx adds a digest to what it loads
            target = (path.parent / unquote(address)).resolve() if address else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_relative_to(site) or not target.exists():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif anchor and target.suffix == ".html" and target.parent.name != "steppers":
                if unquote(anchor) not in pages[target].anchors:
                    broken.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    assert broken == []
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    """The site can be read offline."""
    assert [
        (path.name, link)
        for path, page in pages.items()
        for link in page.loads
        if not local(link) and link[:5] != "data:"
    ] == []


def test_every_notebook_has_its_page(site: Path, pages: dict[Path, Page]) -> None:
    """With its title, in its language, linked from the contents; its pictures have an alt text."""
    assert NOTEBOOKS
    for notebook in NOTEBOOKS:
        name = notebook.relative_to(ROOT / "notebooks").with_suffix(".html")
        page = site / "course" / name
        title = nbformat.read(notebook, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ")
        text = re.sub(r"<[^>]+>", "", page.read_text().split("<h1>")[1].split("</h1>")[0])
        assert text.rstrip("#¶ ").split()[:2] == title.replace("`", "").split()[:2]
        assert pages[page].language == ("zh" if name.parts[0] == "zh" else "en")
        contents = Page(page.parent / "index.html")
        assert name.name == "index.html" or name.name in [urldefrag(link)[0] for link in contents.links]
        for image in pages[page].images:
            if "jupyter_execute" in str(image["src"]) or "_images" in str(image["src"]):
                assert image.get("alt") and not str(image["alt"]).startswith("../"), (name, image["src"])


def steppers() -> dict[str, list[dict[str, object]]]:
    """Notebook → what its stored steppers have kept."""
    return {
        p.relative_to(ROOT / "notebooks").with_suffix("").as_posix(): kept
        for p in NOTEBOOKS
        if (
            kept := [
                output.metadata["skynet_lite"]
                for cell in nbformat.read(p, as_version=4).cells
                for output in cell.get("outputs", [])
                if "skynet_lite" in output.get("metadata", {})
            ]
        )
    }


def test_every_stored_stepper_has_kept_its_data() -> None:
    """A cell that shows a stepper, as nbval compares it: its text says so. `regenerate.py` stores the data."""
    shown = {}
    for p in NOTEBOOKS:
        outputs = [o for cell in nbformat.read(p, as_version=4).cells for o in cell.get("outputs", [])]
        n = sum(str(o.get("data", {}).get("text/plain", "")).startswith(("stepper", "单步查看器")) for o in outputs)
        if n:
            shown[p.relative_to(ROOT / "notebooks").with_suffix("").as_posix()] = n
    assert shown and {name: len(kept) for name, kept in steppers().items()} == shown


def test_a_frame_holds_the_viewer_of_its_stepper(site: Path, pages: dict[Path, Page]) -> None:
    """In the order of the notebook: its title, its step, all of its data; and a picture for those who cannot use it."""
    for name, kept in steppers().items():
        path = site / "course" / f"{name}.html"
        frames = pages[path].frames
        assert len(frames) == len(kept)
        for frame, one in zip(frames, kept, strict=True):
            address, anchor = urldefrag(frame["src"] or "")
            viewer = (path.parent / address).resolve()
            data = unpack(str(one["stepper"]))
            (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', viewer.read_text())
            assert json.loads(text)["traces"] == [data]
            assert (anchor, frame["title"]) == (f"step={one['step']}", data["title"])
            assert data["first"] <= int(str(one["step"])) < data["first"] + len(data["kinds"][1])
            picture = viewer.with_suffix(".png")
            assert picture.read_bytes().startswith(b"\x89PNG")
            assert os.path.relpath(picture, path.parent) in pages[path].links


@with_browser
def test_a_stepper_on_the_site_steps_by_key(browser: Browser, site: Path) -> None:
    """Offline: the page keeps the keyboard until the frame is clicked; then arrows, Home and End step.

    Of the Chinese pages one: their frames hold the same viewer.
    """
    both = {name: kept for name, kept in steppers().items() if not name.startswith("zh/") or name.startswith("zh/05")}
    for name, kept in both.items():
        context = browser.new_context(offline=True, viewport={"width": 1440, "height": 1000})
        page = context.new_page()
        complaints = test_browser.complaints(page)
        page.goto((site / "course" / f"{name}.html").as_uri())
        for n, one in enumerate(kept):
            element = page.locator("figure.stepper iframe").nth(n)
            element.scroll_into_view_if_needed()
            frame = page.frame_locator("figure.stepper iframe").nth(n)
            frame.locator(".skl svg rect").first.wait_for()
            assert page.evaluate("document.activeElement === document.body") or n > 0
            now = lambda: frame.locator("body").evaluate("() => viewers[0].step + viewers[0].data.first")  # noqa: B023, E731

            def press(key: str) -> int:
                page.keyboard.press(key)
                frame.locator("body").evaluate(  # noqa: B023
                    "() => new Promise((done) => { const f = () => viewers[0].busy ? requestAnimationFrame(f) : done(); f(); })"
                )
                return int(now())

            assert now() == one["step"]
            frame.locator(".skl .say").click()
            first, last = press("Home"), press("End")
            assert first < last
            assert press("Home") == first
            second = press("ArrowRight")
            assert first < second < last
            assert press("ArrowLeft") == first
            assert "→" in frame.locator("body").inner_text() or frame.locator(".card").count() > 3
        assert complaints == []
        context.close()


def test_every_page_of_the_reference_can_be_read_at_a_sitting(site: Path) -> None:
    """At most 3,000 words; a longer one is to be split."""
    long = {}
    for path in (site / "api").glob("*.html"):
        words = len(
            re.sub(r"<[^>]+>", "", path.read_text().partition("<article")[2].partition("</article>")[0]).split()
        )
        if words > 3000:
            long[path.name] = words
    assert long == {}


@with_browser
@pytest.mark.parametrize(
    ("asked", "found"),
    [("wakeup", "skynet_lite.skynet.waits.wakeup"), ("唤醒的协程", "05 · dispatch_wakeup：谁恢复被唤醒的协程")],
)
def test_search_works_in_a_folder_without_a_server(browser: Browser, site: Path, asked: str, found: str) -> None:
    """From a file, offline: typed into the box, results that lead to their pages, and nothing that fails quietly."""
    context = browser.new_context(offline=True, viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    complaints = test_browser.complaints(page)
    page.goto((site / "index.html").as_uri())
    page.locator("input[name=q]").first.fill(asked)
    page.locator("input[name=q]").first.press("Enter")
    page.get_by_text("Search finished").wait_for()
    page.locator("#search-results a", has_text=found).first.click()
    page.wait_for_url(lambda url: "search.html" not in url)
    assert asked[:2] in page.locator("article").inner_text()
    assert complaints == []
    context.close()


@with_browser
@pytest.mark.parametrize("name", ["00_tour", "06_the_film", "00_tour.zh", "06_the_film.zh"])
def test_a_talk_shows_whole_pictures_and_loads_nothing(browser: Browser, site: Path, name: str) -> None:
    """Slide by slide, offline: each picture is as large as the slide allows, and the speaker has notes."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    complaints = test_browser.complaints(page)
    page.goto((site / "slides" / f"{name}.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    assert page.evaluate("Reveal.getTotalSlides()") >= 15
    assert page.locator("aside.notes").count() >= 8
    pictures = 0
    while True:
        sizes = page.evaluate(
            """() => [...Reveal.getCurrentSlide().querySelectorAll(".jp-OutputArea :is(img, svg)")].map((picture) => {
              const scale = Reveal.getScale(), slide = Reveal.getCurrentSlide().getBoundingClientRect();
              const box = picture.getBoundingClientRect();
              return [box.width / scale, (box.bottom - slide.top) / scale, (box.right - slide.left) / scale];
            })"""
        )
        for width, low, right in sizes:
            assert width > 500 and low <= 700 and right <= 961, (name, page.evaluate("Reveal.getIndices()"))
        pictures += len(sizes)
        if page.evaluate("Reveal.isLastSlide()"):
            break
        page.evaluate("Reveal.next()")
    assert pictures >= 3
    assert complaints == [] and all(url.startswith("file:") for url in loaded)
    context.close()
