"""The registry: each command once, with a handler of its signature, and a schema within budget."""

import inspect
import json

import pytest

from tau.cli.main import HANDLERS
from tau.commands import registry, schema
from tau.commands.build import resolve
from tau.commands.output import to_json
from tau.commands.spec import Command, Option
from tau.errors import CATALOGUE, ExitCode, UnknownCommand

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


def test_what_changes_something_can_say_why() -> None:
    for command in registry.of_program("tau"):
        assert ("reason" in command.keywords) == command.mutating, command.name


def test_its_errors_are_in_the_catalogue(command: Command) -> None:
    assert set(command.errors) <= set(CATALOGUE)
    assert set(registry.COMMON_ERRORS) <= set(CATALOGUE)
    assert len(set(command.errors)) == len(command.errors)


def test_its_examples_are_commands_that_parse(command: Command) -> None:
    import shlex

    from tau.commands.parse import parse

    assert command.examples
    for example in command.examples:
        program, *words = shlex.split(example)
        assert program == command.program
        if words:
            without_format = [w for w in words if w not in ("-o", "table")]
            assert parse(command.program, without_format).command == command


def test_names_do_not_collide(command: Command) -> None:
    keywords = [*command.keywords, "env", "output", "help_"]
    assert len(set(keywords)) == len(keywords)


def test_the_whole_surface_is_at_most_8_kb() -> None:
    document = schema.surface(("tau", "taud"), version="0.1.0")
    assert len(to_json(document).encode()) <= 8 * 1024
    usages = {line["usage"].split(" [")[0] for line in document["commands"]}
    assert {f"{c.program} {c.name}" for c in registry.COMMANDS} == {
        " ".join(usage.split()[:2]) for usage in usages
    }
    for command in registry.COMMANDS:
        line = next(x for x in document["commands"] if x["usage"] == command.usage)
        assert all(option.name in line["usage"] for option in command.options)
    assert set(document["exit_codes"]) == {str(int(code)) for code in ExitCode}


def test_the_schema_of_one_command(command: Command) -> None:
    document = schema.details(command)
    names = {option["name"] for option in document["options"]}
    assert {o.name for o in command.options} <= names
    assert document["output"]["keys"]
    assert all(CATALOGUE[e["code"]].exit_code == e["exit"] for e in document["errors"])
    assert json.loads(to_json(document)) == document


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["run"], "tau run"),
        (["tau", "run"], "tau run"),
        (["tau run"], "tau run"),
        (["status"], "tau status"),
        (["taud", "status"], "taud status"),
        (["start"], "taud start"),
    ],
)
def test_finding_a_command_by_words(words: list[str], found: str) -> None:
    assert schema.find(words) is BY_NAME[found]


@pytest.mark.parametrize("words", [["rnu"], ["taud", "run"], ["taud"], ["tau", "start", "x"]])
def test_words_that_name_no_command(words: list[str]) -> None:
    with pytest.raises(UnknownCommand):
        schema.find(words)


def test_a_list_option_has_small_defaults() -> None:
    limits = [p for c in registry.COMMANDS for p in c.params if isinstance(p, Option)]
    assert all(p.default <= 20 for p in limits if p.name in ("--limit", "--last") and p.default)
