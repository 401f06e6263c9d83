"""What a file says that it needs, in its block of inline script metadata (PEP 723).

The file is read as text, never executed. Names, versions and markers are `packaging`'s to parse,
so that the same needs written another way are the same needs.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from tau import __version__
from tau.errors import ScriptBlockInvalid

OWN_NAME = "tau-pipelines"
KEYS = ("dependencies", "requires-python", "tool")

MAX_DEPENDENCIES = 500

_OPENING, _CLOSING = "# /// script", "# ///"


@dataclass(frozen=True)
class Needs:
    """The dependencies of a file, normalised and sorted, and the Pythons that it runs on."""

    dependencies: tuple[str, ...]
    requires_python: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As a version's spec keeps it."""
        document: dict[str, Any] = {"dependencies": list(self.dependencies)}
        return document | (
            {"requires_python": self.requires_python} if self.requires_python else {}
        )

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> "Needs | None":
        """The needs that a version's spec keeps; None where its file has no block."""
        kept = spec.get("environment")
        if kept is None:
            return None
        return cls(tuple(kept["dependencies"]), kept.get("requires_python"))


def read_needs(source: str, file_name: str) -> Needs | None:
    """The file's needs; None where it has no block. Raises ScriptBlockInvalid with `line`."""
    found = list(_blocks(source.splitlines(), file_name))
    if not found:
        return None
    block, content = found[0]
    if len(found) > 1:
        raise found[1][0].error("the file has more than one `# /// script` block")
    document = _parse(block, content)
    return Needs(_dependencies(block, document), _requires_python(block, document))


@dataclass(frozen=True)
class _Block:
    file_name: str
    line: int

    def error(self, message: str, *, line: int | None = None, **details: Any) -> ScriptBlockInvalid:
        line = line or self.line
        return ScriptBlockInvalid(
            f"{self.file_name}:{line}: {message}.", file=self.file_name, line=line, **details
        )


def _blocks(lines: list[str], file_name: str) -> Iterator[tuple[_Block, list[str]]]:
    """Each block's place and content: as PEP 723 says, it ends at the last `# ///` of a comment.

    Not by the expression given there, which takes quadratic time over a hostile file. A block that
    is not closed is refused: it would be ignored without a word, and then its imports would fail.
    """
    at = 0
    while at < len(lines):
        start, at = at, at + 1
        if lines[start].rstrip() != _OPENING:
            continue
        end = at
        while end < len(lines) and (lines[end] == "#" or lines[end].startswith("# ")):
            end += 1
        block = _Block(file_name, start + 1)
        close = next((n for n in range(end - 1, start, -1) if lines[n] == _CLOSING), None)
        if close is None:
            raise block.error(
                "the `# /// script` block is not closed by `# ///` with only comments between"
            )
        yield block, [line[2:] for line in lines[at:close]]
        at = end


def _parse(block: _Block, content: list[str]) -> dict[str, Any]:
    try:
        document = tomllib.loads("\n".join(content))
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        line = block.line + (int(at.group(1)) if at else 0)
        raise block.error(f"the script block is not valid TOML: {error}", line=line) from error
    unknown = [key for key in document if key not in KEYS]
    if unknown:
        raise block.error(f"the script block knows no key {unknown[0]!r}", known=list(KEYS))
    tools = document.get("tool", {})
    if not isinstance(tools, dict) or tools.get("uv"):
        raise block.error(
            "[tool.uv] in a script block is not acted on; "
            "set uv's UV_… variables for the daemon, or write a URL into the dependency"
        )
    return document


def _dependencies(block: _Block, document: dict[str, Any]) -> tuple[str, ...]:
    given = document.get("dependencies", [])
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise block.error("dependencies is a list of texts")
    if len(given) > MAX_DEPENDENCIES:
        raise block.error(f"it names {len(given)} dependencies; at most {MAX_DEPENDENCIES}")
    found = {_normalised(block, item) for item in given}
    return tuple(sorted(name for name in found if name))


def _normalised(block: _Block, text: str) -> str | None:
    """One dependency in its normal form; None for Tau, which every environment gets anyway."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise block.error(f"{text!r} is no dependency: {reason}", package=text) from error
    requirement.name = canonicalize_name(requirement.name)
    if requirement.name != OWN_NAME:
        return str(requirement)
    if not requirement.specifier.contains(__version__, prereleases=True):
        raise block.error(f"it asks for {text!r}, and this is {__version__}", package=OWN_NAME)
    return None


def _requires_python(block: _Block, document: dict[str, Any]) -> str | None:
    given = document.get("requires-python")
    if given is None:
        return None
    try:
        return str(SpecifierSet(given)) or None
    except (InvalidSpecifier, TypeError, AttributeError) as error:
        raise block.error(f"requires-python: {given!r} is no version specifier") from error
