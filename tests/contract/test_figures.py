"""Figures that the documentation quotes are those that were measured."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "sidecar" / "docs"
SHIPPED = ("cherche-small", "cherche-tiny")
ROWS = ("10¹⁵ operations, for a GPU", "disk of each copy, segment replication, merged", "shards of 40 GB")


def measured(name: str) -> Any:
    return json.loads((ROOT / "tests" / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def rows(page: str, heading: str) -> Iterator[dict[str, str]]:
    """Rows of each table of a page whose header has `heading`; the first column is called ""."""
    columns: list[str] = []
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = ["", *cells[1:]]
        elif heading in columns and not set(line) <= set("|-"):
            yield dict(zip(columns, cells, strict=True))


def share(value: float) -> str:
    """As the tables have a measure: three digits, without the zero before the point."""
    return f"{value:.3f}".removeprefix("0")


def test_what_the_shipped_models_cost() -> None:
    found = measured("shipped")["models"]
    for page in ("capacity.md", "choosing-a-model.md"):
        shown = {row[""]: row for row in rows(page, "bytes a document") if row[""] in SHIPPED}
        for model in SHIPPED:
            speed = found[model]["documents_per_second"]["median"]
            assert shown[model]["documents/s"] == f"{speed:.1f}"
            assert shown[model]["bytes a document"] == f"{found[model]['bytes_per_document']:,.0f}"
            if page == "capacity.md":
                hours = 1e6 / speed / 3600
                assert shown[model]["a million documents"] == (f"{hours:.0f} h" if hours >= 10 else f"{hours:.1f} h")


def test_what_a_feed_leaves_of_the_encoder() -> None:
    models = measured("feed")["figures"]["models"]
    ways = {
        "the encoder alone": "encoder",
        "a feed, embedded engine": "embedded",
        "a feed, OpenSearch": "opensearch",
        "a plain _bulk, BM25 alone": "bulk",
    }
    shown = {row[""]: row for row in rows("capacity.md", "of the encoder's")}
    assert shown.keys() == ways.keys()
    columns = {"cherche-tiny": ("of the encoder", "CPU"), "cherche-small": ("of the encoder's", "CPU of it")}
    for label, way in ways.items():
        for model, (part, cpu) in columns.items():
            found = models[model]["ways"][way]
            assert shown[label][model] == f"{found['documents_per_second']['median']:.1f}"
            shares = found.get("share_of_the_encoder")
            assert shown[label][part] == (f"{shares['median']:.2f}".removeprefix("0") if shares else "")
            assert shown[label][cpu] == f"{sum(found['cpu_ms_per_document'].values()):.1f}"


def test_what_threads_cost_beside_a_neighbour() -> None:
    found = measured("neighbour")["models"]
    shown = {row[""]: row for row in rows("capacity.md", "cherche-small beside it")}
    assert set(shown) == set(found[SHIPPED[0]])
    for setting, row in shown.items():
        for model in SHIPPED:
            for company, column in (("alone", f"{model} alone"), ("beside", f"{model} beside it")):
                assert row[column] == f"{found[model][setting][f'ms_{company}']['median']:.0f}"


@pytest.mark.parametrize("collection", ["SciFact", "Cranfield"])
def test_how_the_shipped_models_rank(collection: str) -> None:
    shown = {row[""]: row for row in rows("choosing-a-model.md", "SciFact hybrid")}
    for model in SHIPPED:
        modes = measured(f"quality-{model}")["figures"][collection.lower()]["modes"]
        assert shown[model][f"{collection} hybrid"] == share(modes["hybrid"]["ndcg@10"])
        assert shown[model][f"{collection} + rerank"] == share(modes["hybrid+rerank"]["ndcg@10"])
        assert shown["BM25 alone"][f"{collection} hybrid"] == share(modes["bm25"]["ndcg@10"])


def card(model: str) -> str:
    return f"../../cherche_models/pretrained/{model}/README.md"


@pytest.mark.parametrize(
    ("model", "results", "columns"),
    [
        *((each, f"quality-{each}", ("SciFact test, 300 queries", "Cranfield, 225 queries")) for each in SHIPPED),
        ("cherche-small", "quality-cherche-small-bf16", ("SciFact test", "Cranfield")),
    ],
)
def test_cards_have_the_figures_of_test_collections(model: str, results: str, columns: tuple[str, str]) -> None:
    modes = {
        "BM25": "bm25",
        "sparse": "sparse",
        "hybrid": "hybrid",
        "hybrid, reranked": "hybrid+rerank",
        "sparse, doc_only": "sparse, doc only",
        "hybrid, doc_only": "hybrid, doc only",
    }
    figures = measured(results)["figures"]
    assert ("bf16" in results) == (figures["dtype"] == "torch.bfloat16")
    shown = {row[""]: row for row in rows(card(model), columns[0])}
    assert {"sparse", "hybrid", "hybrid, reranked"} <= shown.keys()
    assert {"sparse, doc_only", "hybrid, doc_only"} <= shown.keys() or "bf16" not in results
    for label, row in shown.items():
        for name, column in zip(("scifact", "cranfield"), columns, strict=True):
            assert row[column] == share(figures[name]["modes"][modes[label]]["ndcg@10"]), (label, name)


def test_the_rows_of_neural_cherche() -> None:
    column = "here: cherche-small, zero-shot"
    shown = {row[""].partition(":")[0]: row for row in rows("../../README.md", column)}
    found = measured("rows")["rows"]
    assert len(shown) == len(found) == 7
    for name, row in found.items():
        label = "all-mpnet-base-v2, cosines" if name == "dense" else name
        assert shown[label][column] == " / ".join(share(value) for value in row["ours"])
        assert shown[label]["neural-cherche: trained on MS MARCO"] == " / ".join(
            f"{value:.2f}".lstrip("0") for value in row["neural-cherche"]
        )


def test_one_model_beside_the_pair_that_it_replaces() -> None:
    found = measured("pair")
    alone = found["sets"]["mean"]
    heading = "one model − pair, reranked (p)"
    shown = {row[""]: row for row in rows(card("cherche-small"), heading)}
    one = shown.pop("cherche-small")
    assert (one["hybrid"], one["hybrid + rerank"]) == (share(alone["hybrid"]), share(alone["hybrid+rerank"]))
    assert shown.keys() == found["pairs"].keys()
    for name, pair in found["pairs"].items():
        mean = pair["sets"]["mean"]
        assert shown[name]["hybrid"] == share(mean["hybrid"])
        assert shown[name]["hybrid + rerank"] == share(mean["hybrid+rerank"])
        difference, p = mean["alone - pair, hybrid+rerank"]
        said = "p < .001" if p < 0.001 else "p " + share(p)
        assert shown[name][heading] == f"{difference:+.3f}".replace("0.", ".").replace("-", "−") + f" ({said})"


def test_what_queries_without_a_model_call_cost() -> None:
    sets = [one for name, one in measured("small/small")["sets"].items() if name != "mean" and "long-" not in name]
    assert len(sets) == 16

    def mean(column: str) -> str:
        return share(sum(one[column] for one in sets) / len(sets))

    shown = {row[""]: (row["sparse"], row["hybrid"]) for row in rows("choosing-a-model.md", "sparse")}
    assert shown == {
        "BM25 alone": ("", mean("bm25")),
        "full": (mean("sparse"), mean("hybrid")),
        "doc_only": (mean("sparse, doc only"), mean("hybrid, doc only")),
    }


def test_what_an_index_holds_of_a_document() -> None:
    figures = measured("nodes")["figures"]
    stored = 4 * figures["terms_per_document"] + figures["code_bytes_per_document"]
    text = (DOCS / "capacity.md").read_text(encoding="utf-8")
    assert f"{figures['terms_per_document']} terms and {figures['code_bytes_per_document']:,} bytes of codes" in text
    assert f"so {stored:,} bytes" in text
    shown = [(row["bytes a document"], row["of what is stored"]) for row in rows("capacity.md", "of what is stored")]
    for name, one in zip(("document-kept", "segment-excluded"), shown, strict=True):
        held = figures["combinations"][name]["bytes_per_document"]
        assert one == (f"{held:,}", f"{held / stored:.1f} ×")


def test_what_a_million_documents_take() -> None:
    found, nodes = measured("shipped")["models"], measured("nodes")["figures"]
    stored = 4 * nodes["terms_per_document"] + nodes["code_bytes_per_document"]
    shown = {row[""]: row for row in rows("capacity.md", "document replication")}
    hours = {row[""]: row["a million documents"] for row in rows("capacity.md", "a million documents")}
    for model in SHIPPED:
        assert shown[model]["time of one sidecar on two threads"] == hours[model]
        for column, kind in (
            ("disk of each copy, segment replication", "segment-excluded"),
            ("document replication", "document-kept"),
        ):
            overhead = nodes["combinations"][kind]["bytes_per_document"] / stored
            assert shown[model][column] == f"{found[model]['bytes_per_document'] * overhead / 1000:.0f} GB"


def test_what_codecs_take_and_cost() -> None:
    figures = measured("codes")["figures"]
    names = {"int8": "int8", "residual4": "4 bits", "residual2": "2 bits", "pool3+residual2": "2 bits, pooled by 3"}
    shown = {row["codes"] if "codes" in row else row[""]: row for row in rows("capacity.md", "bytes of 180 tokens")}
    for codec, name in names.items():
        two = [figures[collection]["codecs"][codec] for collection in ("scifact", "cranfield")]
        row = shown[name]
        assert row["bytes of 180 tokens"] == f"{two[0]['bytes at 180 tokens']:,}"
        assert [row["SciFact"], row["Cranfield"]] == [f"{one['full flow']['ndcg@10']:.4f}"[1:] for one in two]
        changes = ", ".join(f"{100 * one['MaxSim alone']['relative to float32']:+.1f} %" for one in two)
        assert re.sub(r"\b0\.", ".", changes.replace("-", "−")) == re.sub(r"\b0\.", ".", row["MaxSim alone"])


def test_what_a_sidecar_holds_in_memory() -> None:
    steps = [(step["at_work"], step["at_rest"]) for step in measured("memory")["figures"]["steps"]]
    shown = [row for row in rows("capacity.md", "at work") if "," not in row["at work"]]
    assert len(shown) == 6
    for row in shown:
        assert (int(row["at work"]), int(row["at rest"])) in steps, row[""]


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


def by_cpu(name: str, part: str) -> Any:
    """Of figures that are kept by CPU, those of the one."""
    [found] = [one for cpu, one in measured(name).items() if part in cpu]
    return found


def test_what_encoding_costs_beside_peers() -> None:
    columns = {
        "AMD EPYC, bf16: titles": ("AMD EPYC, family 25", "bf16", "titles"),
        "abstracts": ("AMD EPYC, family 25", "bf16", "abstracts"),
        "Xeon, fp32: titles": ("Xeon", "fp32", "titles"),
        "abstracts of the Xeon": ("Xeon", "fp32", "abstracts"),
    }
    shown = {row[""]: row for row in rows("../../README.md", "Xeon, fp32: titles")}
    heads = {"SPLADE": "sparse", "late interaction": "late interaction"}
    cells = {(row, column): text for row, line in shown.items() for column, text in line.items() if column}
    expected = dict.fromkeys(cells, "")
    for column, (cpu, dtype, texts) in columns.items():
        for label, head in heads.items():
            for pair, found in by_cpu("encode", cpu)[head][texts]["times_faster"].items():
                ours, _, peer = pair.partition(" over ")
                if ours == f"cherche {dtype}":
                    named = (
                        peer.replace("Runtime fp32", "Runtime")
                        .replace("s fp32", "s in fp32")
                        .replace(" bf16", " in bf16")
                    )
                    expected[f"{label} over {named}", column] = f"{found['min']:.1f}"
    assert cells == expected
    memory = by_cpu("encode", "AMD EPYC, family 25")["memory"]
    peaks = [
        memory[way]["peak_mib"] for way in ("cherche bf16", *(f"sentence-transformers {d}" for d in ("fp32", "bf16")))
    ]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        "takes {} MiB at its peak; with sentence-transformers, 32 at a time, {:,} in fp32 and {:,} in bf16".format(
            *peaks
        )
        in text
    )


def test_what_maxsim_costs_beside_peers() -> None:
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    for cpu, said in (
        (
            "Xeon",
            "int8 {:.1f} ms with AVX512_VNNI ({:.1f} times maxsim-cpu, {:.1f} times PyLate; medians {:.1f} and {:.1f})",
        ),
        (
            "AMD EPYC, family 25",
            "int8 {:.1f} ms ({:.1f} times maxsim-cpu, {:.1f} times PyLate; medians {:.1f} and {:.1f})",
        ),
    ):
        window = by_cpu("maxsim", cpu)["windows"][0]
        ours, faster = "cherche, compiled, avx512vnni", window["times_faster"]
        over = [faster[f"{ours} over {peer}"] for peer in ("maxsim-cpu", "PyLate")]
        milliseconds = window["milliseconds_of_cpu"][ours]["min"]
        assert said.format(milliseconds, *(each[key] for key in ("min", "median") for each in over)) in text


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
