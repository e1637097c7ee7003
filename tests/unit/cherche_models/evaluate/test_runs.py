import gzip
import random
from pathlib import Path

import ir_measures
import pytest
import pytrec_eval

from cherche_models.evaluate import per_query, read_run, write_run


def test_a_written_run_comes_back(tmp_path: Path) -> None:
    rankings = {"q1": ["d3", "d1", "d2"], "q2": ["d9"]}
    write_run(tmp_path / "a.run", rankings, "ours")
    assert (tmp_path / "a.run").read_text().splitlines()[:2] == ["q1 Q0 d3 1 3 ours", "q1 Q0 d1 2 2 ours"]
    assert read_run(tmp_path / "a.run") == rankings
    theirs = {(hit.query_id, hit.doc_id): hit.score for hit in ir_measures.read_trec_run(str(tmp_path / "a.run"))}
    assert theirs == {("q1", "d3"): 3.0, ("q1", "d1"): 2.0, ("q1", "d2"): 1.0, ("q2", "d9"): 3.0}


def test_a_run_with_ties_measures_as_in_trec_eval(tmp_path: Path) -> None:
    draw = random.Random(5)
    documents = [f"d{i}" for i in range(60)]
    qrels = {f"q{i}": {d: draw.randint(0, 2) for d in draw.sample(documents, 20)} for i in range(10)}
    run = {query: {d: float(draw.randint(0, 5)) for d in draw.sample(documents, 40)} for query in qrels}
    lines = [f"{query} Q0 {d} 1 {score} x\n" for query, row in run.items() for d, score in row.items()]
    (tmp_path / "tied.run").write_text("".join(lines))
    names = {"ndcg@10": "ndcg_cut_10", "map": "map", "mrr": "recip_rank", "recall@10": "recall_10"}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(names.values())).evaluate(run)
    ours = per_query(read_run(tmp_path / "tied.run"), qrels, list(names))
    for name, other in names.items():
        assert ours[name] == pytest.approx({query: theirs[query][other] for query in qrels})


def test_a_run_of_tabs_compressed_by_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.run.gz"
    path.write_bytes(gzip.compress("q 1\tQ0\tNew York\t1\t2.0\tx\nq 1\tQ0\td\u00a02\t2\t1.0\tx\n".encode()))
    assert read_run(path) == {"q 1": ["New York", "d\u00a02"]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q Q0 d 1 2.0", "found 5 columns"),
        ("q Q0 d 1 high x", "'high' is not a number"),
        ("q Q0 d 1 nan x", "is not finite"),
        ("ok Q0 d 1 1 x", "has the document 'd' already"),
    ],
)
def test_what_cannot_be_read_names_its_line(line: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.run").write_text(f"ok Q0 d 1 1 x\n{line}\n")
    with pytest.raises(ValueError, match=f"a.run:2: .*{reason}"):
        read_run(tmp_path / "a.run")


def test_an_empty_run_and_names_with_spaces(tmp_path: Path) -> None:
    (tmp_path / "a.run").write_text("\n")
    with pytest.raises(ValueError, match="no hit"):
        read_run(tmp_path / "a.run")
    with pytest.raises(ValueError, match="'d 1' cannot be written"):
        write_run(tmp_path / "b.run", {"q": ["d 1"]}, "name")
