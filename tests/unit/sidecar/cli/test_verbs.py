"""Each verb against a real server with a fake model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cherche_models import hub
from cherche_models.evaluate import read_run
from sidecar.cli import cherche
from sidecar.testing import FakeModel
from tests import checkpoints
from tests.unit.sidecar.cli.conftest import Command, serving


def test_setup_prints_what_it_would_do_and_does_nothing(command: Command) -> None:
    plan = command.json("setup", "articles", "--dry-run", "--prune", "top_k:2", "--fields", "title:0.5^2,text")
    assert plan["applied"] is False
    assert plan["requests"]
    assert plan["fingerprint"]["sparse"]
    assert "cherche setup articles" in command("search", "articles", "x", code=1).stderr


@pytest.mark.parametrize("option", [["--prune", "most"], ["--max-length", "100000"], ["--model", "unheard-of"]])
def test_setup_refuses_what_makes_no_sense_and_says_what_would(command: Command, option: list[str]) -> None:
    error = json.loads(command("setup", "articles", *option, "--json", code=1).stderr)["error"]
    assert option[1] in error["reason"]
    assert error["next_step"] or "not one of" in error["reason"]


def test_setup_projects_the_size_for_the_documents_there_are(articles: Command) -> None:
    plan = articles.json("setup", "articles", "--dry-run")
    assert plan["documents"] == 3
    stored = sum(len(line) > 0 for line in articles("dump", "articles").stdout.splitlines())
    assert stored == 3
    assert plan["projected_bytes"] > 0


def test_search_shows_parts_that_add_up(articles: Command) -> None:
    page = articles.json("search", "articles", "aspirin stroke", "--rerank", "--explain")
    (hit, *_), parts = page["hits"], page["hits"][0]["parts"]
    assert hit["id"] == "1"
    assert parts["first_stage"] == pytest.approx(parts["lexical"] + parts["sparse"])
    explained = next(e for e in page["explanations"] if e["id"] == "1")
    assert parts["sparse"] == pytest.approx(sum(term["contribution"] for term in explained["terms"]))
    assert parts["maxsim"] == pytest.approx(sum(match["similarity"] for match in explained["matches"]), abs=1e-4)
    assert page["rerank"]["status"] == "APPLIED"


def test_search_prints_columns_where_nobody_looks(articles: Command) -> None:
    result = articles("search", "articles", "aspirin", "--mode", "bm25")
    header, row = result.stdout.splitlines()
    assert header.split() == ["rank", "score", "lexical", "sparse", "id", "text"]
    assert row.split()[0] == "1"
    assert "Aspirin aspirin prevents stroke" in row
    assert "1 hit," in result.stderr
    assert not articles("search", "articles", "aspirin", "--quiet").stderr


def test_explain_prints_terms_and_tokens(articles: Command) -> None:
    printed = articles("search", "articles", "heart", "--rerank", "--explain").stdout
    assert "Cardiac care" in printed
    (term,) = printed.partition("contribution\n")[2].partition("\nMaxSim")[0].splitlines()
    query, document, contribution = map(float, term.split()[1:])
    assert contribution == pytest.approx(query * document, abs=1e-3)
    assert "query token" in printed


def test_a_filter_keeps_others_out(articles: Command) -> None:
    page = articles.json("search", "articles", "aspirin", "--filter", '{"ids": {"values": ["2"]}}', code=0)
    assert "1" not in [hit["id"] for hit in page["hits"]]


@pytest.mark.parametrize("options", [["--filter", "{"], ["--query-json", "absent.json"], ["--rerank-weight", "2"]])
def test_a_search_that_cannot_be_read_is_a_usage_error(articles: Command, options: list[str]) -> None:
    articles("search", "articles", "aspirin", *options, code=2)


def test_pages_follow_one_another(articles: Command) -> None:
    query = "aspirin ducks cardiac"
    first = articles.json("search", "articles", query, "--size", "2", "--paginate")
    token = first["next_page_token"]
    second = articles.json("search", "articles", query, "--size", "2", "--page", token)
    assert [hit["rank"] for hit in first["hits"] + second["hits"]] == [1, 2, 3]
    assert len({hit["id"] for hit in first["hits"] + second["hits"]}) == 3
    assert articles("search", "articles", "something else", "--page", token, code=1).stderr


def test_the_embedded_engine_has_no_curl_command(articles: Command) -> None:
    assert "--engine opensearch" in articles("search", "articles", "aspirin", "--curl", code=1).stderr


def judged(command: Command) -> list[str]:
    queries = command.write("queries.jsonl", [{"_id": "q1", "text": "aspirin"}, {"_id": "q2", "text": "heart"}])
    qrels = command.folder / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\t1\t1\nq2\t3\t1\n")
    return ["--queries", queries, "--qrels", str(qrels)]


def test_eval_measures_every_mode_and_compares_them(articles: Command) -> None:
    report = articles.json("eval", "articles", *judged(articles), "--modes", "bm25,sparse,hybrid,hybrid+rerank")
    assert list(report["modes"]) == ["bm25", "sparse", "hybrid", "hybrid+rerank"]
    assert report["modes"]["bm25"]["hits@1"] == 0.5  # only the synonym finds "cardiac"
    assert report["modes"]["sparse"]["ndcg@10"] == 1.0
    assert set(report["modes"]["sparse"]["latency_ms"]) == {"p50", "p95"}
    assert report["modes"]["hybrid+rerank"]["rerank_status"] == {"APPLIED": 2}
    assert len(report["significance"]) == 6
    assert {"a": "bm25", "b": "sparse", "wins": 1, "losses": 0}.items() <= report["significance"][0].items()


def test_eval_has_a_row_for_a_cross_encoder(articles: Command, tmp_path: Path) -> None:
    folder = checkpoints.classifier(tmp_path / "cross")
    options = ["--modes", "bm25,hybrid", "--cross-encoder", str(folder), "--run", str(tmp_path / "runs")]
    report = articles.json("eval", "articles", *judged(articles), *options)
    assert list(report["modes"]) == ["bm25", "hybrid", "hybrid+cross-encoder"]
    assert len(report["significance"]) == 3
    runs = {name: read_run(tmp_path / "runs" / f"{name}.run") for name in ("hybrid", "hybrid+cross-encoder")}
    documents = {d["_id"]: d for d in map(json.loads, (articles.folder / "corpus.jsonl").read_text().splitlines())}
    model = hub.load_cross_encoder(folder, device="cpu")
    for query, text in (("q1", "aspirin"), ("q2", "heart")):
        found = {key: documents[key] for key in runs["hybrid"][query]}
        pairs = [(text, " ".join(d[f] for f in ("title", "text") if f in d)) for d in found.values()]
        scored = dict(zip(found, model.predict(pairs).tolist(), strict=True))
        assert runs["hybrid+cross-encoder"][query] == sorted(found, key=lambda key: -scored[key])
    refused = articles("eval", "articles", *judged(articles), "--cross-encoder", str(tmp_path), code=1)
    assert "name the folder that holds the checkpoint" in refused.stderr


def test_eval_writes_runs_that_others_can_measure(articles: Command) -> None:
    folder = articles.folder / "runs"
    articles("eval", "articles", *judged(articles), "--modes", "sparse", "--run", str(folder))
    assert (folder / "sparse.run").read_text().startswith("q1 Q0 1 1 ")


def test_eval_fails_where_a_rerank_did_not_happen(articles: Command, tmp_path: Path) -> None:
    with serving(tmp_path / "other", [FakeModel(late_interaction=False)]) as address:
        other = Command(address, tmp_path)
        other("setup", "articles")
        other("feed", "articles", str(articles.folder / "corpus.jsonl"))
        result = other("eval", "articles", *judged(articles), "--modes", "hybrid+rerank", code=1)
    assert "hybrid+rerank was not reranked throughout: 2 UNAVAILABLE" in result.stderr
    assert "hybrid+rerank" in result.stdout


@pytest.mark.parametrize("modes", ["bm26", "sparse+fast", "sparse:half"])
def test_eval_names_the_modes_there_are(articles: Command, modes: str) -> None:
    assert modes in articles("eval", "articles", *judged(articles), "--modes", modes, code=2).stderr


def test_eval_names_a_judged_query_without_text(articles: Command) -> None:
    options = judged(articles)
    Path(options[1]).write_text('{"_id": "q1", "text": "aspirin"}\n')
    assert "'q2'" in articles("eval", "articles", *options, code=1).stderr


def test_remove_leaves_the_documents_and_asks_first(articles: Command) -> None:
    assert "--yes" in articles("remove", "articles", code=2).stderr
    assert articles.json("remove", "articles", "--yes")["documents"] == 3
    kept = [json.loads(line) for line in articles("dump", "articles").stdout.splitlines()]
    assert [line["source"]["title"] for line in kept] == ["Aspirin", "Ducks", "Cardiac care"]
    assert not any(line["terms"] or line["hash"] for line in kept)


def test_encode_takes_words_files_and_stdin(command: Command) -> None:
    path = command.write("texts.txt", [b"ducks swim", b"", b"snow falls"])
    encoded = command.json("encode", "aspirin helps", path, "-", stdin=b"from stdin\n")
    assert [item["text"] for item in encoded] == ["aspirin helps", "ducks swim", "snow falls", "from stdin"]
    assert all(len(item["terms"]) == 2 for item in encoded)
    assert "weight" in command("encode", "--query", "aspirin").stdout


def test_encode_names_the_text_that_failed_and_prints_the_others(command: Command) -> None:
    result = command("encode", "good words", "poison here", "--json", code=1)
    good, bad = json.loads(result.stdout)
    assert good["terms"]
    assert bad["error"]["code"] == "INTERNAL"


def test_rerank_orders_texts(command: Command) -> None:
    ranked = command.json("rerank", "ducks swim", "snow falls", "ducks can swim")
    assert [score["index"] for score in ranked["scores"]] == [1, 0]
    assert command("rerank", "ducks", "snow", "ducks").stdout.splitlines()[1].endswith("ducks")


def test_no_text_at_all_is_an_error(command: Command) -> None:
    assert "no text" in command("encode", stdin=b"\n", code=1).stderr


def test_models_are_listed_and_told(command: Command) -> None:
    (model,) = command.json("models", "list")["models"]
    assert (model["name"], model["state"], model["is_default"]) == ("fake", "READY", True)
    assert command.json("models", "get", "fake")["dim"] == 16
    assert "served: fake" in command("models", "get", "absent", code=1).stderr


def test_doctor_is_content_and_then_is_not(articles: Command) -> None:
    report = articles.json("doctor", "articles")
    assert report["ok"]
    assert {"environment", "torch", "model fake", "engine", "index articles"} <= {c["what"] for c in report["checks"]}
    found = articles.json("doctor", "nowhere", code=1)
    (finding,) = [check for check in found["checks"] if not check["is_ok"]]
    assert "cherche setup nowhere" in finding["next_step"]


def test_doctor_says_that_nothing_answers(tmp_path: Path) -> None:
    result = CliRunner().invoke(cherche, ["doctor", "--server", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "cherche serve" in result.stdout


@pytest.mark.parametrize("flags", [["--engine", "embedded"], ["--url", "http://localhost:9200"]])
def test_a_running_sidecar_is_not_configured_from_here(command: Command, flags: list[str]) -> None:
    assert "belongs to the server" in command("search", "articles", "x", *flags, code=2).stderr


@pytest.mark.parametrize("verb", [["setup", "a"], ["encode", "text"], ["rerank", "query", "text"]])
def test_a_running_sidecar_takes_no_folder_of_this_machine(command: Command, verb: list[str]) -> None:
    assert "folder of this machine" in command(*verb, "--model", str(command.folder), code=2).stderr


def test_config_says_where_each_value_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cherche.toml").write_text('port = 1234\n[limits]\nitems = 9\n[models]\na = "b"\n')
    monkeypatch.setenv("CHERCHE_PORT", "4321")
    monkeypatch.setenv("CHERCHE_TOKEN", "a secret")
    result = CliRunner().invoke(cherche, ["config", "--json"])
    shown = json.loads(result.stdout)
    assert (shown["port"]["value"], shown["port"]["origin"]) == (4321, "environment")
    assert (shown["limits.items"]["value"], shown["limits.items"]["origin"]) == (9, "file")
    assert shown["models"]["value"] == {"a": "b"}
    assert shown["host"]["origin"] == "default"
    assert "a secret" not in result.stdout


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_PROT", "1")
    result = CliRunner().invoke(cherche, ["config"])
    assert result.exit_code == 1
    assert "CHERCHE_PORT" in result.stderr


def test_models_come_and_go(command: Command) -> None:
    assert command.json("models", "load", "again", "fake")["state"] == "READY"
    assert [model["name"] for model in command.json("models", "list")["models"]] == ["again", "fake"]
    command("models", "unload", "again")
    assert [model["name"] for model in command.json("models", "list")["models"]] == ["fake"]
