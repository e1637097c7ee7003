import math
import random
import subprocess
import sys

import pytest
import pytrec_eval

from cherche_models.evaluate import MEASURES, evaluate, per_query

RANKINGS = {"q1": ["d3", "d1", "d2"], "q2": ["d9"], "unjudged": ["d1"]}
QRELS = {"q1": {"d1": 2, "d2": 1, "d4": 1}, "q2": {"d8": 1}, "q3": {"d1": 1}, "empty": {"d1": 0}}


def test_by_hand():
    values = per_query(RANKINGS, QRELS)
    gain = 2 / math.log2(3) + 1 / math.log2(4)
    best = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert values["ndcg@10"] == pytest.approx({"q1": gain / best, "q2": 0.0, "q3": 0.0})
    assert values["recall@100"] == pytest.approx({"q1": 2 / 3, "q2": 0.0, "q3": 0.0})
    assert values["map"]["q1"] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert values["mrr"]["q1"] == pytest.approx(0.5)
    assert values["hits@1"]["q1"] == 0.0
    assert values["hits@10"]["q1"] == 1.0


def test_the_mean_is_over_queries_with_a_relevant_document():
    assert evaluate(RANKINGS, QRELS)["hits@10"] == pytest.approx(1 / 3)


def test_agrees_with_pytrec_eval():
    draw = random.Random(3)
    documents = [f"d{i}" for i in range(200)]
    qrels = {f"q{i}": {d: draw.randint(0, 3) for d in draw.sample(documents, 30)} for i in range(20)}
    rankings = {query: draw.sample(documents, 150) for query in qrels}
    run = {q: {d: 1000.0 - i for i, d in enumerate(ranking)} for q, ranking in rankings.items()}
    names = {"ndcg@10": "ndcg_cut_10", "recall@100": "recall_100", "map": "map", "mrr": "recip_rank"}
    names |= {"hits@1": "success_1", "hits@10": "success_10"}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(names.values())).evaluate(run)
    ours = per_query(rankings, qrels)
    for name in MEASURES:
        assert ours[name] == pytest.approx({query: theirs[query][names[name]] for query in qrels})


def test_the_given_order_decides_even_among_ids_that_trec_eval_would_swap():
    assert evaluate({"q": ["a", "z"]}, {"q": {"a": 1}}, ["hits@1"]) == {"hits@1": 1.0}


@pytest.mark.parametrize("name", ["ndgc@10", "recall", "hits", "ndcg@0", "", "ndcg@10 "])
def test_unknown_measures(name):
    with pytest.raises(ValueError, match="unknown measure"):
        evaluate(RANKINGS, QRELS, [name])


def test_a_document_ranked_twice_is_refused():
    with pytest.raises(ValueError, match="'q1' contains a document twice"):
        evaluate({"q1": ["d1", "d1"]}, QRELS)


def test_nothing_to_measure():
    with pytest.raises(ValueError, match="no query has a relevant document"):
        evaluate({}, {"q": {"d": 0}})


def test_importing_it_loads_neither_torch_nor_ir_measures():
    code = (
        "import sys, cherche_models.evaluate; "
        "print(sorted({'torch', 'ir_measures', 'pandas', 'scipy'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
