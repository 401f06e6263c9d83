"""From the words of a command line to the command they name, with Typer as the parser.

Typer only parses here: the handler runs afterwards, outside of it, so that no exception or signal
of a handler passes through Typer's own handling.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tau.commands import registry, values
from tau.commands.spec import Argument, Command, Option, Program


class HelpAsked(Exception):
    """`--help` was given, or nothing at all. `text` is for a terminal.

    It is about a command, or about the commands that begin with the word `family`, or about all.
    """

    def __init__(self, command: Command | None, text: str, *, family: str | None = None) -> None:
        super().__init__(text)
        self.command = command
        self.text = text
        self.family = family


class VersionAsked(Exception):
    """`--version` was given in place of a command."""


@dataclass
class Parsed:
    """What the command line `words` said; filled while it is parsed."""

    program: Program
    words: Sequence[str] = ()
    command: Command | None = None
    values: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def take(self, words: dict[str, Any]) -> dict[str, Any]:
        """Keep the global options out of `words`; a later place wins. Returns the rest."""
        rest = {k: v for k, v in words.items() if k not in ("output", "env", "help_")}
        self.options |= {k: words[k] for k in ("output", "env") if words.get(k) is not None}
        return rest


def parse(program: Program, argv: Sequence[str]) -> Parsed:
    """Raises what Typer raises for a usage error, UnknownCommand, HelpAsked, VersionAsked."""
    parsed = Parsed(program, argv)
    app = typer.Typer(
        cls=_Group, name=program, add_completion=False, rich_markup_mode=None,
        context_settings={"help_option_names": []},
    )  # fmt: skip
    app.callback(invoke_without_command=True)(_root(parsed))
    for command in _needed(program, argv):
        _add(app, parsed, command)
    group = typer.main.get_command(app)
    _without_pydantic(group)
    group.main(args=list(argv), prog_name=program, standalone_mode=False)
    for option in registry.global_options(program):
        parsed.options[option.keyword] = values.convert(option, parsed.options.get(option.keyword))
    for param in parsed.command.params if parsed.command else ():
        name = param.name if isinstance(param, Argument) else param.keyword
        parsed.values[name] = values.convert(param, parsed.values.get(name))
    return parsed


def _needed(program: Program, argv: Sequence[str]) -> tuple[Command, ...]:
    """Only what begins with the first word, where that names a command: all cost milliseconds."""
    commands = registry.of_program(program)
    named = tuple(c for c in commands if argv and c.first_word == argv[0])
    return named or commands


class _Group(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        program, word = ctx.info_name, args[0]
        if args[1:2] in (["--help"], ["-h"]) and registry.is_family(program, word):
            raise HelpAsked(None, _text_of_family(program, word), family=word)
        command, rest = registry.match(program, args)
        return super().resolve_command(ctx, [command.name, *rest])


def _text_of_family(program: Program, word: str) -> str:
    lines = [
        f"{command.usage}\n    {command.summary}" for command in registry.family(program, word)
    ]
    return "\n\n".join([f"The commands of {program} {word}:", *lines])


class _AsTyped:
    """Hands on what was typed: Typer would import pydantic, 100 ms, to turn text into text."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        del ctx
        return () if value is None and (param.multiple or param.nargs == -1) else value


def _without_pydantic(group: Any) -> None:
    # A private attribute of Typer 0.29: where it goes away, parsing is slower and still right.
    for command in (group, *group.commands.values()):
        for param in command.params:
            param._runtime_param = _AsTyped()  # noqa: SLF001


def _root(parsed: Parsed) -> Callable[..., None]:
    def root(ctx: typer.Context, **words: Any) -> None:
        parsed.take(words)
        if words.get("version"):
            raise VersionAsked
        if ctx.invoked_subcommand is None:
            raise HelpAsked(None, ctx.get_help())

    version = Option(name="--version", kind="flag", help="Print the version.")
    options = (*registry.global_options(parsed.program), version)
    context = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    return _signed(root, [context, *map(_parameter, options), _help(None)])


def _add(app: typer.Typer, parsed: Parsed, command: Command) -> None:
    def call(**words: Any) -> None:
        parsed.command = command
        parsed.values = parsed.take(words)

    params = (*command.params, *registry.global_options(command.program))
    examples = "\n\n".join(("Examples:", *command.examples))
    signed = _signed(call, [*map(_parameter, params), _help(command)])
    app.command(command.name, help=command.summary, epilog=examples)(signed)


def _signed(
    function: Callable[..., None], parameters: list[inspect.Parameter]
) -> Callable[..., None]:
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters}
    return function


def _parameter(param: Argument | Option) -> inspect.Parameter:
    if isinstance(param, Argument):
        info: Any = typer.Argument(help=param.help, metavar=param.metavar, show_default=False)
        default = inspect.Parameter.empty if param.required else None
        return _keyword(param.name, list[str] if param.many else str, info=info, default=default)
    names = [param.short, param.name] if param.short else [param.name]
    shown = f"{param.help} [{'|'.join(param.choices)}]" if param.choices else param.help
    if param.default is not None:
        shown += f" (default {param.default})"
    if param.kind == "flag":
        info = typer.Option(*names, help=shown, show_default=False)
        return _keyword(param.keyword, bool, info=info, default=False)
    info = typer.Option(*names, help=shown, metavar=param.metavar, show_default=False)
    default = inspect.Parameter.empty if param.required else None
    return _keyword(param.keyword, list[str] if param.many else str, info=info, default=default)


def _keyword(name: str, kind: Any, *, info: Any, default: Any) -> inspect.Parameter:
    if default is None:
        kind = kind | None
    annotation = Annotated[kind, info]
    where = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, where, default=default, annotation=annotation)


def _help(command: Command | None) -> inspect.Parameter:
    def show(ctx: typer.Context, value: bool) -> None:
        if value:
            raise HelpAsked(command, ctx.get_help())

    info = typer.Option(
        "--help", "-h", is_eager=True, callback=show, help="Show this, and exit.",
        show_default=False,
    )  # fmt: skip
    return _keyword("help_", bool, info=info, default=False)
