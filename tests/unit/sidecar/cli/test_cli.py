"""The command as a whole: what it imports, and what its verbs have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from sidecar.cli import VERBS, cherche

HEAVY = ("torch", "transformers", "grpc", "pydantic", "numpy", "rich", "opensearchpy")


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(cherche)
    found = [(verb, cherche.get_command(context, verb)) for verb in VERBS]
    return [(name, command) for name, command in found if command is not None]


def loaded_by(*arguments: str) -> set[str]:
    script = (
        "import json, sys\n"
        "from sidecar.cli import cherche\n"
        f"cherche({list(arguments)!r}, standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stderr)}


def test_help_loads_nothing_heavy() -> None:
    assert not loaded_by("--help") & set(HEAVY)


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_loads_torch_to_print_its_help(verb: str) -> None:
    assert not loaded_by(verb, "--help") & {"torch", "transformers", "grpc"}


def test_the_list_of_verbs_says_what_each_verb_says() -> None:
    for verb, command in commands():
        assert command.name == verb
        assert (command.help or "").split("\n")[0] == VERBS[verb][2]


def leaves(name: str, command: click.Command) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(name, command)]
    return [leaf for inner in command.commands.values() for leaf in leaves(f"{name} {inner.name}", inner)]


def test_every_verb_has_json_and_quiet_and_every_option_a_word_of_help() -> None:
    for name, command in (leaf for pair in commands() for leaf in leaves(*pair)):
        names = {parameter.name for parameter in command.params}
        assert {"as_json", "quiet"} <= names, name
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{name} --{parameter.name}"


def test_no_secret_is_a_flag() -> None:
    secrets = {"token", "authorization", "service_account", "page_token_key", "password"}
    for name, command in (leaf for pair in commands() for leaf in leaves(*pair)):
        assert not secrets & {parameter.name for parameter in command.params}, name


@pytest.mark.parametrize("arguments", [["nonsense"], ["search"], ["search", "i", "t", "--size", "-1"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cherche, arguments).exit_code == 2


@pytest.mark.parametrize(("words", "expected"), [("cherche se", "search"), ("cherche search --rer", "--rerank")])
def test_a_shell_completes_verbs_and_options(words: str, expected: str) -> None:
    environment = {"_CHERCHE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "sidecar.cli"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected in done.stdout.replace("plain,", "").split()
    source = {**os.environ, "_CHERCHE_COMPLETE": "zsh_source"}
    script = subprocess.run(
        [sys.executable, "-m", "sidecar.cli"], env=source, capture_output=True, text=True, check=True
    )
    assert "compdef _cherche_completion cherche" in script.stdout
