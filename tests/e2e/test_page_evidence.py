"""What the judgements would change, and what goes on in an index: in a real browser, by keyboard alone."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sidecar.client.client import Client
from sidecar.gateway.page.tune import LEAST
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import BackfillOptions
from tests.browser import Browser
from tests.e2e.conftest import INDEX
from tests.served import SECONDS, Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
TARGETS = {
    "delete a folder with everything in it": "shutil.rmtree",
    "copy a file with its dates": "shutil.copy2",
    "copy a whole folder": "shutil.copytree",
    "how much room is left on the disk": "shutil.disk_usage",
    "where does a command lie": "shutil.which",
    "give a file to another user": "shutil.chown",
    "put a folder into one compressed file": "shutil.make_archive",
    "take files out of an archive": "shutil.unpack_archive",
    "rename something or put it elsewhere": "shutil.move",
    "a folder that is gone afterwards": "tempfile.TemporaryDirectory",
    "a file that is gone when it is closed": "tempfile.TemporaryFile",
    "size of the window": "shutil.get_terminal_size",
}


def judge(site: Site, queries: int) -> None:
    for query, id in list(TARGETS.items())[:queries]:
        site.ask("judge", {"index": INDEX, "query": query, "id": id, "grade": 3})


def found(tab: Browser) -> str:
    """Begins to look for better settings, by keyboard; what the card says at the end."""
    tab.open("panel=judge")
    card = tab.page.locator(".judge-side section", has_text="Tune from these")
    card.get_by_role("button").focus()
    tab.press("Enter")
    tab.until("!document.querySelector('.judge-side progress')")
    tab.page.wait_for_selector(".judge-side :is(table, .problem)")
    return card.inner_text()


def test_few_judgements_choose_nothing_and_say_so(tab: Browser, site: Site, accessible: Callable[[], None]) -> None:
    judge(site, 4)
    tab.open("panel=judge")
    card = tab.page.locator(".judge-side section", has_text="Tune from these")
    card.wait_for()
    assert f"Takes at least {LEAST} queries with a relevant document." in card.inner_text(), "before the click"
    said = found(tab)
    assert "4 of the queries have a relevant document, and 10 are needed" in said
    assert "grade hits of more queries" in said
    assert all("400" in line for line in tab.said), "the browser's own line about the answer"
    tab.said.clear()
    accessible()


def test_what_would_change_is_shown_with_its_worth_and_not_written(
    tab: Browser, site: Site, accessible: Callable[[], None]
) -> None:
    judge(site, len(TARGETS))
    before = site.ask("index", {"index": INDEX})["meta"]
    said = found(tab)
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in said.splitlines() if "\t" in line}
    assert rows["Sparse boost"][0] == f"{before['sparse_boost']:g}"
    assert rows["Share of MaxSim"][0] == f"{before['rerank']['weight']:g}"
    for figure in rows["nDCG@10"]:
        assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", figure), figure
    assert f"{len(TARGETS)} queries; the gain is measured on queries that did not choose" in said
    assert ("Write to the index" in said) == ("which is no chance" in said)
    assert site.ask("index", {"index": INDEX})["meta"] == before
    accessible()


def test_a_choice_is_written_on_a_click_that_shows_the_old_values(tab: Browser, site: Site) -> None:
    judge(site, len(TARGETS))
    meta = site.ask("index", {"index": INDEX})["meta"]
    old = {"sparse_boost": meta["sparse_boost"], "rerank_weight": meta["rerank"]["weight"], "rerank_window": 100}
    new = {**old, "sparse_boost": old["sparse_boost"] + 0.5}
    held = {"a": 0.5, "b": 0.6, "difference": 0.1, "p_value": 0.01}
    offer = {"queries": 12, "before": old, "choice": new, "folds": [new] * 5, "held_out": held, "errors": [0.05, 0.04]}
    answer = json.dumps({"result": {**offer, "offered": True, "reason": "It gains."}})
    tab.page.route("**/page/api/tune", lambda route: route.fulfill(body=answer, content_type="application/json"))
    try:
        assert "It gains." in found(tab)
        tab.page.get_by_text("Write to the index…").focus()
        tab.press("Enter")
        assert f"Sparse boost\t{old['sparse_boost']:g}\t{new['sparse_boost']:g}" in tab.text("dialog .changes")[0]
        assert "Window" not in tab.text("dialog .changes")[0], "what stays is not listed"
        tab.page.locator("dialog .primary").focus()
        tab.press("Enter")
        tab.until("!document.querySelector('dialog')")
        tab.page.wait_for_selector(".judge-side .written")
        assert f"Sparse boost {old['sparse_boost']:g} → {new['sparse_boost']:g}." in tab.text(".written")[0]
    finally:
        tab.page.unroute("**/page/api/tune")
    assert site.ask("index", {"index": INDEX})["meta"]["sparse_boost"] == new["sparse_boost"]
    tab.page.wait_for_selector(".judge-side")
    tab.page.wait_for_load_state("networkidle")


def test_judgements_leave_as_files_that_tune_reads(tab: Browser, site: Site) -> None:
    judge(site, 2)
    tab.open("panel=judge")
    tab.page.wait_for_selector(".judge-side .judged li")
    with tab.page.expect_download() as saved:
        tab.page.get_by_role("button", name="qrels.tsv").press("Enter")
    lines = saved.value.path().read_text().splitlines()
    assert lines[0] == "query-id\tcorpus-id\tscore"
    assert "q1\tshutil.rmtree\t3" in lines
    with tab.page.expect_download() as saved:
        tab.page.get_by_role("button", name="qrels.trec").press("Enter")
    assert "q1 0 shutil.rmtree 3" in saved.value.path().read_text().splitlines()


def call(site: Site, work: Callable[[Client], Any]) -> None:
    """Work of a client in a thread of its own: playwright's loop runs in this one."""

    async def called() -> None:
        async with Client(site.address, timeout=SECONDS) as client:
            await work(client)

    thread = threading.Thread(target=asyncio.run, args=(called(),))
    thread.start()
    thread.join()


async def _documents(count: int) -> AsyncIterator[SourceDocument]:
    for number in range(count):
        yield SourceDocument(str(number), json.dumps({"text": f"text number {number} of some length"}).encode())


async def _fed(client: Client, index: str, count: int) -> None:
    async for result in client.index_documents(index, _documents(count), refresh=True):
        assert result.error is None


def test_a_backfill_is_followed_and_others_are_seen_by_their_count(
    tab: Browser, site: Site, accessible: Callable[[], None]
) -> None:
    async def begun(client: Client) -> None:
        await client.setup_index("jobs", IndexOptions())
        await _fed(client, "jobs", 3)

    call(site, begun)
    tab.open("panel=index&index=jobs")
    tab.page.wait_for_selector(".jobs .said")
    assert "Nothing runs in this sidecar" in tab.text(".jobs")[0]
    call(site, lambda client: _fed(client, "jobs", 40))
    tab.until("document.querySelector('.jobs [data-seen]')?.dataset.seen === '37'")
    assert "37 more documents are encoded than" in tab.text(".jobs")[0]

    async def backfilled(client: Client) -> None:
        await client.remove_index("jobs")
        await client.setup_index("jobs", IndexOptions())
        async for _ in client.backfill_index("jobs", BackfillOptions(search_slowdown=0.0, ignore_disk=True)):
            pass

    call(site, backfilled)
    tab.until("document.querySelector('.jobs')?.textContent.includes('Backfill of jobs: done')")
    assert "40 encoded" in tab.text(".jobs")[0]
    accessible()


def test_a_job_that_goes_on_says_how_far_it_is(tab: Browser, accessible: Callable[[], None]) -> None:
    job = {
        "kind": "backfill", "index": INDEX, "phase": "round 1", "runs": True, "seconds": 20.0, "ago": None,
        "to_encode": 4000, "documents": 5000, "estimated_seconds": 80.0, "round": 1, "read": 1200, "encoded": 1000,
        "kept": 200, "conflicts": 0, "gone": 0, "skipped": 0, "failed": 1, "paused": "the cluster refuses writes",
        "notes": [], "finished": False, "serving": [], "not_done": [{"id": "<b>x</b>", "reason": "is no object"}],
        "error": None,
    }  # fmt: skip
    answer = json.dumps({"counts": {"documents": 5000, "encoded": 1200, "pending": 0}, "jobs": [job]})
    tab.page.route("**/page/api/jobs", lambda route: route.fulfill(body=answer, content_type="application/json"))
    try:
        tab.open("panel=index")
        tab.page.wait_for_selector(".jobs progress")
        said = tab.text(".jobs")[0]
        assert "1,000 of about 4,000 encoded, 50.00 a second, 60 s left; 200 unchanged, 1 failed." in said
        assert "It waits: the cluster refuses writes." in said
        assert tab.page.eval_on_selector(".jobs progress", "one => one.position") == pytest.approx(0.25)
        tab.page.focus(".jobs summary")
        tab.press("Enter")
        assert "<b>x</b> is no object" in tab.text(".failures")[0]
        accessible()
    finally:
        tab.page.unroute("**/page/api/jobs")
