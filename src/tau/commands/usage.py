"""Usage errors: what the parser raised, as an error with the nearest option and an example.

Typer keeps the classes of its exceptions private, so they are told apart by what they carry.
"""

from collections.abc import Sequence
from shlex import join
from typing import Any

from tau.commands import registry
from tau.commands.spec import Command, Program
from tau.errors import MissingArgument, TauError, UnknownCommand, UnknownOption, UsageError

NO_VALUE = (
    "A secret's value is no argument, as every process can read those: give it to the stdin of "
    "`tau secret set NAME`, or name a variable by --from-env."
)


def is_usage_error(error: BaseException) -> bool:
    """Whether the parser raised it on account of what was typed."""
    return hasattr(error, "format_message") and hasattr(error, "ctx")


def from_parser(program: Program, argv: Sequence[str], error: Any) -> UsageError:
    """The error object for what the parser raised."""
    command = named(program, argv)
    if command is not None and command.is_private:
        return _about_private(program, command, error)
    if hasattr(error, "possibilities"):
        return _unknown_option(program, argv, command=command, name=str(error.option_name))
    facts = _facts(program, command)
    message = str(error.format_message()).strip()
    if hasattr(error, "param_type"):
        return MissingArgument(f"{_name(error.param)} is missing.", **facts)
    return UsageError(message, **facts)


def _about_private(program: Program, command: Command, error: Any) -> UsageError:
    """Says what is wrong without a word of what was typed, which may be a secret."""
    facts = _facts(program, command)
    if hasattr(error, "possibilities"):
        known = [option.name for option in command.options]
        return UnknownOption("There is no such option.", hint=NO_VALUE, options=known, **facts)
    if hasattr(error, "param_type"):
        return MissingArgument(f"{_name(error.param)} is missing.", **facts)
    return UsageError("There are words too many, or one lacks its value.", hint=NO_VALUE, **facts)


def explain(program: Program, command: Command | None, error: TauError) -> TauError:
    """Adds usage, example and the next step to a usage error that has none."""
    if isinstance(error, UsageError) and "example" not in error.details:
        facts = _facts(program, command)
        error.next = error.next or facts.pop("next")
        facts.pop("next", None)
        error.details = error.details | facts
    return error


def named(program: Program, argv: Sequence[str]) -> Command | None:
    """The command that a command line is about, as far as one can tell."""
    for place in range(len(argv)):
        try:
            return registry.match(program, argv[place:])[0]
        except UnknownCommand:
            continue
    return None


def with_yes(program: Program, argv: Sequence[str]) -> str:
    """The same command line, confirmed."""
    words = list(argv)
    place = words.index("--") if "--" in words else len(words)
    return join([program, *words[:place], "--yes", *words[place:]])


def _facts(program: Program, command: Command | None) -> dict[str, Any]:
    if command is None:
        first = registry.of_program(program)[0]
        return {"next": ["tau schema"], "example": first.examples[0]}
    schema = f"tau schema {'taud ' if program == 'taud' else ''}{command.name}"
    return {"next": [schema], "usage": command.usage, "example": command.examples[0]}


def _unknown_option(
    program: Program, argv: Sequence[str], *, command: Command | None, name: str
) -> UnknownOption:
    from difflib import get_close_matches

    known = [o.name for o in registry.global_options(program)] + ["--help"]
    known += [o.name for o in command.options] if command else ["--version"]
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    facts = _facts(program, command)
    if near:
        corrected = [near[0] + word[len(name) :] if _is(word, name) else word for word in argv]
        facts["next"] = [join([program, *corrected]), *facts["next"]]
    return UnknownOption(
        f"No such option: {name}.",
        hint=f"Did you mean {near[0]}?" if near else None,
        options=known,
        **facts,
    )


def _is(word: str, name: str) -> bool:
    return word == name or word.startswith(f"{name}=")


def _name(param: Any) -> str:
    if getattr(param, "param_type_name", "") == "argument":
        return str(param.metavar or param.name)
    return str(param.opts[0])
