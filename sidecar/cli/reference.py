"""``python -m sidecar.cli.reference``: writes REFERENCE.md, and the options of the plugin, from the running program."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from sidecar.cli import VERBS, cherche
from sidecar.cli.lines import MAX_LINE
from sidecar.config import Gateway, Limits, keys, variable
from sidecar.values.options import Option, options
from sidecar.values.search import SearchRequest

FILE = Path(__file__).with_name("REFERENCE.md")
PLUGIN = Path(__file__).parents[2] / "opensearch" / "plugin" / "README.md"
PLUGIN_OPTIONS = (
    "query_mode",
    "match_set",
    "query_terms",
    "first_terms",
    "candidates",
    "rerank",
    "rerank_window",
    "rerank_weight",
    "sparse_boost",
    "passages",
)
_BEGIN, _END = "<!-- options, by python -m sidecar.cli.reference -->", "<!-- end of options -->"
COMPLETION = """## Completion

Verbs and options are completed by the shell once it has read what click prints for it; in `~/.bashrc`, `~/.zshrc` or
`~/.config/fish/completions/cherche.fish`:

    eval "$(_CHERCHE_COMPLETE=bash_source cherche)"
    eval "$(_CHERCHE_COMPLETE=zsh_source cherche)"
    _CHERCHE_COMPLETE=fish_source cherche | source
"""
_EVERYWHERE = frozenset({"as_json", "quiet", "server", "engine", "url", "insecure"})
_OF_SERVE = ("engine", "url", "insecure")


def render() -> str:
    """The whole reference, as Markdown."""
    context = click.Context(cherche, info_name="cherche")
    lines = ["# The command `cherche`", "", _help(cherche), "", *_common(), ""]
    for verb in VERBS:
        command = cherche.get_command(context, verb)
        assert command is not None
        lines += _command(command, f"cherche {verb}")
    return "\n".join([*lines, *_limits(), "", *_settings(), "", COMPLETION])


def with_options(readme: str) -> str:
    """The plugin's README with the options that it has in common with a search."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = options(SearchRequest)
    table = ["| option | default | |", "|---|---|---|", *(_option_row(rows[name]) for name in PLUGIN_OPTIONS)]
    return "\n".join([f"{before}{_BEGIN}", *table, f"{_END}{after}"])


def _option_row(row: Option) -> str:
    default = row.unset or f"`{str(row.default).lower() if row.kind is bool else row.default}`"
    values = f" ({', '.join(f'`{choice}`' for choice in row.choices)})" if row.choices else ""
    return f"| `{row.name}` | {default} | {row.help.removesuffix('.')}{values} |"


def _command(command: click.Command, name: str) -> Iterator[str]:
    yield from (f"## `{_usage(command, name)}`", "", _help(command), "")
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _command(inner, f"{name} {inner.name}")
        return
    serves = name == "cherche serve"
    rows = [_row(o) for o in _options(command) if o.name not in _EVERYWHERE or (serves and o.name in _OF_SERVE)]
    if rows:
        yield from ("| option | meaning |", "|---|---|", *rows, "")


def _common() -> Iterator[str]:
    command = cherche.get_command(click.Context(cherche), "search")
    assert command is not None
    yield from ("Options of every verb; the last four only where a sidecar is asked:", "")
    yield from ("| option | meaning |", "|---|---|")
    yield from (_row(option) for option in _options(command) if option.name in _EVERYWHERE)


def _options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def _usage(command: click.Command, name: str) -> str:
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    return " ".join([name, *(_argument(argument) for argument in arguments)])


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    return name if argument.required or argument.metavar else f"[{name}]"


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" {_value(option)}"
    text = " ".join((option.help or "").split())
    if option.show_default and option.default not in (None, ""):
        text = f"{text}  [default: {option.default}]".strip()
    if option.required:
        text = f"{text}  [required]".strip()
    return f"| {names}{value} | {text} |".replace("…|", "…\\|")


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar.replace("|", " or ")
    if isinstance(option.type, click.Choice):
        return " or ".join(map(str, option.type.choices))
    return {"integer range": "N", "float range": "X", "text": "TEXT"}.get(option.type.name, option.type.name.upper())


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "")


def _limits() -> Iterator[str]:
    limits = Limits()
    rows = [
        ("a line of a corpus", _bytes(MAX_LINE), "it fails, its neighbours are fed"),
        ("a document", _bytes(limits.document_bytes), "INVALID_ARGUMENT, its neighbours are fed"),
        ("a text", "the model's or the index's maximum length", "cut, and counted as `truncated`"),
        ("a query", f"{limits.query_characters:,} characters", "INVALID_ARGUMENT, exit code 1"),
        ("the deepest hit of a search", f"{limits.window:,}", "INVALID_ARGUMENT, exit code 1"),
        ("a gRPC message", _bytes(limits.request_bytes), "never reached here; other clients: RESOURCE_EXHAUSTED"),
        ("a request of the gateway", _bytes(Gateway().body_bytes), "413, INVALID_ARGUMENT"),
        ("gRPC calls at once", f"{limits.calls:,}", "RESOURCE_EXHAUSTED with RetryInfo; exit code 3"),
        ("texts waiting for the model", f"{limits.queue_items:,}", "a feed waits; a search gets exit code 3"),
        ("silence of a sidecar that owes an answer", f"{limits.deadline:g} s", "exit code 3"),
    ]
    yield from ("## Limits", "", "Defaults; the settings below change them.", "")
    yield from ("| what | at most | beyond it |", "|---|---|---|")
    yield from (f"| {what} | {most} | {beyond} |" for what, most, beyond in rows)
    yield from (
        "",
        "Invalid UTF-8, a line that is not one JSON object, lone surrogates, a missing or repeated id, a document",
        "without text, a text that breaks the model: each fails alone, with line, id, code, reason and next step in",
        "the file of failed items. `feed` counts as stored only what the engine acknowledged; `unacknowledged` is",
        "what was sent and not answered before the feed ended.",
    )


def _bytes(count: int) -> str:
    return f"{count >> 20} MiB"


def _settings() -> Iterator[str]:
    yield from ("## Settings", "", "Keys of `cherche.toml`, and the variables that win over it:", "")
    yield from ("| key | variable | meaning |", "|---|---|---|")
    for key, meaning in keys():
        yield f"| `{key}` | `{variable(key)}` | {' '.join(meaning.split())} |"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
    if PLUGIN.exists():
        PLUGIN.write_text(with_options(PLUGIN.read_text(encoding="utf-8")), encoding="utf-8")
