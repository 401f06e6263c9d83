"""From the registry and its handlers to a program: the one runner of `tau` and of `taud`.

What only help or an error needs is imported there: a command that succeeds does without.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from tau.commands import fields, output, parse
from tau.commands.output import Answer, Document, Format, Outcome, Stream
from tau.commands.parse import HelpAsked, Parsed, VersionAsked
from tau.commands.spec import Program
from tau.commands.version import client_version
from tau.errors import (
    ConfirmationRequired,
    ExitCode,
    Interrupted,
    TauError,
    UnexpectedError,
    UsageError,
)

Handler = Callable[..., Answer] | str
Handlers = Mapping[str, Handler]
"""By the command's name: a function that takes its params (and `env`, for `tau`) as keywords, or
"module:function", imported when the command is called. It answers the document to print, an
Outcome, a Stream, or None where there is nothing to print; it raises TauError."""


def build_app(program: Program, handlers: Handlers) -> Callable[[], None]:
    """The program as its entry point wants it: takes sys.argv, exits with the command's code."""

    def app() -> None:
        sys.exit(execute(program, sys.argv[1:], handlers=handlers))

    return app


def execute(program: Program, argv: Sequence[str], *, handlers: Handlers) -> int:
    """Run one command line and print its answer; returns the exit code and never raises."""
    form = _likely_format(argv)
    try:
        try:
            parsed = _parse(program, argv)
        except (HelpAsked, VersionAsked) as asked:
            return _print(_about(program, asked), form="json")
        form = output.requested_format(parsed.options.get("output"))
        return _print(_call(parsed, handlers), form=form)
    except BaseException as error:  # noqa: BLE001  the last door: whatever it is becomes a document
        return _fail(as_error(error), form=form)


def as_error(error: BaseException) -> TauError:
    """Any exception as an error that can be printed; the traceback only with TAU_DEBUG=1."""
    if isinstance(error, TauError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted()
    if os.environ.get("TAU_DEBUG") == "1":
        import traceback

        output.note("".join(traceback.format_exception(error)).rstrip())
    return UnexpectedError(
        f"{type(error).__name__}: {error}",
        hint="This is a bug in Tau; TAU_DEBUG=1 prints the traceback to stderr.",
    )


def _parse(program: Program, argv: Sequence[str]) -> Parsed:
    words = list(argv)
    _check_text(words)
    if program == "taud" and _means_start(words):
        words.insert(0, "start")
    try:
        return parse.parse(program, words)
    except Exception as error:
        from tau.commands import usage

        if isinstance(error, TauError):
            raise usage.explain(program, usage.named(program, words), error) from error
        if usage.is_usage_error(error):
            raise usage.from_parser(program, words, error) from error
        raise


def _means_start(words: list[str]) -> bool:
    """`taud` and `taud --port 9000` mean `taud start`."""
    return not words or (words[0].startswith("-") and words[0] not in ("--help", "-h", "--version"))


def _check_text(words: list[str]) -> None:
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(f"An argument is not UTF-8 text: {word!a}.") from None


def _about(program: Program, asked: HelpAsked | VersionAsked) -> Answer:
    """The answer to --help and --version; help is text where a person reads it."""
    if isinstance(asked, VersionAsked):
        return {"version": client_version()}
    if sys.stdout is not None and sys.stdout.isatty():
        sys.stdout.write(asked.text.rstrip() + "\n")
        return None
    from tau.commands import schema

    if asked.command:
        return schema.details(asked.command)
    if asked.family:
        return schema.family(program, asked.family)
    programs: tuple[Program, ...] = ("tau", "taud") if program == "tau" else ("taud",)
    return schema.surface(programs, version=client_version())


def _call(parsed: Parsed, handlers: Handlers) -> Answer:
    command = parsed.command
    if command is None:
        raise UsageError("No command was given.")
    keywords = dict(parsed.values)
    if parsed.program == "tau" and not command.offline:
        keywords["env"] = parsed.options.get("env")
    if command.logs:
        keywords["output"] = parsed.options.get("output")
    chosen = keywords.pop("fields", None)
    if chosen and "full" in keywords:
        keywords["full"] = keywords["full"] or fields.need_all(command, chosen)
    try:
        answer = resolve(handlers[command.name])(**keywords)
        return fields.select(command, answer, chosen) if chosen else answer
    except (UsageError, ConfirmationRequired) as error:
        from tau.commands import usage

        if isinstance(error, ConfirmationRequired):
            error.next = [usage.with_yes(parsed.program, parsed.words)]
            raise
        raise usage.explain(parsed.program, command, error) from error


def resolve(handler: Handler) -> Callable[..., Answer]:
    """The function of a handler, imported if it is given by name."""
    if not isinstance(handler, str):
        return handler
    module, _, function = handler.partition(":")
    found: Callable[..., Answer] = getattr(import_module(module), function)
    return found


def _print(answer: Answer, *, form: Format) -> int:
    if isinstance(answer, Stream):
        return _print_stream(answer, form=form)
    document, code = (
        (answer.document, answer.exit_code) if isinstance(answer, Outcome) else (answer, 0)
    )
    try:
        if document is not None:
            output.emit(document, form=form)
    except BrokenPipeError:
        _reader_gone()
    return int(code)


def _print_stream(stream: Stream, *, form: Format) -> int:
    begun = False
    try:
        for line in stream.lines:
            output.emit_line(line, form=form)
            begun = True
    except BrokenPipeError:
        _reader_gone()
    except BaseException as failure:  # noqa: BLE001  the stream's last line says how it ended
        head = {"type": "error"} if begun else {}
        return _fail(as_error(failure), form=form, head=head, show=output.emit_line)
    return int(ExitCode.SUCCESS)


def _fail(
    error: TauError,
    *,
    form: Format,
    head: Document | None = None,
    show: Callable[..., None] = output.emit,
) -> int:
    try:
        show({**(head or {}), **output.error_document(error)}, form=form)
    except BrokenPipeError:
        _reader_gone()
    except OSError as failure:
        output.note(f"stdout: {failure.strerror}; {error.code}: {error.message}")
        _reader_gone()
    return int(error.exit_code)


def _likely_format(argv: Sequence[str]) -> Format:
    """What a command line that cannot be parsed seems to ask for."""
    words = " ".join(argv).replace("--output", "-o").replace("=", " ")
    asked = "-o table" in words or "-otable" in words
    named = asked or "-o json" in words or "-ojson" in words
    return "table" if asked or (not named and os.environ.get("TAU_OUTPUT") == "table") else "json"


def _reader_gone() -> None:
    """stdout has no reader any more: what is left in its buffer goes nowhere, quietly."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
