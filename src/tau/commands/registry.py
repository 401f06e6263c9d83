"""All commands, and how to find one."""

from collections.abc import Sequence

from tau.commands import (
    access,
    daemon,
    notifications,
    pipelines,
    runs,
    schedules,
    secrets,
    store,
    system,
    traces,
    versions,
)
from tau.commands.spec import Command, Option, Program
from tau.errors import UnknownCommand

COMMANDS: tuple[Command, ...] = (
    *pipelines.COMMANDS,
    *versions.COMMANDS,
    *runs.COMMANDS,
    *schedules.COMMANDS,
    *traces.COMMANDS,
    *notifications.COMMANDS,
    *access.COMMANDS,
    *secrets.COMMANDS,
    *store.COMMANDS,
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


def family(program: Program, word: str) -> tuple[Command, ...]:
    """The commands of two words that begin with this one: those of `keys`."""
    return tuple(c for c in of_program(program) if c.name.startswith(f"{word} "))


def is_family(program: Program, word: str) -> bool:
    """Whether the word only begins names of two words, and is none itself."""
    return bool(family(program, word)) and find(program, word) is None


def global_options(program: Program) -> tuple[Option, ...]:
    """The options that stand before or after any command."""
    return (OUTPUT, ENVIRONMENT) if program == "tau" else (OUTPUT,)


def find(program: Program, name: str) -> Command | None:
    """The command of that name, or None."""
    return next((c for c in of_program(program) if c.name == name), None)


def get(program: Program, name: str) -> Command:
    """The command of that name. Raises UnknownCommand with the nearest one."""
    found = find(program, name)
    if found is None:
        raise unknown(program, name.split() or [name])
    return found


def match(program: Program, words: Sequence[str]) -> tuple[Command, list[str]]:
    """The command that `words` begin with, and the words after it.

    Global options may stand between the two words of a command. The first of them alone means
    the `list` of its family: `keys` is `keys list`. Raises UnknownCommand.
    """
    first, rest = words[0], list(words[1:])
    place = _next_word(program, rest)
    if place is not None:
        command = find(program, f"{first} {rest[place]}")
        if command:
            return command, [*rest[:place], *rest[place + 1 :]]
    alone = find(program, first) or find(program, f"{first} list")
    if alone is None:
        raise unknown(program, words)
    if place is not None and not alone.arguments and family(program, first):
        raise unknown(program, [first, *rest[place:], *rest[:place]])
    return alone, rest


def _next_word(program: Program, words: Sequence[str]) -> int | None:
    """Where the first word stands, past the global options; None where something else is first."""
    takes = {name for o in global_options(program) for name in (o.name, o.short) if name}
    place = 0
    while place < len(words) and words[place].startswith("-"):
        word = words[place]
        if word in takes:
            place += 2
        elif word.partition("=")[0] in takes or (word[:2] in takes and word[1:2] != "-"):
            place += 1
        else:
            return None
    return place if place < len(words) else None


def unknown(program: Program, words: Sequence[str]) -> UnknownCommand:
    """The error for words that name no command: with the nearest one, and what follows kept."""
    from difflib import get_close_matches
    from shlex import join

    relatives = family(program, words[0])
    place = 1 if relatives and words[1:] else 0
    known = relatives or of_program(program)
    choices = dict.fromkeys(c.name.split()[place] for c in known)
    is_half = bool(relatives) and place == 0  # right as far as it goes
    cutoff = 0.6 if place else 0.5
    near = [] if is_half else get_close_matches(words[place], choices, n=1, cutoff=cutoff)
    begin = [program, *words[:place], *near]
    private = {c.first_word for c in of_program(program) if c.is_private}
    kept = [] if private & {words[0], *near} else words[place + 1 :]
    meant = (c for c in known if near and f"{program} {c.name} ".startswith(join(begin) + " "))
    return UnknownCommand(
        f"No such command: {' '.join(words[: place + 1])}.",
        hint=f"Did you mean `{join(begin)}`?" if near else None,
        next=[
            *([join([*begin, *kept])] if near else []),
            f"tau schema {words[0]}" if relatives else "tau schema",
        ],
        commands=[command.name for command in known],
        example=next(meant, known[0]).examples[0],
    )
