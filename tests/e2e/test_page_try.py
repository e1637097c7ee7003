"""Another cluster in the page: connected to, searched and read in a real browser, by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import Browser
from tests.other_cluster import OtherCluster
from tests.served import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
QUERY = "copy a folder"


def compared(tab: Browser) -> None:
    """Connects with a password, and asks; only keys are used."""
    tab.open("panel=try")
    tab.page.wait_for_selector("#try-url")
    assert tab.text(".try-said")[0].startswith("Connect, then ask")
    tab.page.focus("#try-user")
    tab.page.keyboard.type("ada")
    tab.press("Tab")
    tab.page.keyboard.type("hunter2")
    tab.press("Enter")
    tab.until("document.querySelector('.try-said').textContent.includes('OpenSearch 3.8.0')")
    tab.page.focus("#query")
    tab.page.keyboard.type(QUERY)
    tab.press("Enter")
    tab.settled("#panel-try .hit")


def test_both_orders_stand_side_by_side(tab: Browser, elsewhere: OtherCluster, accessible: Callable[[], None]) -> None:
    elsewhere.asked.clear()
    compared(tab)
    assert tab.page.input_value("#try-index") == "manuals"
    assert "It is only read." in tab.text(".try-said")[0]
    assert "in both" in tab.text(".try-sum")[0]
    left, right = (column.inner_text() for column in tab.page.query_selector_all("#panel-try .hits"))
    assert "shutil." in left
    assert "MaxSim" in right
    assert "MaxSim" not in left
    tab.page.wait_for_selector("#panel-try .lines path", state="attached")
    assert {method for method, path, _ in elsewhere.asked if "_search" not in path} == {"GET"}
    assert {given for _, _, given in elsewhere.asked} == {"Basic YWRhOmh1bnRlcjI="}
    accessible()
    tab.page.focus("#query")
    tab.page.keyboard.type(" with everything")
    tab.press("Enter")
    tab.until("document.querySelector('.try-sum').textContent.includes('2 queries so far')")


def test_a_hit_of_it_is_read_token_by_token(tab: Browser) -> None:
    compared(tab)
    tab.page.locator("#panel-try .hits").nth(1).locator(".hit-title").first.focus()
    tab.press("Enter")
    tab.page.wait_for_selector("dialog .heat")
    tab.page.locator(".token").nth(1).focus()  # the first is special, and of no word
    tab.page.wait_for_selector(".document.maxsim .best")
    tab.press("Escape")
    tab.until("!document.querySelector('dialog')")


def test_credentials_are_in_no_storage_and_no_address(tab: Browser, site: Site) -> None:
    compared(tab)
    kept = "JSON.stringify([{...sessionStorage}, {...localStorage}, location.href, document.cookie])"
    assert "hunter2" not in tab.page.evaluate(kept)
    assert "ada" not in tab.page.evaluate(kept)
    tab.page.reload()
    tab.page.wait_for_selector("#try-url")
    assert tab.page.input_value("#try-secret") == ""


def test_a_cluster_that_nobody_named_is_refused_in_words(tab: Browser) -> None:
    tab.open("panel=try")
    tab.page.wait_for_selector("#try-url")
    tab.page.fill("#try-url", "http://169.254.169.254")
    tab.press("Enter")
    tab.page.wait_for_selector("#panel-try .problem")
    assert "this sidecar may not contact http://169.254.169.254" in tab.text("#panel-try .problem")[0]
    assert all("403" in line for line in tab.said), "the browser's own line about the answer"
    tab.said.clear()


def test_a_page_that_may_contact_none_says_how(tab: Browser, accessible: Callable[[], None]) -> None:
    def without(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(json={**answer.json(), "clusters": []})

    tab.page.route("**/page/api/indices", without)
    try:
        tab.open("panel=try")
        tab.page.wait_for_selector("#panel-try pre")
        assert tab.text("#panel-try pre")[0] == "cherche ui"
        accessible()
    finally:
        tab.page.unroute("**/page/api/indices")
