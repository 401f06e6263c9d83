"""Loading a file: its pipelines, and one code with file, line and source line for what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.child import run_child

from tau.errors import CATALOGUE

HEAD = "from tau import pipeline\n"


def inspect(source: str | bytes, tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    child = run_child(source, tmp_path, kind="inspect", **options)
    found: list[dict[str, Any]] = child.result["pipelines"]
    return found


def test_pipelines_in_order_with_their_lines(tmp_path: Path) -> None:
    source = HEAD + (
        "\n@pipeline(\n    schedule='@daily',\n)\ndef zebra(ctx):\n    '''Z.'''\n"
        "@pipeline\nasync def ant(ctx): ...\n"
        "for number in range(2):\n"
        "    @pipeline(name=f'made-{number}')\n"
        "    def made(ctx): ...\n"
    )
    specs = inspect(source, tmp_path)
    assert [(spec["name"], spec["line"], spec["is_async"]) for spec in specs] == [
        ("zebra", 3, False),
        ("ant", 8, True),
        ("made-0", 11, False),
        ("made-1", 11, False),
    ]
    assert specs[0]["description"] == "Z."


def test_imported_pipelines_are_none_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "shared_pipes.py").write_text(HEAD + "@pipeline\ndef shared(ctx): ...\n")
    source = HEAD + "from shared_pipes import shared\n@pipeline\ndef own(ctx): ...\n"
    specs = inspect(source, tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert [spec["name"] for spec in specs] == ["own"]


@pytest.mark.parametrize("file_name", ["json.py", "pydantic.py", "my orders.py", "2.py", "tau.py"])
def test_a_file_never_hides_a_module(tmp_path: Path, file_name: str) -> None:
    source = HEAD + (
        "import json, tau.pipeline.types\n"
        "from pydantic import BaseModel\n"
        "from dataclasses import dataclass\n"
        "import pickle\n"
        "@dataclass\nclass Row:\n    id: 'int'\n"
        "@pipeline\n"
        "def main(ctx):\n"
        "    assert __name__ != '__main__' and __name__.isidentifier()\n"
        "    return json.loads(json.dumps(pickle.loads(pickle.dumps(Row(1))).id))\n"
    )
    assert run_child(source, tmp_path, file_name=file_name).result == 1


def test_the_module_says_where_it_came_from(tmp_path: Path) -> None:
    source = HEAD + "@pipeline\ndef main(ctx): return [__file__, __spec__.origin]\n"
    assert run_child(source, tmp_path).result == [str(tmp_path / "source.py")] * 2
    child = run_child(source, tmp_path, origin="/srv/pipelines/orders.py")
    assert child.result == ["/srv/pipelines/orders.py"] * 2


def test_bom_crlf_and_odd_line_breaks(tmp_path: Path) -> None:
    source = (
        f"\ufeff{HEAD}# form\x0cfeed \u2028 and separator\r\n\r\n@pipeline\r\ndef main(ctx):\r\n"
        "    raise ValueError('x')\r\n"
    )
    frame = run_child(source.encode(), tmp_path).failure["frames"][-1]
    assert (frame["line"], frame["code"]) == (6, "raise ValueError('x')")


LIBRARY = "import absent_dependency.sub\n"
WRAPPER = (
    "try:\n    import absent_dependency\n"
    "except ImportError:\n    raise ImportError('pip install absent')\n"
)


def test_what_the_files_are_refused_for_is_in_the_catalogue() -> None:
    assert {case[1] for case in CASES} <= set(CATALOGUE)


CASES: list[tuple[str | bytes, str, int | None, str | None, str]] = [
    (HEAD + "def main(ctx:\n  pass\n", "pipeline.syntax_error", 2, "def main(ctx:", "never closed"),
    (HEAD + "x = 1\n  y = 2\n", "pipeline.syntax_error", 3, "y = 2", "unexpected indent"),
    ("x = " + "(" * 300 + ")" * 300, "pipeline.syntax_error", 1, None, "too many nested"),
    ("x = " + "-" * 200_000 + "1", "pipeline.syntax_error", None, None, "too much"),
    (HEAD + "\nimport absent_one.two\n", "dependency.missing_module", 3,
     "import absent_one.two", "'absent_one'"),
    (HEAD + "1 / 0\n", "pipeline.import_failed", 2, "1 / 0", "ZeroDivisionError"),
    (HEAD + "raise KeyboardInterrupt\n", "pipeline.import_failed", 2, "raise KeyboardInterrupt",
     "KeyboardInterrupt"),
    (HEAD + "from os import nothing_here\n", "pipeline.import_failed", 2,
     "from os import nothing_here", "ImportError"),
    (HEAD + "def main(ctx): ...\n", "pipeline.none_found", 1, None, "no pipeline"),
    ("", "pipeline.none_found", 1, None, "no pipeline"),
    (HEAD + "@pipeline\ndef a(ctx): ...\n@pipeline(name='a')\ndef b(ctx): ...\n",
     "pipeline.duplicate_name", 4, "@pipeline(name='a')", "lines 2 and 4"),
    (HEAD + "@pipeline(\n  timeout='soon')\ndef a(ctx): ...\n", "pipeline.invalid_option", 2,
     "@pipeline(", "timeout"),
    (HEAD + "@pipeline\ndef a(): ...\n", "pipeline.invalid_option", 2, "@pipeline", "context"),
    (HEAD + "@pipeline(name='A')\ndef a(ctx): ...\n", "pipeline.invalid_name", 2,
     "@pipeline(name='A')", "'A'"),
    (HEAD + "import sys\nsys.exit(3)\n", "pipeline.exits_at_import", 3, "sys.exit(3)",
     "sys.exit(3)"),
    (b"from tau import pipeline\n\xff\xfe\n", "pipeline.not_text", 2, None, "line 2"),
    (b"x = 1\n\ny = '\x00'\n", "pipeline.not_text", 3, None, "line 3"),
    (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "pipeline.not_text", 2, None, "UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "code", "line", "source_line", "text"), CASES)
def test_what_is_wrong_with_a_file(
    tmp_path: Path,
    source: str | bytes,
    code: str,
    line: int | None,
    source_line: str | None,
    text: str,
) -> None:
    child = run_child(source, tmp_path, kind="inspect")
    failure = child.failure
    assert failure["code"] == code
    assert text in failure["message"]
    assert failure["details"]["file"] == "orders.py"
    assert failure["details"].get("line") == line
    if source_line is not None:
        assert failure["details"]["source_line"] == source_line
    assert child.exit_code == 1


def test_a_missing_module_names_its_package(tmp_path: Path) -> None:
    failure = run_child("import absent_one.two\n", tmp_path, kind="inspect").failure
    details = failure["details"]
    assert (details["module"], details["package"]) == ("absent_one", "absent_one")
    assert details["chain"] == [{"file": "orders.py", "line": 1, "module": "orders"}]
    assert "Name 'absent_one' in the file's own dependencies" in failure["hint"]
    failure = run_child("import json.absent\n", tmp_path / "2", kind="inspect").failure
    assert failure["details"]["package"] == "json"
    assert "has no module 'json.absent'" in failure["message"]


@pytest.mark.parametrize("library", [LIBRARY, WRAPPER])
def test_a_library_that_misses_a_module(tmp_path: Path, library: str) -> None:
    (tmp_path / "some_library.py").write_text(library)
    child = run_child(
        "import os\nimport some_library\n",
        tmp_path,
        kind="inspect",
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert child.failure["code"] == "dependency.missing_module"
    details = child.failure["details"]
    assert details["package"] == "absent_dependency"
    assert (details["line"], details["source_line"]) == (2, "import some_library")
    assert [place["module"] for place in details["chain"]][:2] == ["orders", "some_library"]
    assert "imported by some_library" in child.failure["message"]


def test_a_module_that_is_missed_in_the_run(tmp_path: Path) -> None:
    source = HEAD + "@pipeline\ndef main(ctx):\n    import absent_one\n"
    failure = run_child(source, tmp_path).failure
    assert failure["code"] == "dependency.missing_module"
    assert failure["details"] == {"module": "absent_one", "package": "absent_one"}
    assert failure["frames"][-1]["code"] == "import absent_one"


def test_a_model_without_a_schema(tmp_path: Path) -> None:
    source = HEAD + (
        "class Model:\n"
        "    model_validate = print\n"
        "    def model_json_schema(): raise RuntimeError('none')\n"
        "@pipeline(params=Model)\ndef main(ctx): ...\n"
    )
    failure = run_child(source, tmp_path, kind="inspect").failure
    assert failure["code"] == "pipeline.invalid_option"
    assert failure["details"]["argument"] == "params"


def test_prints_at_import_are_caught(tmp_path: Path) -> None:
    child = run_child(
        HEAD + "print('importing')\n@pipeline\ndef main(ctx): ...\n", tmp_path, kind="inspect"
    )
    assert child.log_lines == ["importing"]
    assert len(child.result["pipelines"]) == 1
