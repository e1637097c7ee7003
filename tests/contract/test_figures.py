"""Figures of models and encoding that the documentation quotes are those that were measured."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cherche_models import hub
from tests.contract.figures import DOCS, ROOT, SHIPPED, measured, rows, share


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
    found = measured("small/dev")
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


def fields() -> dict[str, Any]:
    """The 16 dev sets of short documents, at the weights that are stored with the model."""
    sets = measured("small/dev")["stored"]["sets"]
    found = {name: one for name, one in sets.items() if name != "mean" and "long-" not in name}
    assert len(found) == 16
    return found


def test_what_each_stage_finds_on_dev_sets() -> None:
    columns = {"BM25": "bm25", "sparse": "sparse", "hybrid": "hybrid", "hybrid + rerank": "hybrid+rerank"}
    sets, short = measured("small/dev")["stored"]["sets"], fields()
    untrained = "hybrid+all-MiniLM-L6-v2"
    mean = {name: sum(one[name] for one in short.values()) / 16 for name in (*columns.values(), untrained)}
    shown = {row[""]: row for row in rows(card("cherche-small"), "rerank − hybrid (p)")}
    assert shown.keys() == (sets.keys() - {"mean"}) | {"**mean of the 16 fields**"}
    for name, row in shown.items():
        found = mean if "mean" in name else sets[name]
        for heading, mode in {**columns, "hybrid + untrained base": untrained}.items():
            assert row[heading] == share(found[mode]), (name, heading)
    heading = "hybrid + all-MiniLM-L6 untrained, 384 d"
    for row in rows("../../README.md", heading):
        name = row[""].rpartition(": ")[2]
        found = mean if "mean" in name else sets[name]
        for label, mode in {**columns, heading: untrained}.items():
            assert row[label] == share(found[mode]), (name, label)


def test_the_model_that_ships_has_the_weights_of_its_figures() -> None:
    found, model = measured("small/dev"), hub.load("cherche-small", device="cpu")
    assert found["digest"] == model.digest
    assert found["stored"]["sparse_boost"] == model.sparse_boost
    assert found["stored"]["rerank_weight"] == model.rerank_weight


def test_what_queries_without_a_model_call_cost() -> None:
    sets = list(fields().values())

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


def test_what_codes_of_the_small_model_lose() -> None:
    found = measured("codes-cherche-small")["figures"]
    forms = {
        "int8": "int8",
        "2 bits": "residual2",
        "1 bit, pooled by 2": "pool2+residual1",
        "2 bits, pooled by 3": "pool3+residual2",
    }
    shown = {row[""]: row for row in rows("capacity.md", "bytes of so many tokens")}
    columns = {"nDCG@10, SciFact": "scifact", "nDCG@10, Cranfield": "cranfield"}
    for column, name in columns.items():
        assert shown["float32"][column] == f"{found[name]['float32']['full flow']:.4f}"[1:]
        for label, form in forms.items():
            assert shown[label][column] == f"{found[name]['codecs'][form]['full flow']['ndcg@10']:.4f}"[1:]
    assert shown["float32"]["bytes of so many tokens"] == f"{4 * 128 * 180:,}"
    for label, form in forms.items():
        assert shown[label]["bytes of so many tokens"] == f"{found['scifact']['codecs'][form]['bytes at 180 tokens']:,}"
    assert shown.keys() == {"float32", *forms}
