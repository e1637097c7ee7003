from __future__ import annotations

import pytest
from pydantic import SecretStr

from sidecar.client.client import Client
from sidecar.config import Settings
from sidecar.errors import ChercheError, Code


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


@pytest.mark.parametrize("secret", [{"token": "s3cret"}, {"authorization": "Basic s3cret"}])
async def test_secrets_go_to_another_machine_only_encrypted_or_on_demand(secret: dict[str, str]) -> None:
    with pytest.raises(ChercheError, match="another machine") as refused:
        Client("sidecar:50551", **secret)  # type: ignore[arg-type]
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert "https://sidecar:50551" in refused.value.next_step
    assert "--insecure" in refused.value.next_step
    assert "s3cret" not in str(refused.value)
    for address, insecure in (("sidecar:50551", True), ("https://sidecar:50551", False), ("127.0.0.1:50551", False)):
        await Client(address, insecure=insecure, **secret).aclose()  # type: ignore[arg-type]
    await Client("sidecar:50551").aclose()


async def test_a_client_of_the_settings_is_as_careful() -> None:
    settings = Settings(server="sidecar:50551", token=SecretStr("s3cret"))
    with pytest.raises(ChercheError, match="the token would go there in plain text"):
        Client.from_settings(settings)
    await Client.from_settings(settings.model_copy(update={"insecure": True})).aclose()
