"""All commands, and how to find one."""

from collections.abc import Iterable

from tau.commands import daemon, pipelines, runs, system
from tau.commands.spec import Command, Option, Program
from tau.errors import UnknownCommand

COMMANDS: tuple[Command, ...] = (
    *pipelines.COMMANDS,
    *runs.COMMANDS,
    *system.COMMANDS,
    *daemon.COMMANDS,
)

OUTPUT = Option(
    name="--output",
    short="-o",
    metavar="F",
    choices=("json", "table"),
    help="json (the default; also by TAU_OUTPUT), or table for people.",
)
ENVIRONMENT = Option(
    name="--env",
    metavar="NAME",
    help="The daemon named so in ~/.config/tau/environments.toml (also by TAU_ENV).",
)

COMMON_ERRORS = (
    "usage.invalid",
    "usage.unknown_option",
    "usage.missing_argument",
    "request.invalid",
    "config.invalid",
    "config.unknown_environment",
    "security.unsafe_file",
    "auth.missing_key",
    "auth.invalid_key",
    "auth.missing_scope",
    "daemon.unreachable",
    "daemon.bad_answer",
    "daemon.start_failed",
    "daemon.stopping",
    "store.unavailable",
    "command.interrupted",
    "internal.error",
)


def of_program(program: Program) -> tuple[Command, ...]:
    """The commands of `tau` or of `taud`."""
    return tuple(command for command in COMMANDS if command.program == program)


def global_options(program: Program) -> tuple[Option, ...]:
    """The options that stand before or after any command."""
    return (OUTPUT, ENVIRONMENT) if program == "tau" else (OUTPUT,)


def get(program: Program, name: str) -> Command:
    """The command of that name. Raises UnknownCommand with the nearest one."""
    for command in of_program(program):
        if command.name == name:
            return command
    raise unknown(program, name)


def unknown(program: Program, name: str, *, rest: Iterable[str] = ()) -> UnknownCommand:
    """The error for a word that is no command; `rest` is what followed it."""
    from difflib import get_close_matches
    from shlex import join

    names = [command.name for command in of_program(program)]
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean `{program} {near[0]}`?" if near else None
    corrected = [join([program, near[0], *rest])] if near else []
    return UnknownCommand(
        f"No such command: {name}.",
        hint=hint,
        next=[*corrected, "tau schema"],
        commands=names,
        example=get(program, near[0]).examples[0] if near else COMMANDS[0].examples[0],
    )
