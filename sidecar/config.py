"""Settings: flags over ``CHERCHE_*`` variables over ``cherche.toml`` over defaults."""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from sidecar.errors import ChercheError, invalid, masked, masked_address
from sidecar.values.sections import Batching, Embedded, Gateway, Limits, Metrics, Section, Tls, default_embedded_path

__all__ = [
    "Batching",
    "Embedded",
    "Gateway",
    "Limits",
    "Metrics",
    "Settings",
    "Tls",
    "default_embedded_path",
    "is_loopback",
    "keys",
    "load",
    "shipped_model",
    "shown",
    "variable",
]

PREFIX = "CHERCHE_"
FILE = "cherche.toml"
CONFIG_VARIABLE = "CHERCHE_CONFIG"
SHIPPED = "cherche-small"
FOR_TESTS = frozenset({"CHERCHE_TEST_DATA", "CHERCHE_TEST_MODELS", "CHERCHE_REQUIRE"})

_NAMED = ("models", "aliases")
"""Settings whose keys are names of the user's."""

Values = Mapping[str, Any]


def shipped_model() -> str:
    """Folder of the model in the wheel."""
    spec = find_spec("cherche_models")
    origin = spec.origin if spec else None
    return str(Path(origin or ".").parent / "pretrained" / SHIPPED)


class Settings(Section):
    """All settings of a sidecar and its command line.

    A plain value: constructing it reads neither environment nor files; see `load`.
    """

    engine: Literal["embedded", "opensearch", "elasticsearch"] = "embedded"
    """Where documents live: a file, or a cluster of either name; the product is detected."""
    url: str = ""
    """The cluster's address."""
    cluster_ca: Path | None = None
    """Authority of the cluster's certificate, PEM; the system's where empty."""
    embedded: Embedded = Field(default_factory=Embedded)
    models: dict[str, str] = Field(default_factory=dict)
    """Name → folder or hub id of each served model; the shipped one where empty."""
    model: str = ""
    """The model that answers where none is named; the first of `models` where empty."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Other name → served model, such as rerank-v3.5 = "cherche-small", for clients that name a provider's model."""
    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs TLS and a token, or `insecure`."""
    port: int = Field(default=50551, ge=0, le=65535)
    """Port to listen on; 0 for a free one."""
    server: str = ""
    """A running sidecar for the command line to talk to: host:port, or several as host:port,host:port or
    dns:///name:port; empty starts one in process."""
    tls: Tls = Field(default_factory=Tls)
    token: SecretStr | None = None
    """Token that callers must send as ``authorization: Bearer …``, and that the command line sends."""
    token_file: Path | None = None
    """File with the token."""
    insecure: bool = False
    """Listen beyond loopback without TLS or token, and send token and credentials to a sidecar there in plain text."""
    authorization: SecretStr | None = None
    """``Basic …``, ``ApiKey …`` or ``Bearer …`` that the command line forwards to the cluster."""
    authorization_file: Path | None = None
    """File with it."""
    service_account: SecretStr | None = None
    """Header value of the sidecar's own account, for callers that bring none; without it there is none."""
    service_account_file: Path | None = None
    """File with it."""
    page_token_key: SecretStr | None = None
    """At least 16 bytes, the same for all sidecars behind one address; drawn at start where empty."""
    page_token_key_file: Path | None = None
    """File with it."""
    allow_load: bool | None = None
    """Whether callers may load and unload models; where empty, only on a loopback address."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the best there is."""
    dtype: str = "auto"
    """float32, bfloat16, float16, or auto for the fastest that keeps the ranking."""
    otel: bool = False
    """Export traces and metrics of OpenTelemetry (extra otel), to where the standard OTEL_* variables say."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log line that is written."""
    notice: float = Field(default=1.0, ge=0)
    """Seconds between a stop signal, when health becomes NOT_SERVING, and the refusal of new calls."""
    drain: float = Field(default=30.0, ge=0)
    """Seconds that calls in flight get afterwards, when new ones are refused."""
    limits: Limits = Field(default_factory=Limits)
    batching: Batching = Field(default_factory=Batching)
    metrics: Metrics = Field(default_factory=Metrics)
    gateway: Gateway = Field(default_factory=Gateway)

    @model_validator(mode="after")
    def _aliases_are_no_models(self) -> Self:
        if both := sorted(set(self.aliases) & set(self.served_models)):
            raise ValueError(f"alias {both[0]!r} is the name of a served model")
        return self

    @field_validator("page_token_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value().encode()) < 16:
            raise ValueError("needs at least 16 bytes")
        return key

    @property
    def served_models(self) -> dict[str, str]:
        """Name → source of each model to serve."""
        return self.models or {SHIPPED: shipped_model()}

    @property
    def default_model(self) -> str:
        """Name of the model that answers where none is named."""
        return self.model or next(iter(self.served_models))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def may_load(self) -> bool:
        """Whether callers may load and unload models."""
        return self.is_loopback if self.allow_load is None else self.allow_load

    def secret(self, name: Literal["token", "authorization", "service_account", "page_token_key"]) -> str:
        """A secret from its variable or its file; "" where neither is given.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT if the file cannot be read, or is empty.
        """
        value: SecretStr | None = getattr(self, name)
        path: Path | None = getattr(self, f"{name}_file")
        if value is not None:
            return value.get_secret_value()
        return _secret_of(name, path) if path else ""


class _Environment(Settings, BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="ignore"
    )


SECRETS = tuple(name for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None)


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load(flags: Values | None = None, *, file: Path | None = None) -> Settings:
    """Read settings from all their sources.

    Parameters
    ----------
    flags : mapping
        Settings from the command line, nested like the file; None values are not set.
    file : Path
        Instead of ``CHERCHE_CONFIG``, or ``cherche.toml`` in the working directory.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the key, its source and what to do.
    """
    given = _without_none(flags or {})
    if hidden := sorted(set(given) & set(SECRETS)):
        raise invalid(
            f"{hidden[0]} is a secret, and a command line is visible to others",
            f"set {variable(hidden[0])} or {hidden[0]}_file",
        )
    _check_environment()
    sources = [_read_file(file), _read_environment(), given]
    merged: dict[str, Any] = {}
    for source in sources:
        merged = _merge(merged, source)
    return _validate(merged)


def variable(key: str) -> str:
    """The environment variable of a dotted key.

    >>> variable("limits.document_bytes")
    'CHERCHE_LIMITS__DOCUMENT_BYTES'
    """
    return PREFIX + key.replace(".", "__").upper()


def keys() -> Iterator[tuple[str, str]]:
    """Every dotted key and what it means, in the order of the class."""
    yield from _keys_of(Settings, "")


def shown(settings: Settings) -> dict[str, Any]:
    """The values in force as JSON, secrets and credentials within addresses masked.

    >>> shown(Settings(url="http://ada:hunter2@cluster:9200"))["url"]
    'http://***@cluster:9200'
    """
    values = settings.model_dump(mode="json")
    addresses = {name: masked_address(values[name]) for name in ("url", "server")}
    return {**values, **addresses, "models": {name: masked(source) for name, source in values["models"].items()}}


def _keys_of(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in section.model_fields.items():
        inner = _section(field.annotation)
        if inner is not None:
            yield from _keys_of(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description or ""


def _section(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  # a type expression
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _secret_of(name: str, path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise invalid(f"{name}_file {path} cannot be read: {reason}", "name a readable file") from None
    if not text:
        raise invalid(f"{name}_file {path} is empty", "write the secret into it")
    return text


def _without_none(values: Values) -> dict[str, Any]:
    """Without None values, deeply."""
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def _merge(low: Values, high: Values) -> dict[str, Any]:
    """`high` over `low`; sections are merged, `models` is replaced as a whole."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        nested = key != "models" and isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merge(below, value) if nested and isinstance(below, Mapping) else value
    return merged


def _read_environment() -> dict[str, Any]:
    try:
        return dict(EnvSettingsSource(_Environment)())
    except ValueError as error:
        raise invalid(
            f"a {PREFIX} variable cannot be read: {error}", 'write objects as JSON: {"name": "path"}'
        ) from None


def _check_environment() -> None:
    known = {variable(key) for key, _ in keys()}
    for name in sorted(os.environ):
        if not name.startswith(PREFIX) or name in FOR_TESTS or name == CONFIG_VARIABLE:
            continue
        named = tuple(f"{variable(key)}__" for key in _NAMED)
        if name not in known and not name.startswith(named) and not _is_section(name):
            raise _unknown(f"environment variable {name}", name, known)


def _is_section(name: str) -> bool:
    """Whether a variable holds a whole section as JSON."""
    key = name.removeprefix(PREFIX).lower()
    field = Settings.model_fields.get(key)
    return field is not None and _section(field.annotation) is not None


def _read_file(file: Path | None) -> dict[str, Any]:
    named = os.environ.get(CONFIG_VARIABLE)
    path = file or (Path(named) if named else Path(FILE))
    if not path.is_file():
        if file or named:
            raise invalid(f"the settings file {path} is not there", "name a TOML file")
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise invalid(f"{path} is not TOML: {error}", "mend it, or start without it") from None
    _check_keys(values, Settings, path)
    return values


def _check_keys(values: Values, section: type[BaseModel], path: Path, prefix: str = "") -> None:
    for key, value in values.items():
        field = section.model_fields.get(key)
        if field is None:
            raise _unknown(f"key {prefix}{key} in {path}", f"{prefix}{key}", {k for k, _ in keys()})
        inner = _section(field.annotation)
        if inner is not None and isinstance(value, Mapping):
            _check_keys(value, inner, path, f"{prefix}{key}.")


def _unknown(what: str, name: str, known: set[str]) -> ChercheError:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return invalid(f"unknown {what}", f"the nearest known one is {nearest[0]}; cherche config lists all")


def _validate(values: Values) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise _unknown(f"setting {key}", key, {k for k, _ in keys()}) from None
        raise invalid(f"setting {key}: {first['msg']}", f"correct {variable(key)}, the flag or the file") from None
