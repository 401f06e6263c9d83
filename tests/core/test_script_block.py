"""Reading PEP 723 blocks: what is taken, in which form, and what is refused by line."""

import contextlib
import time

import pytest

from tau import __version__
from tau.core.script_block import Needs, read_needs
from tau.errors import ScriptBlockInvalid

FILE = "orders.py"


def needs(*lines: str, before: str = "") -> Needs | None:
    return read_needs("\n".join([before, "# /// script", *lines, "# ///", "x = 1"]), FILE)


def test_a_file_without_a_block_has_no_needs() -> None:
    assert read_needs("from tau import pipeline\n# script\n# ///\n", FILE) is None
    assert (
        read_needs('text = """\n  # /// script\n"""\n# /// other\n# a = 1\n# ///\n', FILE) is None
    )


def test_the_same_needs_written_another_way_are_the_same() -> None:
    one = needs(
        '# requires-python = ">=3.11, <4"',
        "# dependencies = [",
        '#   "Duck_DB >= 1.4 , < 3",   # the warehouse',
        "#   \"rich[jupyter]; python_version >= '3.11'\",",
        "# ]",
    )
    other = needs(
        '# dependencies = ["rich[jupyter] ;python_version>=\\"3.11\\"", "duck-db<3,>=1.4",',
        '#   "duck.db <3,>=1.4"]',
        '# requires-python = "<4,>=3.11"',
    )
    assert one == other
    assert one == Needs(("duck-db<3,>=1.4", 'rich[jupyter]; python_version >= "3.11"'), "<4,>=3.11")
    assert Needs.of_spec({"environment": one.to_dict()}) == one
    assert Needs.of_spec({}) is None


def test_empty_needs_are_needs() -> None:
    assert needs("#") == Needs(())
    assert read_needs("# /// script\r\n# dependencies = []\r\n# ///\r\n", FILE) == Needs(())
    assert read_needs("# /// script\n#\n# ///", FILE) == Needs(())


def test_a_block_ends_at_the_last_closing_line_of_its_comment() -> None:
    found = needs("# dependencies = ['idna']", "# [tool.other]", '# text = """', "# ///", '# """')
    assert found == Needs(("idna",))


def test_tau_itself_is_there_anyway() -> None:
    assert needs(f'# dependencies = ["tau_pipelines>={__version__}", "idna"]') == Needs(("idna",))
    with pytest.raises(ScriptBlockInvalid, match=__version__):
        needs('# dependencies = ["tau-pipelines<0.0.1"]')


@pytest.mark.parametrize(
    ("lines", "said", "line"),
    [
        (['# dependencies = ["idna"'], "TOML", 2),
        (['# a = "', '# dependencies = ["idna"]'], "TOML", 3),
        (['# dependencies = "idna"'], "list of texts", 2),
        (["# dependencies = [1]"], "list of texts", 2),
        (['# dependencies = ["idna=3"]'], "'idna=3' is no dependency", 2),
        (['# dependencies = ["-r evil.txt"]'], "is no dependency", 2),
        (['# requires-python = "three"'], "no version specifier", 2),
        (["# requires-python = 3"], "no version specifier", 2),
        (['# dependancies = ["idna"]'], "no key 'dependancies'", 2),
        (["# [tool.uv]", '# exclude-newer = "2025-01-01"'], r"\[tool.uv\]", 2),
        (["# dependencies = []", "x = 2"], "not closed", 2),
        (["# dependencies = []", "#dependencies"], "not closed", 2),
        ([f"# dependencies = {['idna'] * 501!r}"], "501 dependencies", 2),
    ],
)
def test_what_is_wrong_is_told_with_its_line(lines: list[str], said: str, line: int) -> None:
    with pytest.raises(ScriptBlockInvalid, match=said) as caught:
        needs(*lines)
    assert (caught.value.details["file"], caught.value.details["line"]) == (FILE, line)


def test_a_second_block_is_refused_at_its_line() -> None:
    block = "# /// script\n# dependencies = []\n# ///\n"
    with pytest.raises(ScriptBlockInvalid, match="more than one") as caught:
        read_needs(block + "\n" + block, FILE)
    assert caught.value.details["line"] == 5


@pytest.mark.parametrize("line", ["# /// script\n", "# ///\n", "# /// script\n# ///x\n"])
def test_a_hostile_file_takes_no_quadratic_time(line: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ScriptBlockInvalid):
        read_needs("# /// script\n" + line * (1024 * 1024 // len(line)), FILE)
    assert time.process_time() - began < 5
