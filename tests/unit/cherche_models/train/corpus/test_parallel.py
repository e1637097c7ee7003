from __future__ import annotations

import pytest

from cherche_models.train.corpus.parallel import spread


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_tasks(jobs: int) -> None:
    assert list(spread(abs, [-3, 1, -2], jobs)) == [3, 1, 2]
