"""The page in a real browser, by keyboard alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import Browser
from tests.e2e.conftest import INDEX
from tests.served import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
QUERY = "delete a folder with everything in it"
OTHER = "copy a file with its dates"


def asked(tab: Browser, query: str = QUERY, fragment: str = "") -> None:
    """A search by keyboard: slash, the words, Enter."""
    tab.open(fragment)
    tab.until("document.activeElement.id === 'query'")
    tab.page.keyboard.type(query)
    tab.press("Enter")
    tab.settled(".hit")


def shares(line: str) -> tuple[float, float]:
    """A hit's score, and the sum of its parts, as they are printed."""
    score, *parts = [float(number) for number in re.findall(r"\d+\.\d+|\b0\b", line)]
    return score, sum(parts)


def test_a_search_shows_both_modes_and_bars_that_add_up(tab: Browser) -> None:
    asked(tab)
    assert tab.page.eval_on_selector("#index", "one => one.value") == INDEX
    assert tab.text(".rank")[:2] == ["1", "2"]
    lines = tab.text(".nums")
    assert len(lines) == len(tab.text(".hit"))
    for line in lines:
        score, total = shares(line)
        assert total == pytest.approx(score, abs=0.004), line
    assert any("MaxSim" in line for line in lines)
    assert "MaxSim reordered the best" in " ".join(tab.text(".said"))


def test_a_hit_shows_its_best_passage_and_what_of_it_answers(tab: Browser) -> None:
    asked(tab)
    right = tab.page.locator(".hits").nth(1)
    assert right.locator(".passage").count() == right.locator(".hit").count()
    first = right.locator(".passage").first
    marked = {one.get_attribute("title"): one.text_content() for one in first.locator("mark").all()}
    assert any("“del”" in said and words == "delete" for said, words in marked.items()), marked
    assert all(words and words in (first.text_content() or "") for words in marked.values())


def test_lines_show_where_each_hit_moved(tab: Browser) -> None:
    asked(tab)
    columns = tab.page.query_selector_all(".hits")
    left, right = (
        {card.get_attribute("data-id"): place for place, card in enumerate(column.query_selector_all(".hit"))}
        for column in columns
    )
    tab.page.wait_for_selector(".lines path", state="attached")
    drawn = {one.get_attribute("data-id"): one.get_attribute("class") for one in tab.page.query_selector_all("path")}
    assert set(drawn) == set(left) | set(right)
    for id, kind in drawn.items():
        if id in left and id in right:
            assert kind == ("up" if right[id] < left[id] else "down" if right[id] > left[id] else "same")
        else:
            assert kind == ("new" if id in right else "gone")


def test_hits_are_walked_by_keyboard_and_what_was_asked_is_shown(tab: Browser) -> None:
    asked(tab)
    tab.page.locator(".hits").nth(1).locator(".hit-title").first.focus()
    for key, rank in (("j", "2"), ("ArrowDown", "3"), ("k", "2")):
        tab.press(key)
        tab.until(f"document.activeElement.closest('.hit')?.querySelector('.rank').textContent === '{rank}'")
    tab.page.focus(".how summary")
    tab.press("Enter")
    tab.page.wait_for_selector(".how[open] pre")
    assert '"words"' in tab.text("pre")[0]
    assert "engine" in " ".join(tab.text(".waterfall"))


def test_a_mode_is_changed_by_keyboard_and_kept_in_the_address(tab: Browser) -> None:
    asked(tab)
    tab.page.select_option("[aria-label='Left column']", "sparse")
    tab.until("document.querySelector('.said').textContent.includes('weighted term')")
    tab.page.reload()
    tab.settled(".hit")
    assert tab.page.eval_on_selector("[aria-label='Left column']", "one => one.value") == "sparse"
    assert tab.page.eval_on_selector("#query", "one => one.value") == QUERY


def test_what_goes_wrong_says_what_to_do(tab: Browser) -> None:
    tab.open("index=none&q=words")
    tab.page.wait_for_selector(".problem")
    assert "there is no index 'none'" in tab.text(".problem")[0]
    assert tab.text(".problem code") == ["cherche setup none"]
    assert all("404" in line for line in tab.said), "the browser's own line about the answer"
    tab.said.clear()


def test_the_keys_are_told(tab: Browser) -> None:
    asked(tab)
    tab.page.focus(".hit-title")
    tab.press("?")
    assert "from hit to hit" in tab.text("dialog")[0]
    tab.press("Escape")
    tab.until("!document.querySelector('dialog')")


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_nothing_is_wider_than_the_window(tab: Browser, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 900})
    asked(tab)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    tab.page.set_viewport_size({"width": 1280, "height": 900})


def why(tab: Browser) -> None:
    """Opens the reasons of the best hit on the right, with Enter."""
    asked(tab)
    tab.page.locator(".hits").nth(1).locator(".hit-title").first.focus()
    tab.press("Enter")
    tab.page.wait_for_selector(".why-grid")


def numbers(tab: Browser, selector: str) -> list[float]:
    return [float(text) for text in tab.text(selector)]


def test_why_shows_terms_that_add_up_and_those_that_the_text_does_not_hold(tab: Browser) -> None:
    why(tab)
    assert not {"false", "null", "undefined"} & set(tab.text("dialog")[0].split())
    said = tab.text(".sparse .part-title")[0]
    total = float(re.findall(r"up to ([\d.]+)", said)[0])
    assert sum(numbers(tab, ".terms td:nth-child(4)")) == pytest.approx(total, rel=0.01)
    assert "Tokens in brackets are the model's own" in tab.text("dialog")[0]
    pieces = "##" in "".join(tab.text(".terms, .tokens, .heat"))
    assert not pieces or "“##” begins a piece within a word" in tab.text("dialog")[0]
    added = {text.split()[0] for text in tab.text(".chip")}
    words = set(re.findall(r"\w+", " ".join(tab.text(".document")).lower()))
    assert added
    assert not added & words, "they match without standing in the text"
    warm = "".join(tab.text(".document .warm")).lower()
    assert "director" in warm or "delet" in warm or "tree" in warm
    tab.press("Escape")
    tab.until("!document.querySelector('dialog')")
    assert tab.page.evaluate("document.activeElement.className") == "hit-title", "back where it was opened"


def test_a_query_token_that_has_the_focus_shows_its_document_token(tab: Browser) -> None:
    why(tab)
    tab.page.locator(".token").nth(1).focus()
    tab.page.wait_for_selector(".document.maxsim .best")
    outlined = "".join(tab.text(".document .best")).lower()
    partner = tab.text(".token")[1].split()[-2]
    assert outlined == partner.removeprefix("##")
    row = tab.page.locator(".heat tbody tr").nth(1)
    assert "lit" in (row.get_attribute("class") or "")
    best = [float(text) for text in tab.text(".heat td.best")]
    total = float(re.findall(r"up to ([\d.]+)", tab.text(".maxsim .part-title")[0])[0])
    assert sum(best) == pytest.approx(total, abs=0.01 * len(best))
    tab.press("Escape")


def test_why_is_accessible(tab: Browser, accessible: Callable[[], None]) -> None:
    why(tab)
    assert tab.page.evaluate("(box => box.scrollWidth - box.clientWidth)(document.querySelector('dialog'))") == 0
    accessible()
    tab.press("Escape")


@pytest.mark.parametrize("query", ["", QUERY])
def test_it_is_accessible(tab: Browser, accessible: Callable[[], None], query: str) -> None:
    if query:
        asked(tab)
    else:
        tab.open()
    accessible()


def test_the_index_says_how_it_stands(tab: Browser, accessible: Callable[[], None]) -> None:
    asked(tab)
    tab.page.focus(".hit-title")
    tab.press("[", "[")  # the last panel, which stands before the first, and the one before it
    tab.page.wait_for_selector(".index-panel .facts")
    said = " ".join(tab.text(".index-panel"))
    documents = len(set(re.findall(r"([\d,]+) documents\n", said)))
    assert documents == 1
    assert "All in order" in said
    colour = tab.page.eval_on_selector(".bars .fill", "one => getComputedStyle(one).backgroundColor")
    assert colour != "rgba(0, 0, 0, 0)", "a bar is seen"
    assert "cherche-tiny" in said
    assert "token codes" in said
    assert re.search(r"A million like these take [\d.]+ GiB\.", said)
    accessible()
    tab.press("]", "]")
    tab.settled("#panel-search .hit")


def test_hits_are_judged_by_keyboard_and_the_modes_measured(
    tab: Browser, site: Site, accessible: Callable[[], None]
) -> None:
    tab.open(f"panel=judge&q={QUERY}")
    tab.page.wait_for_selector(".judge-hit")
    tab.until("document.activeElement.matches('.judge-hit .hit-title')")
    ids = [card.get_attribute("data-id") for card in tab.page.query_selector_all(".judge-hit")]
    relevant = ids.index("shutil.rmtree")
    for place in range(relevant + 1):
        tab.press("3" if place == relevant else "0")
        tab.page.wait_for_selector(f".judge-hit:nth-child({place + 1}) .grade[aria-pressed=true]")
    graded = relevant + 1
    tab.until(f"document.querySelector('.judge-side').textContent.includes('{graded} judgement')")
    kept = (site.settings.gateway.judgements / f"{INDEX}.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"]: json.loads(line)["grade"] for line in kept} == {
        id: 3 if id == "shutil.rmtree" else 0 for id in ids[:graded]
    }
    tab.page.get_by_text("Measure the modes").focus()
    tab.press("Enter")
    tab.page.wait_for_selector(".judge-side table")
    figures = dict(zip(tab.text(".judge-side tbody th"), tab.text(".judge-side tbody td:nth-child(2)"), strict=True))
    assert set(figures) == {"BM25", "Hybrid", "Hybrid + rerank"}
    assert float(figures["Hybrid + rerank"].split()[0]) > 0
    accessible()
    tab.page.set_viewport_size({"width": 800, "height": 900})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 800
    tab.page.set_viewport_size({"width": 1280, "height": 900})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_grade_is_of_the_question_that_its_hits_answer(tab: Browser, site: Site) -> None:
    tab.open(f"panel=judge&q={OTHER}")
    tab.page.wait_for_selector(".judge-hit")
    id = tab.page.query_selector_all(".judge-hit")[0].get_attribute("data-id")
    waiting: list[Any] = []
    tab.page.route("**/page/api/search", lambda route: waiting.append(route))  # noqa: PLW0108  # playwright marks its handlers
    try:
        tab.page.fill("#query", "something else")
        tab.page.press("#query", "Enter")
        while len(waiting) < 3:
            tab.page.wait_for_timeout(20)
        # Its hits are not there yet: those of the question before are.
        tab.page.locator(".judge-hit .grade").first.press("Enter")
        tab.page.wait_for_selector(".judge-hit .grade[aria-pressed=true]")
    finally:
        for route in waiting:
            route.continue_()
        tab.page.unroute("**/page/api/search")
    tab.until("!document.querySelector('.judge-hit .grade[aria-pressed=true]')")
    judged = site.ask("judgements", {"index": INDEX})["queries"]
    assert {"query": OTHER, "grades": {id: 0}} in judged
    assert "something else" not in [one["query"] for one in judged]


def test_settings_are_written_to_the_index_that_they_were_chosen_for(tab: Browser) -> None:
    tab.open(f"panel=tune&q={QUERY}")
    tab.settled(".tune .hit")
    waiting: list[Any] = []
    tab.page.route("**/page/api/index", lambda route: waiting.append(route))  # noqa: PLW0108  # playwright marks its handlers
    try:
        tab.page.evaluate(
            "() => { const index = document.querySelector('#index'); index.append(new Option('other')); "
            "index.value = 'other'; index.dispatchEvent(new Event('change')); }"
        )
        while not waiting:
            tab.page.wait_for_timeout(20)
        tab.page.focus("#tune-boost")
        tab.press("ArrowRight")
        tab.page.get_by_text("Write to the index…").focus()
        tab.press("Enter")
        assert tab.text("#dialog-title") == [f"Write to {INDEX}?"]
        tab.press("Escape")
    finally:
        for route in waiting:
            route.abort()
        tab.page.unroute("**/page/api/index")
    tab.page.wait_for_selector("#panel-tune .problem")
    tab.said.clear()


def tuned(tab: Browser) -> list[str]:
    """Ids in the order that the Tune panel shows."""
    return [card.get_attribute("data-id") for card in tab.page.query_selector_all(".tune .hit")]


def test_sliders_reorder_hits_as_the_sidecar_would_and_write_on_a_click(
    tab: Browser, site: Site, accessible: Callable[[], None]
) -> None:
    old = site.ask("index", {"index": INDEX})["meta"]
    tab.open(f"panel=tune&q={QUERY}")
    tab.settled(".tune .hit")
    before = tuned(tab)
    asked_for: list[str] = []
    tab.page.on("request", lambda request: asked_for.append(request.url))
    tab.page.focus("#tune-weight")
    tab.press(*["ArrowRight"] * 14)
    tab.page.focus("#tune-boost")
    tab.press(*["ArrowRight"] * 10)
    assert asked_for == [], "the parts are there already"
    weight, boost = (
        float(tab.page.eval_on_selector(f"#tune-{name}", "one => one.value")) for name in ("weight", "boost")
    )
    body = {"index": INDEX, "text": QUERY, "rerank": True, "rerank_weight": weight, "sparse_boost": boost}
    found = site.ask("search", body)
    assert tuned(tab) == [hit["id"] for hit in found["hits"]]
    assert tuned(tab) != before
    scores = [shares(line)[0] for line in tab.text(".tune .nums")]
    assert scores == pytest.approx([hit["score"] for hit in found["hits"]], abs=0.001)
    accessible()
    tab.page.get_by_text("Write to the index…").focus()
    tab.press("Enter")
    assert f"{weight:g}" in tab.text("dialog .changes")[0]
    accessible()
    tab.page.locator("dialog .primary").focus()
    tab.press("Enter")
    tab.until("!document.querySelector('dialog')")
    tab.page.wait_for_selector(".written")
    said = (
        f"Sparse boost {old['sparse_boost']:g} → {boost:g}, Share of MaxSim {old['rerank']['weight']:g} → {weight:g}."
    )
    assert tab.text(".written") == [f"Written to {INDEX}: {said}"]
    index = site.ask("index", body)
    assert (index["meta"]["rerank"]["weight"], index["meta"]["sparse_boost"]) == (weight, boost)
