"""The page on what nobody expects: markup, other scripts, long names, no hits, no model, a gateway that is gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.values.documents import SourceDocument
from tests.browser import Browser
from tests.served import Site, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
MARKUP = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script> &amp; ${1+1} {{2}}"
LONG = "very.long/" + "x" * 480
HUGE = "word of a huge document " * 30_000
DOCUMENTS: dict[str, dict[str, object]] = {
    MARKUP[:200]: {"title": MARKUP, "text": f"markup in a document {MARKUP}"},
    LONG: {"title": "long " + "y" * 3000, "text": "a long name"},
    "rtl": {"title": "מסמך בעברית", "text": "שלום עולם, זה מסמך על חיפוש. مرحبا بالعالم"},
    "emoji": {
        "title": "👩‍👩‍👧‍👦 family 🇫🇷",
        "text": "emoji 👍🏽 and combining e\u0301 \u202ein reverse\u202c, 𝔘𝔫𝔦",
    },
    "huge": {"title": "huge", "text": HUGE},
    "odd": {"title": ["a", "b"], "text": "odd values of fields", "more": {"deep": [1, None]}, "number": 7},
    "hidden/../../page/main.js?x=1#y": {"title": "", "text": "an id that looks like a path"},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    documents = [SourceDocument(id, json.dumps(source).encode()) for id, source in DOCUMENTS.items()]
    with serving(tmp_path_factory.mktemp("site"), {"strange": documents}, model="cherche-tiny") as found:
        yield found


def search(tab: Browser, query: str) -> None:
    tab.open(f"index=strange&q={query}")
    tab.settled(".hit")


def first(tab: Browser) -> None:
    """Why the best hit is there."""
    tab.page.locator(".hits").nth(1).locator(".hit-title").first.press("Enter")
    tab.page.wait_for_selector("dialog .why-grid")


@pytest.mark.parametrize(
    ("query", "id"),
    [
        ("markup in a document", MARKUP[:200]),
        ("a long name", LONG),
        ("emoji combining", "emoji"),
        ("odd values", "odd"),
        ("id that looks like a path", "hidden/../../page/main.js?x=1#y"),
        ("חיפוש", "rtl"),
    ],
)
@pytest.mark.parametrize("panel", ["search", "judge", "tune"])
def test_a_document_is_text_and_stays_in_its_place(tab: Browser, query: str, id: str, panel: str) -> None:
    tab.open(f"panel={panel}&index=strange&q={query}")
    tab.settled(f"#panel-{panel} .hit")
    assert id in [one.get_attribute("data-id") for one in tab.page.query_selector_all(f"#panel-{panel} .hit")]
    assert tab.page.title() == "cherche"
    assert tab.page.query_selector_all("#main img, #main script") == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 1280
    if panel == "search":
        first(tab)
        assert tab.page.query_selector_all("dialog img, dialog script") == []
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 1280
        tab.press("Escape")
        tab.until("!document.querySelector('dialog')")


def test_marks_stand_on_the_words_whatever_the_script(tab: Browser) -> None:
    """Offsets are code points; JavaScript's strings are not made of them."""
    search(tab, "combining family")
    marks = [one.inner_text() for one in tab.page.query_selector_all(".passage mark")]
    assert marks, tab.text("#panel-search")
    text = " ".join(str(value) for source in DOCUMENTS.values() for value in source.values())
    assert all(mark in text for mark in marks), marks
    assert not any("\ufffd" in mark for mark in marks), marks


def test_a_link_with_a_query_asks_once_and_for_passages(tab: Browser) -> None:
    """Before it was known that the index has some, the same searches ran without, and could be what was shown."""
    asked: list[str] = []

    def note(request: Any) -> None:
        if request.url.endswith("/search"):
            asked.append(request.post_data)

    tab.page.on("request", note)
    search(tab, "combining family")
    tab.page.remove_listener("request", note)
    assert [json.loads(one).get("passages") for one in asked] == [2, 2]


def test_a_huge_document_is_read_in_time(tab: Browser) -> None:
    search(tab, "huge document")
    first(tab)
    tab.press("Escape")


def test_no_hits_say_so(tab: Browser, accessible: Callable[[], None]) -> None:
    tab.open("index=strange&q=zzzzqqqq&left=bm25&right=bm25")
    tab.page.wait_for_selector("#panel-search section .muted")
    assert "No hits. Try other words" in tab.text("#panel-search")[0]
    accessible()
    for panel in ("judge", "tune"):
        tab.open(f"panel={panel}&index=strange&q=zzzzqqqq")
        tab.until(f"!!document.querySelector('#panel-{panel}').textContent.trim()")
        assert "undefined" not in tab.text(f"#panel-{panel}")[0]
        assert "Infinity" not in tab.text(f"#panel-{panel}")[0]


def test_a_query_of_signs_is_a_query(tab: Browser) -> None:
    for query in ('"', "a AND (", "%", "100%25", "<b>", "\\", '+-&&||!(){}[]^"~*?:/'):
        tab.open()
        tab.page.fill("#query", query)
        tab.page.press("#query", "Enter")
        tab.until("!document.querySelector('#panel-search [aria-busy]')")
        assert tab.text("#panel-search .problem") == []
        tab.page.reload()
        tab.page.wait_for_selector("#index option", state="attached")
        assert tab.page.input_value("#query") == query, "the address keeps it"


def test_a_gateway_that_restarts_is_told_and_found_again(tab: Browser, tmp_path: Path) -> None:
    """The page stays open: what fails names the reason, and the next question is answered by the new gateway."""
    documents = [SourceDocument("1", b'{"title": "one", "text": "a document"}')]
    with serving(tmp_path, {"strange": documents}, model="cherche-tiny") as site:
        port = int(site.url.rpartition(":")[2])
        search(Browser(tab.page, site.url), "document")
        site.stop()
        tab.page.fill("#query", "another")
        tab.page.press("#query", "Enter")
        tab.page.wait_for_selector("#panel-search .problem")
        assert "The sidecar does not answer." in tab.text("#panel-search .problem")[0]
        with serving(tmp_path, {"strange": documents}, model="cherche-tiny", port=port):
            tab.page.fill("#query", "document")
            tab.page.press("#query", "Enter")
            tab.settled("#panel-search .hit")
    assert all("ERR_CONNECTION_REFUSED" in line for line in tab.said), tab.said
    tab.said.clear()
