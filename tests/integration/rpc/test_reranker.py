"""RerankerService over a real server."""

from __future__ import annotations

import pytest

from sidecar.errors import ChercheError
from sidecar.testing import RunningServer
from sidecar.values.encoded import Text


async def test_texts_are_reranked(server: RunningServer) -> None:
    texts = [Text("a tree", "t"), Text("", "e"), Text("a red car", "c"), Text("poison", "p")]
    result = await server.client.rerank("car", texts)
    assert [(score.index, score.id) for score in result.scores] == [(2, "c"), (0, "t")]
    assert result.scores[0].score == pytest.approx(1.0, abs=0.01)
    assert [failure.index for failure in result.failures] == [1, 3]


async def test_stored_codes_score_like_their_texts(server: RunningServer) -> None:
    texts = [Text("a tree", "t"), Text("a red car", "c")]
    encoded = await server.client.encode_documents(texts, outputs=["token_codes"])
    codes = [item.codes or b"" for item in encoded.items]
    by_codes = await server.client.rerank_codes("car", codes, ids=["t", "c"])
    assert by_codes.scores == (await server.client.rerank("car", texts)).scores
    broken = await server.client.rerank_codes("car", [codes[0], codes[1][:-1], b"none"])
    assert [score.index for score in broken.scores] == [0]
    assert [failure.index for failure in broken.failures] == [1, 2]
    with pytest.raises(ChercheError, match="ids came with"):
        await server.client.rerank_codes("car", codes, ids=["only one"])
    with pytest.raises(ChercheError, match="query is empty"):
        await server.client.rerank("", texts)
