"""An exception as data: type, message, causes, the user's frames, never a value of a variable."""

from collections.abc import Iterator
from itertools import islice

from tau.errors import ModuleMissing, TauError
from tau.errors import ParamsInvalid as ParamsInvalidAnswer
from tau.pipeline.encoding import encode_lenient
from tau.pipeline.exceptions import NotRetryable, NotSerializable, ParamsInvalid
from tau.pipeline.frames import frames_of
from tau.pipeline.protocol import MAX_MESSAGE_BYTES, JsonObject, encode_line
from tau.pipeline.steps import Steps
from tau.pipeline.text import cut_middle, safe_text

MAX_MESSAGE_CHARS = 8 * 1024
MAX_CAUSE_CHARS = 1024
MAX_CAUSES = 10
MAX_NOTES = 10
NEVER_MENDED = (NotRetryable, ParamsInvalid, NotSerializable)
"""What another attempt would meet again."""
ROOM = MAX_MESSAGE_BYTES - 4096
"""What a failure may take of a message, which also holds its kind and time."""


def describe(error: BaseException, file_name: str, *, steps: Steps | None = None) -> JsonObject:
    """The failure document of an exception; `file_name` tells the user's frames from others."""
    try:
        document = _describe(error, file_name, steps)
        if len(encode_line(document)) > ROOM:
            document = _without_locals(document)
        return document
    except Exception as broken:  # hostile exceptions, or no memory left: say what can be said
        return _minimal(error) | {"notes": [f"no details: {type(broken).__name__}"]}


def describe_tau_error(error: TauError) -> JsonObject:
    """What an error of the catalogue adds to a failure document."""
    document: JsonObject = {"code": error.code, "message": error.message}
    if error.hint:
        document["hint"] = error.hint
    if error.details:
        document["details"] = encode_lenient(error.details)
    return document


def message_of(error: BaseException, limit: int = MAX_MESSAGE_CHARS) -> str:
    """The exception's message, bounded; what can be said where it has none to give."""
    if isinstance(error, SystemExit):
        text = f"sys.exit({error.code!r})"
    else:
        try:
            text = str(error)
        except Exception as broken:  # a user's __str__ may raise anything
            text = f"<no message: {type(broken).__name__}>"
    return safe_text(cut_middle(text, limit))


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """What an exception came from: causes, contexts and the members of groups, each once."""
    seen = {id(error)}
    queue = [error]
    while queue:
        current = queue.pop(0)
        for origin in _origins(current):
            if id(origin) not in seen:
                seen.add(id(origin))
                queue.append(origin)
                yield origin


def _origins(error: BaseException) -> list[BaseException]:
    members = list(error.exceptions) if isinstance(error, BaseExceptionGroup) else []
    origin = error.__cause__
    if origin is None and not error.__suppress_context__:
        origin = error.__context__
    return members if origin is None else [*members, origin]


def _describe(error: BaseException, file_name: str, steps: Steps | None) -> JsonObject:
    chain = list(islice(chain_of(error), MAX_CAUSES))
    document = _minimal(error)
    notes = [str(note) for note in getattr(error, "__notes__", ())][:MAX_NOTES]
    if notes:
        document["notes"] = [safe_text(cut_middle(note, MAX_CAUSE_CHARS)) for note in notes]
    document["causes"] = [
        {"type": type(cause).__name__, "message": message_of(cause, MAX_CAUSE_CHARS)}
        for cause in chain
    ]
    document |= _frames(error, chain, file_name)
    step = _step_of([error, *chain], steps)
    if step is not None:
        document["step"] = step
    return document | _particulars(error)


def _minimal(error: BaseException) -> JsonObject:
    kind = type(error)
    return {
        "type": kind.__name__,
        "module": kind.__module__,
        "message": message_of(error),
        "causes": [],
        "frames": [],
        "hidden_frames": 0,
    }


def _frames(error: BaseException, chain: list[BaseException], file_name: str) -> JsonObject:
    """The frames of the exception; a group's first leaf, or else the nearest cause, adds its own.

    A group's own traceback ends at the `async with TaskGroup()`, far from what went wrong.
    """
    document = frames_of(error, file_name)
    leaf = _first_leaf(error)
    if leaf is not error:
        inner = frames_of(leaf, file_name)
        return inner | {"frames": document["frames"] + inner["frames"]}
    if not document["frames"]:
        others = (frames_of(cause, file_name) for cause in chain)
        return next((other for other in others if other["frames"]), document)
    return document


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def _step_of(errors: list[BaseException], steps: Steps | None) -> str | None:
    if steps is None:
        return None
    # The deepest origin was raised first, in the innermost step.
    names = (steps.step_of(error) for error in reversed(errors))
    return next((name for name in names if name is not None), None)


def _particulars(error: BaseException) -> JsonObject:
    never = {"retry": "never"} if isinstance(error, NEVER_MENDED) else {}
    return _facts(error) | never


def _facts(error: BaseException) -> JsonObject:
    if isinstance(error, SystemExit):
        return {"exit_code": error.code if isinstance(error.code, int) else 1}
    if isinstance(error, TauError):
        return describe_tau_error(error)
    if isinstance(error, ParamsInvalid):
        return describe_tau_error(ParamsInvalidAnswer(str(error), fields=error.fields))
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return {
            "code": ModuleMissing.code,
            "details": {"module": safe_text(error.name), "package": safe_text(package)},
        }
    if isinstance(error, NotSerializable):
        return {"details": {"path": error.path}}
    return {}


def _without_locals(document: JsonObject) -> JsonObject:
    frames = [{**frame, "source": [], "locals": {}} for frame in document["frames"]]
    return document | {"frames": frames}
