"""Loads a pipeline file as a module, and says exactly why where that can't be done."""

import importlib.util
import io
import linecache
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tau.errors import (
    ModuleMissing,
    PipelineDuplicateName,
    PipelineExitsAtImport,
    PipelineImportFailed,
    PipelineNoneFound,
    PipelineNotFound,
    PipelineNotText,
    PipelineSyntaxError,
    TauError,
)
from tau.pipeline.capture import show_deprecations
from tau.pipeline.decorators import REGISTRY_NAME
from tau.pipeline.failure import describe, describe_tau_error, message_of
from tau.pipeline.frames import files_of, last_line_in, source_line
from tau.pipeline.protocol import JsonObject
from tau.pipeline.spec import PipelineSpec

MAX_LISTED = 10


@dataclass(frozen=True)
class LoadedPipeline:
    """One pipeline of a file."""

    spec: PipelineSpec
    function: Callable[..., Any]


@dataclass(frozen=True)
class LoadedFile:
    """A loaded file and the pipelines that it declares itself, in their order."""

    module: ModuleType
    pipelines: list[LoadedPipeline]

    def get(self, name: str) -> LoadedPipeline:
        """The pipeline of that name. Raises LoadFailed (pipeline.not_found)."""
        found = next((p for p in self.pipelines if p.spec.name == name), None)
        if found is None:
            names = [pipeline.spec.name for pipeline in self.pipelines]
            raise LoadFailed(
                PipelineNotFound(f"the file declares no pipeline {name!r}", declared=names)
            )
        return found


class LoadFailed(Exception):  # noqa: N818
    """The file can't be loaded. `failure` is the failure document, its `code` the catalogue's."""

    def __init__(self, error: TauError, failure: JsonObject | None = None) -> None:
        self.error = error
        self.failure = (failure or describe(error, "")) | describe_tau_error(error)
        super().__init__(error.message)


def load_file(path: Path, file_name: str, *, origin: str | None = None) -> LoadedFile:
    """Import the file under its real name. Raises LoadFailed for whatever is wrong with it.

    The module is registered under the file's stem, or a longer name where that one is taken by a
    module that the file, or a library, may want to import. Its `__file__` is `origin`, the path
    that the file came from, or else `path`.
    """
    code = check_source(path, file_name)
    module = _make_module(origin or str(path), file_name)
    _execute(code, module, file_name)
    declared = getattr(module, REGISTRY_NAME, [])
    pipelines = [LoadedPipeline(spec, function) for spec, function in declared]
    _check(pipelines, module, file_name)
    return LoadedFile(module, pipelines)


def check_source(path: Path, file_name: str) -> CodeType:
    """The file's code, compiled. Raises LoadFailed where it is no text or no Python."""
    text = _read(path, file_name)
    lines = io.StringIO(text, newline=None).read().split("\n")
    linecache.cache[file_name] = (len(text), None, [f"{line}\n" for line in lines], file_name)
    return _compile(text, file_name)


def _read(path: Path, file_name: str) -> str:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise LoadFailed(
            PipelineNotText(f"line {line} is not UTF-8 text", file=file_name, line=line)
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise LoadFailed(
            PipelineNotText(f"line {line} holds a NUL character", file=file_name, line=line)
        )
    return text


def _compile(text: str, file_name: str) -> CodeType:
    try:
        return compile(text, file_name, "exec", dont_inherit=True)
    except SyntaxError as error:
        line, message = error.lineno, error.msg
        cause: BaseException = error
    except (RecursionError, MemoryError, OverflowError, ValueError) as error:
        line, message = None, f"the file is too much for the compiler: {message_of(error)}"
        cause = error
    raise _failed(PipelineSyntaxError, cause, file_name, message=message, line=line)


def _make_module(origin: str, file_name: str) -> ModuleType:
    name = _module_name(file_name)
    module = ModuleType(name)
    module.__file__ = origin
    module.__spec__ = ModuleSpec(name, None, origin=origin)
    sys.modules[name] = module
    show_deprecations(name)
    return module


def _module_name(file_name: str) -> str:
    stem = re.sub(r"\W", "_", Path(file_name).stem)
    name = stem if stem.isidentifier() else f"pipeline_{stem}"
    while name in sys.modules or name in sys.stdlib_module_names or _is_installed(name):
        name += "_pipeline"
    return name


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _execute(code: CodeType, module: ModuleType, file_name: str) -> None:
    try:
        exec(code, vars(module))  # noqa: S102 - this process exists to run the user's file
    except BaseException as error:
        sys.modules.pop(module.__name__, None)
        raise _import_failure(error, file_name) from error


def _import_failure(error: BaseException, file_name: str) -> LoadFailed:
    if isinstance(error, SystemExit):
        message = f"the file ends the process while it is imported: {message_of(error)}"
        return _failed(PipelineExitsAtImport, error, file_name, message=message)
    if isinstance(error, TauError):
        line = last_line_in(error, file_name)
        error.details |= _location(file_name, line)
        return LoadFailed(error, describe(error, file_name))
    missing = _missing_module(error)
    if missing is not None:
        return _missing_failure(missing, error, file_name)
    message = f"{type(error).__name__}: {message_of(error)}"
    return _failed(PipelineImportFailed, error, file_name, message=message)


def _missing_module(error: BaseException | None) -> ModuleNotFoundError | None:
    """The missing module behind an ImportError: some libraries raise their own in its place."""
    for _ in range(MAX_LISTED):
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error
        if not isinstance(error, ImportError):
            return None
        error = error.__cause__ or error.__context__
    return None


def _missing_failure(
    missing: ModuleNotFoundError, error: BaseException, file_name: str
) -> LoadFailed:
    name = missing.name or ""
    package = name.partition(".")[0]
    chain = files_of(error) + (files_of(missing) if missing is not error else [])
    message = f"no module named {name!r} is installed"
    importer = chain[-1] if chain else None
    if importer and importer["file"] != file_name:
        message += f"; it is imported by {importer['module'] or importer['file']}"
    if name != package and _is_installed(package):
        message = f"the installed package {package!r} has no module {name!r}"
    hint = (
        f"Name {package!r} in the file's own dependencies (`# /// script`, PEP 723), or install "
        "it where the daemon runs; if it is a file of yours, put its code into this one."
    )
    return _failed(
        ModuleMissing,
        error,
        file_name,
        message=message,
        hint=hint,
        module=name,
        package=package,
        chain=chain[-MAX_LISTED:],
    )


def _failed(
    kind: type[TauError],
    error: BaseException,
    file_name: str,
    *,
    message: str,
    line: int | None = None,
    hint: str | None = None,
    **details: Any,
) -> LoadFailed:
    place = _location(file_name, line or last_line_in(error, file_name))
    return LoadFailed(kind(message, hint=hint, **place, **details), describe(error, file_name))


def _location(file_name: str, line: int | None) -> JsonObject:
    if line is None:
        return {"file": file_name}
    return {"file": file_name, "line": line, "source_line": source_line(file_name, line)}


def _check(pipelines: list[LoadedPipeline], module: ModuleType, file_name: str) -> None:
    if not pipelines:
        functions = [name for name, value in vars(module).items() if _is_own(value, module)]
        raise LoadFailed(
            PipelineNoneFound(file=file_name, line=1, functions=functions[:MAX_LISTED])
        )
    first: dict[str, int] = {}
    for spec in (pipeline.spec for pipeline in pipelines):
        if spec.name in first:
            raise LoadFailed(_duplicate(spec, first[spec.name], file_name))
        first[spec.name] = spec.line


def _duplicate(spec: PipelineSpec, first_line: int, file_name: str) -> PipelineDuplicateName:
    return PipelineDuplicateName(
        f"two pipelines are named {spec.name!r}: lines {first_line} and {spec.line}",
        hint='Rename one: @pipeline(name="…").',
        **_location(file_name, spec.line),
        name=spec.name,
        lines=[first_line, spec.line],
    )


def _is_own(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__
