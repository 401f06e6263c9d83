"""The words a command is declared with: one declaration gives its options, schema and help.

Each thing is declared once, so they are compared by identity; to make `__eq__` costs start-up time.
"""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "integer", "flag", "duration", "json", "names"]
Program = Literal["tau", "taud"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Argument:
    """A positional word. `name` is the handler's keyword; `many` takes all that follow."""

    name: str
    help: str
    metavar: str
    kind: Literal["text", "integer"] = "text"
    required: bool = True
    many: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Option:
    """A `--name`. A flag takes no value; `many` may be repeated.

    Kinds: `integer` (at least `minimum`), `duration` (seconds as float, from `90`, `10m`, `1h30m`),
    `json` (an object, from text or `@file`), `names` (a list, from `a,b`). `default` None means
    that the handler sees None.
    """

    name: str
    help: str
    kind: Kind = "text"
    metavar: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()
    minimum: int = 1
    many: bool = False
    required: bool = False
    short: str | None = None

    @property
    def keyword(self) -> str:
        """The handler's keyword for it."""
        return self.name.removeprefix("--").replace("-", "_")


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """What a command prints when it succeeds: a sentence and the keys of the document.

    Of a list, `rows` is the key that holds the rows and `row_keys` are theirs. `full_keys` are
    those that `--full` adds: to the rows of a list, to the document of anything else.
    """

    description: str
    keys: tuple[str, ...]
    rows: str | None = None
    row_keys: tuple[str, ...] = ()
    full_keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Command:
    """One command, declared once. Its name has one word or two: `run`, `keys create`.

    `errors` are the codes that only this command and its like answer with; those that every
    command may answer with are `COMMON_ERRORS` of the registry. `offline` commands need no daemon
    and take no environment. `exits` says an exit code beyond those of the errors. `is_private`
    commands may be given a secret in the wrong place: their usage errors repeat no word. One that
    `logs` is told the `output` that was asked for, since what it writes is no document.
    """

    name: str
    group: str
    summary: str
    output: Output
    params: tuple[Argument | Option, ...] = ()
    errors: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    exits: tuple[tuple[int, str], ...] = ()
    mutating: bool = False
    idempotent: bool = True
    offline: bool = False
    is_private: bool = False
    logs: bool = False
    program: Program = "tau"

    @property
    def arguments(self) -> tuple[Argument, ...]:
        return tuple(param for param in self.params if isinstance(param, Argument))

    @property
    def options(self) -> tuple[Option, ...]:
        return tuple(param for param in self.params if isinstance(param, Option))

    @property
    def first_word(self) -> str:
        """`keys` of `keys create`; the name itself where it has one word."""
        return self.name.split()[0]

    @property
    def keywords(self) -> tuple[str, ...]:
        """The keywords that its handler is called with, without the global ones.

        `--fields` is not among them: the runner takes them out of what the handler answers.
        """
        names = (p.name if isinstance(p, Argument) else p.keyword for p in self.params)
        return tuple(name for name in names if name != "fields")

    @property
    def usage(self) -> str:
        """`tau run NAME [--params JSON] …`: every option, on one line."""
        return " ".join([self.program, self.name, *map(_usage_piece, self.params)])


def _usage_piece(param: Argument | Option) -> str:
    if isinstance(param, Argument):
        piece = param.metavar + ("…" if param.many else "")
        return piece if param.required else f"[{piece}]"
    if param.kind == "flag":
        return f"[{param.name}]"
    value = "|".join(param.choices) if 0 < len(param.choices) <= 4 else param.metavar
    shown = str(param.default) if param.default is not None else value
    piece = f"{param.name} {shown}{'…' if param.many else ''}"
    return piece if param.required else f"[{piece}]"
