"""Failure documents: the user's frames with shapes, chains, groups, and hostile exceptions."""

import json
from pathlib import Path

from tests.fixtures.child import run_child
from tests.pipeline.test_runtime import HEAD, run

from tau.pipeline.failure import describe
from tau.pipeline.protocol import MAX_MESSAGE_BYTES

PIPELINE = """import json
from tau import pipeline

def parse(rows, api_key):
    first = rows[0]
    out = []
    for row in rows:
        out.append(row["email"])
    return out

@pipeline
async def main(ctx):
    rows = [{"id": n, "email_address": "jane@secret.example"} for n in range(1000)]
    async with ctx.step("extract"):
        pass
    async with ctx.step("outer"):
        async with ctx.step("transform"):
            return await ctx.transform(rows, lambda rows: parse(rows, "k3y-value"))
"""


def test_frames_show_lines_and_shapes(tmp_path: Path) -> None:
    failure = run_child(PIPELINE, tmp_path).failure
    assert failure["type"] == "KeyError"
    assert failure["message"] == "'email'"
    assert failure["module"] == "builtins"
    assert failure["step"] == "transform"
    where = [(frame["function"], frame["line"], frame["code"]) for frame in failure["frames"]]
    assert where[0][0] == "main"
    assert where[-1] == ("parse", 8, 'out.append(row["email"])')
    frame = failure["frames"][-1]
    assert frame["file"] == "orders.py"
    assert frame["source"] == [
        "5      first = rows[0]",
        "6      out = []",
        "7      for row in rows:",
        '8>         out.append(row["email"])',
        "9      return out",
        "10",
        "11  @pipeline",
    ]
    assert frame["locals"] == {
        "rows": "list[1000] of dict{id:int,email_address:str}",
        "api_key": "[redacted]",
        "first": "dict{id:int,email_address:str}",
        "out": "list[0]",
        "row": "dict{id:int,email_address:str}",
    }
    shown = json.dumps([frame["locals"] for frame in failure["frames"]])
    assert "jane" not in shown
    assert "k3y" not in shown


def test_library_frames_are_counted_and_the_deepest_named(tmp_path: Path) -> None:
    failure = run("import json\njson.loads('{')", tmp_path).failure
    assert failure["type"] == "JSONDecodeError"
    assert failure["module"] == "json.decoder"
    assert [frame["function"] for frame in failure["frames"]] == ["main"]
    assert failure["hidden_frames"] >= 2
    assert failure["raised_in"]["module"] == "json.decoder"


def test_a_failed_check_has_its_evidence_and_place(tmp_path: Path) -> None:
    failure = run("rows = []\nctx.check(len(rows) > 0, rows=len(rows), least=1)", tmp_path).failure
    assert failure["type"] == "CheckFailed"
    assert failure["message"] == "check 'len(rows) > 0' failed: rows=0, least=1"
    assert failure["frames"][-1]["code"].startswith("ctx.check(")
    assert "raised_in" not in failure


def test_groups_show_the_frames_of_their_first_member(tmp_path: Path) -> None:
    body = """
        async def bad(n):
            value = n * 1000
            raise ValueError(f'bad {n}')
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(bad(1)); group.create_task(bad(2))
        except ExceptionGroup as caught:
            caught.add_note('while loading')
            raise
    """
    failure = run(body, tmp_path).failure
    assert failure["type"] == "ExceptionGroup"
    assert failure["notes"] == ["while loading"]
    assert failure["causes"] == [
        {"type": "ValueError", "message": "bad 1"},
        {"type": "ValueError", "message": "bad 2"},
    ]
    assert failure["frames"][0]["function"] == "main"
    assert failure["frames"][-1]["function"].endswith("bad")
    assert failure["frames"][-1]["locals"] == {"n": "int", "value": "int"}


def test_causes_and_contexts(tmp_path: Path) -> None:
    body = """
        try:
            try:
                1 / 0
            except ZeroDivisionError:
                {}['key']
        except KeyError as error:
            raise ValueError('wrapped') from error
    """
    failure = run(body, tmp_path).failure
    assert [cause["type"] for cause in failure["causes"]] == ["KeyError", "ZeroDivisionError"]


def test_hostile_exceptions_end(tmp_path: Path) -> None:
    source = HEAD + (
        "class Bad(Exception):\n"
        "    def __str__(self): raise RuntimeError('no')\n"
        "    __repr__ = __str__\n"
        "    __notes__ = 5\n"
        "@pipeline\n"
        "async def main(ctx):\n"
        "    one, two = Bad(), ValueError('y' * 10**6)\n"
        "    one.__cause__, two.__cause__ = two, one\n"
        "    with ctx.step('s'):\n"
        "        raise one\n"
    )
    failure = run_child(source, tmp_path).failure
    assert failure["type"] == "Bad"
    assert "RuntimeError" in failure["message"]
    assert len(json.dumps(failure)) < 50_000


def test_deep_recursion_is_cut(tmp_path: Path) -> None:
    failure = run("def down(n): return down(n + 1)\ndown(0)", tmp_path).failure
    assert failure["type"] == "RecursionError"
    assert len(failure["frames"]) == 12


def test_the_largest_failure_fits_a_message(tmp_path: Path) -> None:
    wide = "\n".join(f"    v{n} = {{'k{n}' + 'é' * 30: 1 for n in range(9)}}" for n in range(40))
    source = HEAD + (
        f"def down(n):\n{wide}\n    # {'é' * 5000}\n"
        "    return down(n - 1) if n else {}['é' * 9999]\n"
        "@pipeline\nasync def main(ctx): down(200)\n"
    )
    child = run_child(source, tmp_path)
    assert child.failure["type"] == "KeyError"
    assert len(json.dumps(child.last)) < MAX_MESSAGE_BYTES
    assert len(child.failure["frames"][-1]["locals"]) == 20


def test_an_exception_without_frames() -> None:
    document = describe(ValueError("x"), "orders.py")
    assert document["frames"] == []
    assert document["hidden_frames"] == 0
    assert document["message"] == "x"
