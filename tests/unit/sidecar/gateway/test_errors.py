from __future__ import annotations

import pytest
from fastapi import Response

from sidecar.errors import ChercheError, Code, invalid, overloaded, unavailable
from sidecar.gateway.access import CODES
from sidecar.gateway.errors import STATUSES, Problem, failed_items, response_of, too_large, unprocessable


def problem_of(response: Response) -> Problem:
    content = bytes(response.body)
    assert content.isascii()
    return Problem.model_validate_json(content)


@pytest.mark.parametrize("code", Code)
def test_every_kind_of_failure_has_a_status_and_a_shape(code: Code) -> None:
    response = response_of(ChercheError(code, "reason ü", "next"))
    problem = problem_of(response)
    assert response.status_code == STATUSES[code] >= 400
    assert (problem.error_type, problem.reason, problem.next_step) == (code, "reason ü", "next")
    assert problem.error == "reason ü — next"
    assert response.status_code in CODES


@pytest.mark.parametrize("error", [overloaded("full", 0.2), overloaded("full", 3.01), unavailable("loading")])
def test_what_may_succeed_later_says_when(error: ChercheError) -> None:
    response = response_of(error)
    assert response.status_code in (429, 503)
    assert response.headers["x-amzn-errortype"] == "ThrottlingException"
    seconds = int(response.headers["retry-after"])
    assert seconds >= max(1, error.retry_after or 1)
    assert problem_of(response).retry_after == seconds


@pytest.mark.parametrize("error", [invalid("a"), too_large("a", "b"), unprocessable(invalid("a"))])
def test_what_will_fail_again_asks_for_no_retry(error: ChercheError) -> None:
    response = response_of(error)
    assert response.status_code in (400, 413, 422)
    assert "x-amzn-errortype" not in response.headers
    assert "retry-after" not in response.headers
    assert problem_of(response).retry_after is None


def test_one_failed_text_is_reported_as_it_is() -> None:
    response = response_of(failed_items({3: ChercheError(Code.INTERNAL, "document 3 breaks", "leave it out")}, 9))
    problem = problem_of(response)
    assert (response.status_code, problem.reason, problem.next_step) == (422, "document 3 breaks", "leave it out")
    assert problem.items is not None
    assert [one.index for one in problem.items] == [3]


def test_several_failed_texts_are_all_named() -> None:
    failures = {place: invalid(f"document {place} is bad", "mend it") for place in (5, 2)}
    problem = problem_of(response_of(failed_items(failures, 9)))
    assert problem.reason == "2 of 9 texts cannot be encoded; first: document 2 is bad"
    assert problem.items is not None
    assert [(one.index, one.next_step) for one in problem.items] == [(2, "mend it"), (5, "mend it")]


def test_a_sidecar_that_stops_is_no_fault_of_the_texts() -> None:
    failures = {0: invalid("document 0 is bad"), 1: unavailable("model 'm' is being stopped", "try another")}
    response = response_of(failed_items(failures, 2))
    assert response.status_code == 503
    assert response.headers["x-amzn-errortype"] == "ThrottlingException"
