"""Figures of searches, clusters and sidecars that the documentation quotes are those that were measured."""

from __future__ import annotations

import pytest

from tests.contract.figures import DOCS, ROOT, SHIPPED, measured, rows

ROWS = ("10¹⁵ operations, for a GPU", "disk of each copy, segment replication, merged", "shards of 40 GB")


def test_what_a_search_costs_the_cluster() -> None:
    figures = measured("first_stage")["figures"]
    sizes, more = figures["sizes"], figures["cpu_ms_for_a_million_documents_more"]
    ways = {
        "BM25 alone": "bm25",
        "hybrid": "folded",
        "hybrid, 8 first terms": "two phases 8/1000",
        "hybrid, 16 first terms": "two phases 16/1000",
        "hybrid, pruned to 16 terms": "pruned",
    }
    shown = {row[""]: row for row in rows("capacity.md", "found")}
    assert shown.keys() == ways.keys()
    for name, way in ways.items():
        large = sizes["1000000"]
        for column, measures in (
            ("100,000 documents", sizes["100000"]["ways"]["queries"]),
            ("1,000,000", large["ways"]["queries"]),
            ("one to three words", large["ways"]["of one to three words"]),
        ):
            assert shown[name][column] == f"{measures[way]['cpu_ms']:.1f}"
        for column, group in (("a million more", "queries"), ("of one to three words", "of one to three words")):
            assert shown[name][column] == f"{more[group][way]:.0f}"
        if way in large["compared_with_exact"]:
            found = large["compared_with_exact"][way]["recall_at_100"]
            assert shown[name]["found"] == f"{found:.4f}".removeprefix("0")


def test_what_six_shards_find_and_lose() -> None:
    figures = measured("spread")["figures"]
    lost, compared = figures["a_node_lost"], figures["compared_with_exact"]
    stages = {
        "nothing beside it": "quiet",
        "beside the writes": "beside writes",
        "and a node is lost": "beside writes, a node is lost",
        "and it returns": "beside writes, it returns",
    }
    shown = {row[""]: row for row in rows("capacity.md", "16 first terms, half")}
    assert shown.keys() == stages.keys()
    for label, stage in stages.items():
        cells = [lost[stage][way][p] for way in ("folded", "two phases 16/1000") for p in ("p50_ms", "p99_ms")]
        assert list(shown[label].values())[1:] == [f"{cell:.0f}" for cell in cells]
    outcomes = [lost[stage]["outcomes"] for stage in stages.values()]
    searches, whole = sum(sum(one.values()) for one in outcomes), sum(one.get("whole", 0) for one in outcomes)
    partly = sum(one.get("of some shards", 0) for one in outcomes)
    recalls = [compared[way]["recall_at_100"] for way in ("two phases 8/1000", "two phases 16/1000", "pruned")]
    eight, sixteen, pruned = (f"{one:.4f}".removeprefix("0") if one < 1 else "1" for one in recalls)
    text = " ".join((DOCS / "capacity.md").read_text(encoding="utf-8").split())
    for said in (
        f"{figures['index']['documents']:,} of the mixed documents in six shards",
        f"8 first terms have {eight}, 16 {sixteen}, and `pruned` {pruned}",
        f"Of {searches:,} searches {searches - whole - partly} failed and {partly} were answered by some of the shards",
        f"of {lost['writes']['acknowledged']:,} documents that were acknowledged",
        f"{lost['acknowledged_but_missing']} were missing",
    ):
        assert said in text


def test_what_a_start_costs() -> None:
    found = measured("start")["figures"]["serving"]
    shown = {row[""]: row for row in rows("capacity.md", "CPU with torch")}
    for model in SHIPPED:
        for way, suffix in (("light", ""), ("torch", " with torch")):
            cpu, memory = (found[model][way][name]["min"] for name in ("cpu_seconds", "rss_mib"))
            assert shown[model][f"CPU{suffix}"] == f"{cpu:.2f} s"
            assert shown[model][f"memory{suffix}"] == f"{memory:.0f}"
        ratios = measured("start")["figures"]["documents"][model]
        [row] = [one for one in rows("capacity.md", "documents of 64 tokens") if one[""] == model]
        for length, column in (("64", "documents of 64 tokens"), ("180", "of 180"), ("512", "of 512")):
            assert row[column] == f"{ratios[length]['median']:.2f}".removeprefix("0")
        assert found[model]["light"]["rss_mib"]["median"] < found[model]["torch"]["rss_mib"]["median"] / 2


def test_what_forty_million_documents_would_take() -> None:
    found, nodes, first = (
        measured("shipped")["models"],
        measured("nodes")["figures"],
        measured("first_stage")["figures"],
    )
    stored = 4 * nodes["terms_per_document"] + nodes["code_bytes_per_document"]
    overhead = nodes["combinations"]["segment-excluded"]["bytes_per_document"] / stored
    shown = {row[""]: row for row in rows("capacity.md", "cherche-tiny") if "hours" in row[""] or row[""] in ROWS}
    assert len(shown) == 1 + len(ROWS)
    for model in SHIPPED:
        speed, bytes_ = found[model]["documents_per_second"]["median"], found[model]["bytes_per_document"] * overhead
        assert shown["hours of one sidecar on two threads"][model] == f"{40e6 / speed / 3600:.0f}"
        assert shown[ROWS[0]][model] == f"{40 * found[model]['gflop_per_second'] / speed:,.0f}"
        assert shown[ROWS[1]][model] == f"{40e6 * bytes_ / 1e12:.1f} TB"
        assert shown[ROWS[2]][model] == f"{40e6 * bytes_ / 40e9:.0f}"
    text = " ".join((DOCS / "capacity.md").read_text(encoding="utf-8").split())
    ways, more = first["sizes"]["1000000"]["ways"]["queries"], first["cpu_ms_for_a_million_documents_more"]["queries"]
    seconds = {way: f"{(ways[way]['cpu_ms'] + 39 * more[way]) / 1000:.2f}" for way in more}
    assert (
        f"BM25 {seconds['bm25']}, hybrid {seconds['folded']}, with 16 first terms {seconds['two phases 16/1000']}."
        in text
    )
    hours = (
        40 * found["cherche-small"]["gflop_per_second"] / found["cherche-small"]["documents_per_second"]["median"] / 360
    )
    assert f"would take {hours:.1f} hours" in text


def test_what_a_rolling_restart_costs() -> None:
    figures = measured("restart")["figures"]
    during, without = figures["during_restart"], figures["without_restart"]
    text = " ".join((DOCS / "capacity.md").read_text(encoding="utf-8").split())
    for said in (
        f"under {figures['searches_per_second']:.0f} searches with rerank a second",
        f"of {during['searches']} searches {figures['failed_searches']} failed",
        f"within {during['p99_ms']:.0f} ms, without a replacement within {without['p99_ms']:.0f}.",
    ):
        assert said in text


def test_what_twice_the_capacity_does() -> None:
    figures = measured("overload")["figures"]
    found, soaked = figures["overload"], figures["soak"]
    calls = found["under load"]
    ways = {
        "one by one": found["quiet searches"],
        "beside two feeds": found["beside feeds"]["searches"],
        "at twice the capacity": calls["search"],
    }
    shown = {row[""]: (row["half"], row["99 of 100"]) for row in rows("capacity.md", "99 of 100")}
    assert shown == {
        name: (f"{one['answered_ms']['p50']:.1f}", f"{one['answered_ms']['p99']:.1f}") for name, one in ways.items()
    }
    assert set(calls["search"]["codes"]) == {"OK"}
    writes = [calls["encode"], calls["feed"]]
    refused = sum(one["codes"]["RESOURCE_EXHAUSTED"] for one in writes)
    assert not any(one["refusals_without_retry_info"] for one in calls.values())
    memory, end = found["memory_mib"], soaked["at the end"]
    start, without = soaked["after the first round"], figures["callers without the token"]
    assert not soaked["kept"]
    assert (end["descriptors"], end["tasks"]) == (start["descriptors"], start["tasks"])
    text = " ".join((DOCS / "capacity.md").read_text(encoding="utf-8").split())
    for said in (
        f"All {calls['search']['calls']:,} searches were answered",
        f"Of {sum(one['calls'] for one in writes)} calls with documents {refused} were refused",
        f"memory rose by {memory['most'] - memory['before']:.0f} MiB",
        f"health answered within {found['health_ms']['worst']:.0f} ms",
        f"left {end['descriptors']} descriptors and {end['tasks']} tasks",
        f"{soaked['calls']:,} calls, resident memory rose from {start['rss_mib']:,.0f} to {end['rss_mib']:,.0f} MiB",
        f"without the token cost {without['sidecar']['cpu_ms_per_call']:.2f} ms of CPU",
        f"{without['grpcio alone, cpu_ms_per_call']:.2f} of them gRPC's own",
    ):
        assert said in text


SEARCHED = {
    "BM25, asked directly": "bm25",
    "BM25, by the sidecar": "bm25 by sidecar",
    "hybrid": "hybrid",
    "hybrid + rerank of 100 hits": "hybrid + rerank",
    "the same, queries that nobody asked": "hybrid + rerank, new queries",
    "the same, no codes kept": "hybrid + rerank, no codes kept",
}


@pytest.mark.parametrize(("heading", "beside"), [("1 client", False), ("1 client, beside it", True)])
def test_what_a_search_costs_through_a_sidecar(heading: str, beside: bool) -> None:
    figures = measured("flow")["figures"]
    index, writes = figures["index"], figures["beside_writes"]
    assert (index["documents"], index["texts"], index["weights_and_codes_in_source"]) == (100_000, 2000, False)
    assert round(writes["per_second"] / 20) == 10
    shown = {row[""]: row for row in rows("capacity.md", heading)}
    measures = (writes if beside else figures)["clients"]
    assert {SEARCHED[name] for name in shown} == measures["1"].keys()
    for name, row in shown.items():
        found = {clients: ways[SEARCHED[name]] for clients, ways in measures.items()}
        for column, clients in ((heading, "1"), ("8", "8"), ("32", "32")):
            assert row[column] == f"{found[clients]['searches_per_second']:.0f}"
        eight = found["8"]
        assert row["p50, p99 of 8"] == f"{eight['p50_ms']:.0f}, {eight['p99_ms']:.0f}"
        if not beside:
            parts = [f"{eight[f'{part}_cpu_ms']:.0f}" for part in ("cluster", "sidecar")]
            assert row["CPU of a search"] == " + ".join(part for part in parts if part != "0")


def test_how_long_searches_take_that_arrive_at_random_times() -> None:
    loads = measured("flow")["figures"]["open_loop"]
    shown = {row[""]: row for row in rows("capacity.md", "half as many")}
    assert {SEARCHED[name] for name in shown} == loads["0.5"].keys()
    for name, row in shown.items():
        for load, rate, times in (("0.5", "half as many", "p50, p99"), ("0.8", "four fifths", "p50, p99 of these")):
            found = loads[load][SEARCHED[name]]
            assert row[rate] == f"{found['per_second']:.0f}"
            assert row[times] == f"{found['p50_ms']:.0f}, {found['p99_ms']:.0f}"


def test_what_became_of_a_thousand_searches_at_once() -> None:
    kinds = measured("crowd")["figures"]["kinds"]
    groups = {
        "without the pipeline": [kinds["plain"]],
        "queries that the node has encoded": [kinds["known"]],
        "queries that it has not": [kinds["new"]],
        "sidecars that answer as none may": [one for name, one in kinds.items() if name.startswith("hostile: ")],
    }
    shown = {row[""]: row for row in rows("../../opensearch/plugin/README.md", "kept")}
    assert shown.keys() == groups.keys()
    for label, some in groups.items():
        answered, searches = sum(one["answered"] for one in some), sum(one["searches"] for one in some)
        assert shown[label]["answered with hits"] == f"{answered:,} of {searches:,}"
        assert shown[label]["reranked"] == f"{sum(one['rerank_status'].get('APPLIED', 0) for one in some):,}"
        waiting = max(one["searches waiting for a thread, at most"] for one in some)
        assert shown[label]["waiting for a thread, at most"] == f"{waiting:,}"
        heaps = [one["heap_mib"] for one in some]
        assert shown[label]["heap at most"] == f"{max(heap['most'] for heap in heaps):.0f} MiB"
        assert shown[label]["kept"] == f"{max(heap['after'] - heap['before'] for heap in heaps):.1f} MiB"


def test_two_versions_beside_each_other() -> None:
    figures = measured("versions")["figures"]
    sidecars, plugins = figures["two sidecars"], figures["two plugins"]
    searches = sidecars["searches"] + sidecars["searches beside writes"]
    searches += plugins["searches"] + sum(plugins["searches beside writes"].values())
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{searches:,} searches, none failed" in readme
    assert not sidecars["failed"]
    assert not plugins["problems"]
    upgrade = figures["upgrade"]
    assert f"from {upgrade['from']} to {upgrade['to']}" in readme
    assert f"with {sum(upgrade['searches'].values()):,} searches and {upgrade['acknowledged']:,} writes" in readme
    assert not upgrade["problems"]
    assert sum(upgrade["searches sent again as a node had left"].values()) == 1
    assert "and one search was sent again since its node had left" in readme


def test_what_codes_on_demand_save_and_cost() -> None:
    found = measured("on_demand")["figures"]
    log = found["log"]
    parts = {
        "the first tenth": log[0],
        "the second": log[1],
        "the last": log[-1],
        "all of them": found["whole_log"],
        "asked again": found["again"],
    }
    shown = {row[""]: row for row in rows("capacity.md", "cold hits")}
    assert shown.keys() == parts.keys()
    for name, part in parts.items():
        times = [f"{part[f'{way}_p50']:.0f}, {part[f'{way}_p95']:.0f}" for way in ("ms", "stored_ms")]
        shares = [f"{100 * part[key]:.0f} %" if key in part else "" for key in ("cold_share", "unranked_share")]
        assert list(shown[name].values())[1:] == [*shares, *times]
    text = " ".join((DOCS / "capacity.md").read_text(encoding="utf-8").split())
    bare, whole, after = (f"{found['bytes'][name] / 1e6:.0f} MB" for name in ("on_demand", "stored", "after_the_log"))
    coded = found["documents_with_codes_after_the_log"]
    assert f"The index has {bare} where one that stores all codes has {whole}." in text
    assert f"After the queries {coded:,} documents have codes, and it has {after}" in text
