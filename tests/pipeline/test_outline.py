"""What is read of a file that is not imported: names and lines, as an inspection has them too."""

from pathlib import Path

from tests.fixtures.child import run_child

from tau.pipeline.outline import outline

SOURCE = """
import absent_module
import tau
from tau import pipeline

print("not executed"); raise SystemExit

@pipeline
def first(ctx): pass

@other
@pipeline(name="second", schedule="0 6 * * *")
async def named(ctx): pass

@tau.pipeline(name="a" + "b")
def computed(ctx): pass

@pipeline_of_mine
def no_pipeline(ctx): pass
"""


def test_names_and_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "orders.py"
    path.write_text(SOURCE)
    assert outline(path) == [
        {"name": "first", "line": 8},
        {"name": "second", "line": 12},
        {"name": "computed", "line": 15},
    ]


def test_a_child_answers_it_without_importing(tmp_path: Path) -> None:
    outlined = run_child(SOURCE, tmp_path, kind="outline")
    assert [one["name"] for one in outlined.result["pipelines"]] == ["first", "second", "computed"]


def test_a_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    failure = run_child("def (", tmp_path, kind="outline").failure
    assert (failure["code"], failure["details"]["line"]) == ("pipeline.syntax_error", 1)
