"""The surface as data: every command in one document, or one command in full."""

from collections.abc import Iterable
from typing import Any

from tau.commands import registry
from tau.commands.spec import Argument, Command, Option, Output, Program
from tau.errors import CATALOGUE, ExitCode

Document = dict[str, Any]

EXIT_CODES = {
    ExitCode.SUCCESS: "success",
    ExitCode.UNEXPECTED: "unexpected: a bug of Tau",
    ExitCode.CONFIGURATION: "configuration or usage",
    ExitCode.VALIDATION: "validation: pipeline file, cron, params",
    ExitCode.EXECUTION: "execution: the run did not succeed",
    ExitCode.DEPENDENCY: "dependency missing",
    ExitCode.SECURITY: "security: key, scope, unsafe path, confirmation",
    ExitCode.UNAVAILABLE: "unavailable: no daemon answers, 5xx",
    ExitCode.NOT_FOUND: "not found",
    ExitCode.CONFLICT: "conflict",
    ExitCode.LIMITED: "limited: rate, full queue",
    ExitCode.WAIT_TIMEOUT: "gave up waiting, the run goes on",
    ExitCode.PARTIAL: "partial: some succeeded",
    ExitCode.INTERRUPTED: "interrupted",
}
NOTES = (
    "stdout is one JSON document, NDJSON with --follow. A command that fails prints "
    '{"error":{"code","message","hint","retry","next"}} there too.',
    "A run that failed is no error: it is printed, and `run` and `wait` exit 4.",
    "What can't be undone takes --yes: without it, it is shown and the command exits 6.",
    "A RUN is an id, a unique prefix of one, NAME#7, NAME@last, NAME@last-failed or "
    "NAME@last-success.",
    "TAU_HOST and TAU_API_KEY, else --env, else the local daemon, which starts by itself "
    "(TAU_AUTOSTART=0: it does not).",
)
RETRY = {
    "same": "send it again unchanged",
    "after_fix": "change the call or the file",
    "after_wait": "wait, then again",
    "human": "ask a human",
    "never": "a bug",
}


def surface(programs: Iterable[Program], *, version: str) -> Document:
    """Every command of the programs with its options; at most 8 KB as compact JSON."""
    programs = tuple(programs)
    commands = [c for c in registry.COMMANDS if c.program in programs]
    return {
        "program": programs[0],
        "version": version,
        "options": {_names(o): o.help for o in registry.global_options(programs[0])},
        "commands": [_line(command) for command in commands],
        "more": f"tau schema CMD, {programs[0]} CMD --help",
        "exit_codes": {str(int(code)): text for code, text in EXIT_CODES.items()},
        "retry": RETRY,
        "notes": list(NOTES),
    }


def details(command: Command) -> Document:
    """One command in full: options, output, errors, exit codes, examples."""
    document: Document = {
        "command": f"{command.program} {command.name}",
        "summary": command.summary,
        "usage": command.usage,
        "mutating": command.mutating,
        "idempotent": command.idempotent,
        "arguments": [_argument(argument) for argument in command.arguments],
        "options": [
            _option(o) for o in (*command.options, *registry.global_options(command.program))
        ],
        "output": _output(command.output),
        "exit_codes": {str(code): text for code, text in command.exits},
        "errors": [_error(code) for code in _codes(command)],
        "examples": list(command.examples),
    }
    return {key: value for key, value in document.items() if value not in ([], {})}


def describe(words: Iterable[str]) -> Document:
    """What `tau schema WORDS` answers: one command, or those of a family such as `keys`.

    Raises UnknownCommand.
    """
    parts = [word for text in words for word in text.split()]
    program: Program = "taud" if parts[:1] == ["taud"] else "tau"
    if parts[:1] in (["taud"], ["tau"]):
        parts = parts[1:]
    name = " ".join(parts)
    if registry.find("tau", name) is None and registry.find("taud", name):
        program = "taud"
    if registry.is_family(program, name):
        return family(program, name)
    return details(registry.get(program, name))


def family(program: Program, word: str) -> Document:
    """The commands that begin with this word."""
    commands = registry.family(program, word)
    lines = [_line(command) for command in commands]
    return {"program": program, "commands": lines, "more": f"tau schema {commands[0].name}"}


def _line(command: Command) -> Document:
    line: Document = {"usage": command.usage, "does": command.summary}
    return line | {"changes": True} if command.mutating else line


def _names(option: Option) -> str:
    return f"{option.short}/{option.name}" if option.short else option.name


def _argument(argument: Argument) -> Document:
    document: Document = {"name": argument.metavar, "help": argument.help}
    return document | {"required": argument.required, "many": argument.many}


def _option(option: Option) -> Document:
    document: Document = {"name": _names(option), "type": option.kind, "help": option.help}
    if option.choices:
        document["choices"] = list(option.choices)
    if option.default is not None:
        document["default"] = option.default
    if option.required:
        document["required"] = True
    return document | {"many": True} if option.many else document


def _output(output: Output) -> Document:
    document: Document = {"description": output.description, "keys": list(output.keys)}
    if output.rows:
        document |= {"rows": output.rows, "row_keys": list(output.row_keys)}
    return document | ({"full_keys": list(output.full_keys)} if output.full_keys else {})


def _codes(command: Command) -> list[str]:
    common: tuple[str, ...] = registry.COMMON_ERRORS
    if command.offline or command.program == "taud":
        common = tuple(c for c in common if c.startswith(("usage.", "command.", "internal.")))
    return list(dict.fromkeys((*command.errors, *common)))


def _error(code: str) -> Document:
    cls = CATALOGUE[code]
    return {"code": code, "exit": int(cls.exit_code), "retry": cls.retry}
