"""The catalogue is closed and complete: codes, statuses, exit codes, renderers."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from tau import errors
from tau.errors import CATALOGUE, ExitCode, TauError, from_dict

SOURCE = Path(errors.__file__).parent


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_row(code: str) -> None:
    cls = CATALOGUE[code]
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", code)
    assert 400 <= cls.http_status <= 599
    assert cls.exit_code is not ExitCode.SUCCESS
    assert cls.retry in ("same", "after_fix", "after_wait", "human", "never")
    assert inspect.getdoc(cls), code
    document = cls().to_dict()
    assert document["code"] == code
    assert document["message"]


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_survives_the_wire(code: str) -> None:
    """What the API renders is what the client raises again."""
    sent = CATALOGUE[code]("what", hint="do", next=["tau list"], file="a.py", line=3)
    received = from_dict(sent.to_dict(), http_status=sent.http_status)
    assert type(received) is type(sent)
    assert received.to_dict() == sent.to_dict()


def test_a_code_of_a_newer_daemon_keeps_its_meaning() -> None:
    received = from_dict({"code": "new.thing", "message": "m"}, http_status=404)
    assert received.exit_code is ExitCode.NOT_FOUND
    assert received.details["daemon_code"] == "new.thing"


def test_a_code_is_given_once() -> None:
    with pytest.raises(TypeError):
        type("Again", (TauError,), {"code": "run.not_found"})


def test_nothing_else_is_raised_at_people() -> None:
    """Outside errors.py no class derives from TauError with a code of its own."""
    for path in SOURCE.rglob("*.py"):
        if path.name == "errors.py" and path.parent == SOURCE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names = {b.id for b in node.bases if isinstance(b, ast.Name)}
                if names & set(vars(errors)):
                    owns = any(
                        isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "code"
                        for n in node.body
                    )
                    assert not owns, f"{path}:{node.lineno}"
