"""The registry: each command once, with a handler of its signature, and a schema within budget."""

import inspect
import json
import re
from pathlib import Path

import pytest

from tau.cli.main import HANDLERS
from tau.commands import options, registry, schema
from tau.commands.build import resolve
from tau.commands.output import to_json
from tau.commands.spec import Command, Option
from tau.errors import CATALOGUE, ExitCode, UnknownCommand

README = Path(__file__).parents[2] / "README.md"
BY_NAME = {f"{c.program} {c.name}": c for c in registry.COMMANDS}


@pytest.fixture(params=list(BY_NAME))
def command(request: pytest.FixtureRequest) -> Command:
    return BY_NAME[request.param]


def test_each_command_is_there_once() -> None:
    assert len(BY_NAME) == len(registry.COMMANDS)


def test_the_commands_of_tau_are_those_with_a_handler() -> None:
    assert set(HANDLERS) == {c.name for c in registry.of_program("tau")}


@pytest.mark.parametrize("name", list(HANDLERS))
def test_a_handler_takes_what_its_command_declares(name: str) -> None:
    command = registry.get("tau", name)
    parameters = inspect.signature(resolve(HANDLERS[name])).parameters
    expected = {*command.keywords} if command.offline else {*command.keywords, "env"}
    assert set(parameters) == expected
    assert {p.kind for p in parameters.values()} <= {inspect.Parameter.KEYWORD_ONLY}


def test_what_changes_something_can_say_why_and_be_tried() -> None:
    for command in registry.of_program("tau"):
        assert ("reason" in command.keywords) == command.mutating, command.name
        assert ("dry_run" in command.keywords) == command.mutating, command.name


def test_what_reads_can_be_cut_down_to_fields() -> None:
    for command in registry.COMMANDS:
        assert (options.FIELDS in command.params) == (not command.mutating), command.name


def test_what_cannot_be_undone_needs_a_yes() -> None:
    destructive = {c.name for c in registry.COMMANDS if "confirmation.required" in c.errors}
    assert destructive == {c.name for c in registry.COMMANDS if options.YES in c.params}
    assert destructive == {
        "undeploy", "keys revoke", "secret delete", "db cleanup", "webhook delete",
    }  # fmt: skip


def test_the_readme_names_every_command_and_no_other() -> None:
    section = README.read_text().partition("## The commands")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = []
    for text in re.findall(r"`([^`]+)`", " ".join(rows)):
        program, *words = text.split()
        known = [w for w in (" ".join(words[:n]) for n in (2, 1)) if f"{program} {w}" in BY_NAME]
        assert known, f"{text} in README.md is no command"
        named.append(f"{program} {known[0]}")
    assert set(named) == set(BY_NAME)


def test_its_errors_are_in_the_catalogue(command: Command) -> None:
    assert set(command.errors) <= set(CATALOGUE)
    assert set(registry.COMMON_ERRORS) <= set(CATALOGUE)
    assert len(set(command.errors)) == len(command.errors)


def test_its_examples_are_commands_that_parse(command: Command) -> None:
    import shlex

    from tau.commands.parse import parse

    assert command.examples
    for example in command.examples:
        program, *words = shlex.split(example.partition(" < ")[0])
        assert program == command.program
        if words:
            without_format = [w for w in words if w not in ("-o", "table")]
            assert parse(command.program, without_format).command == command


def test_names_do_not_collide(command: Command) -> None:
    keywords = [*command.keywords, "fields", "env", "output", "help_"]
    assert len(set(keywords)) == len(keywords)


def test_the_whole_surface_is_at_most_8_kb() -> None:
    document = schema.surface(("tau", "taud"), version="0.1.0")
    assert len(to_json(document).encode()) <= 8 * 1024
    usages = [line["usage"] for line in document["commands"]]
    assert usages == [command.usage for command in registry.COMMANDS]
    for command in registry.COMMANDS:
        assert command.usage.startswith(f"{command.program} {command.name}")
        assert all(param.name in command.usage for param in command.options)
        assert all(param.metavar in command.usage for param in command.arguments)
    assert set(document["exit_codes"]) == {str(int(code)) for code in ExitCode}


def test_the_schema_of_one_command(command: Command) -> None:
    document = schema.details(command)
    names = {option["name"] for option in document["options"]}
    assert {o.name for o in command.options} <= names
    assert document["output"]["keys"]
    assert {e["code"] for e in document["errors"]} >= set(command.errors)
    for error in document["errors"]:
        cls = CATALOGUE[error["code"]]
        assert (error["exit"], error["retry"]) == (cls.exit_code, cls.retry)
    assert document["examples"] == list(command.examples)
    assert json.loads(to_json(document)) == document


def test_the_keys_of_an_answer_are_said_once(command: Command) -> None:
    output = command.output
    assert (output.rows is None) == (not output.row_keys)
    assert output.rows is None or output.rows in output.keys
    shown = output.row_keys or output.keys
    for keys in (output.keys, output.row_keys, (*shown, *output.full_keys)):
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["run"], "tau run"),
        (["tau", "run"], "tau run"),
        (["tau run"], "tau run"),
        (["status"], "tau status"),
        (["taud", "status"], "taud status"),
        (["start"], "taud start"),
        (["keys", "create"], "tau keys create"),
        (["tau keys revoke"], "tau keys revoke"),
    ],
)
def test_finding_a_command_by_words(words: list[str], found: str) -> None:
    assert schema.describe(words) == schema.details(BY_NAME[found])


def test_the_first_of_two_words_finds_both_commands() -> None:
    document = schema.describe(["keys"])
    usages = [" ".join(line["usage"].split()[:3]) for line in document["commands"]]
    assert usages == ["tau keys list", "tau keys create", "tau keys revoke"]


@pytest.mark.parametrize(
    "words", [["rnu"], ["taud", "run"], ["taud"], ["tau", "start", "x"], ["keys", "x"], ["", ""]]
)
def test_words_that_name_no_command(words: list[str]) -> None:
    with pytest.raises(UnknownCommand):
        schema.describe(words)


def test_a_list_option_has_small_defaults() -> None:
    limits = [p for c in registry.COMMANDS for p in c.params if isinstance(p, Option)]
    assert all(p.default <= 20 for p in limits if p.name in ("--limit", "--last") and p.default)
