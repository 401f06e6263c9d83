"""`tau`, imported once and forked for each of many command lines: a process each, at a tenth of
what its start costs.

stdin: {"commands": {NAME: [WORD, …]}, "environ": {…}, "stdout": PATH or null}
stdout: {NAME: [EXIT CODE, WHAT IT WROTE TO STDOUT, … TO STDERR]}
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from tau.cli.main import HANDLERS, app
from tau.commands.build import resolve


@dataclass
class Child:
    """A command that runs, and where its output goes."""

    pid: int
    stdout: BinaryIO
    stderr: BinaryIO

    def end(self) -> tuple[int, str, str]:
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), _text(self.stdout), _text(self.stderr)


def _text(file: BinaryIO) -> str:
    if not file.readable():
        return ""
    file.seek(0)
    return file.read().decode()


def start(words: Sequence[str], *, stdout: str | None) -> Child:
    out: BinaryIO = open(stdout, "wb") if stdout else tempfile.TemporaryFile()  # noqa: SIM115
    err: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    pid = os.fork()
    if pid == 0:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.argv = ["tau", *words]
        app()
    return Child(pid, out, err)


def main() -> None:
    request = json.load(sys.stdin)
    os.environ.update(request["environ"])
    for handler in HANDLERS.values():
        resolve(handler)
    children = {
        name: start(words, stdout=request["stdout"]) for name, words in request["commands"].items()
    }
    print(json.dumps({name: child.end() for name, child in children.items()}))  # noqa: T201


if __name__ == "__main__":
    main()
