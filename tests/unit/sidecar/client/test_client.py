from __future__ import annotations

import pytest

from sidecar.client.client import Client
from sidecar.errors import ChercheError


@pytest.mark.parametrize("secret", ["s\u00e9cret", "two\nlines"])
def test_secrets_that_no_header_carries_are_refused_unseen(secret: str) -> None:
    for name in ("token", "authorization"):
        with pytest.raises(ChercheError) as caught:
            Client("127.0.0.1:1", **{name: secret})  # type: ignore[arg-type]  # one of the two
        assert secret not in str(caught.value)


async def test_models_are_not_loaded_into_whichever_answers() -> None:
    async with Client("127.0.0.1:1,127.0.0.1:2") as client:
        with pytest.raises(ChercheError, match="several sidecars"):
            await client.load_model("m", "m")
        with pytest.raises(ChercheError, match="several sidecars"):
            await client.unload_model("m")
