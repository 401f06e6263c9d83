"""What `import tau` costs and gives, in fresh interpreters: order of imports changes nothing."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tau

ROOT = Path(__file__).parents[1]


def run_python(code: str, *, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert tau.__version__ == project["version"]


def test_authoring_imports_nothing_heavy() -> None:
    code = "from tau import pipeline, PipelineContext\nimport sys\nprint(*sys.modules)"
    loaded = set(run_python(code).split())
    heavy = {"asyncio", "inspect", "logging", "dataclasses", "json", "pathlib", "socket", "ast"}
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith("tau.")} <= {
        "tau.errors",
        "tau.pipeline",
        "tau.pipeline.context",
        "tau.pipeline.decorators",
        "tau.pipeline.durations",
        "tau.pipeline.exceptions",
        "tau.pipeline.options",
        "tau.pipeline.spec",
        "tau.pipeline.types",
    }


@pytest.mark.parametrize("module", ["tau.pipeline.runtime", "tau.testing"])
def test_the_childs_side_is_stdlib_only(module: str) -> None:
    code = f"import {module}, sys\nprint(*sys.modules)"
    roots = {name.partition(".")[0] for name in run_python(code).split()}
    site = {"sitecustomize", "usercustomize", "__mp_main__"}
    foreign = {
        root for root in roots - sys.stdlib_module_names - site if not root.startswith(("tau", "_"))
    }
    assert foreign == set()


USE = """
@pipeline
async def bare(ctx: PipelineContext): return 1

@pipeline(name="given")
def with_parentheses(ctx): return 2

assert bare.__tau_pipeline__.name == "bare", bare
assert with_parentheses.__tau_pipeline__.name == "given"
assert with_parentheses(None) == 2
print("ok")
"""

FROM_TAU = "from tau import pipeline, PipelineContext"


@pytest.mark.parametrize(
    "imports",
    [
        FROM_TAU,
        f"import tau.pipeline.context\n{FROM_TAU}",
        f"{FROM_TAU}\nimport tau.pipeline.context\nfrom tau import pipeline",
        f"from tau.pipeline.types import RunStatus\n{FROM_TAU}",
        f"{FROM_TAU}\nfrom tau.pipeline.types import RunStatus\nfrom tau import pipeline",
        f"import tau.pipeline.runtime\nimport tau.testing\n{FROM_TAU}",
        f"from tau.pipeline import protocol\n{FROM_TAU}\nprotocol.PROTOCOL_VERSION",
        f"import tau.pipeline.protocol as p\n{FROM_TAU}\np.PROTOCOL_VERSION",
        f"{FROM_TAU}\nimport tau.pipeline.protocol as p\np.PROTOCOL_VERSION",
        f"import tau.pipeline\n{FROM_TAU}\nimport tau.pipeline.trace\ntau.pipeline.trace.Trace",
        f"import importlib\nimportlib.import_module('tau.pipeline.loader')\n{FROM_TAU}",
        "import tau\nimport tau.pipeline.state\n"
        "pipeline, PipelineContext = tau.pipeline, tau.PipelineContext",
        "from tau import *\nassert __import__('tau').__all__",
        "from tau import PipelineContext\nfrom tau.pipeline import pipeline",
    ],
)
def test_the_decorator_is_found_in_any_order(imports: str) -> None:
    assert run_python(f"{imports}\n{USE}") == "ok"


def test_type_checkers_see_the_decorator(tmp_path: Path) -> None:
    user = tmp_path / "orders.py"
    user.write_text(
        "from tau.pipeline.types import RunStatus\n"
        "from tau import PipelineContext, pipeline\n"
        "@pipeline\n"
        "async def a(ctx: PipelineContext) -> int: return 1\n"
        '@pipeline(name="b", retries=2, timeout="30m", params={"x": 1})\n'
        "def b(ctx: PipelineContext) -> str:\n"
        "    with ctx.step('s') as step:\n"
        "        step.rows_out = 3\n"
        "    return RunStatus.SUCCESS\n"
        "reveal_type(a)\n"
        "reveal_type(b)\n"
        "@pipeline(nam='b')\n"
        "def c(ctx: PipelineContext) -> None: ...\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(user)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert "typing.Coroutine[Any, Any, int]" in done.stdout
    assert '"def (ctx: tau.pipeline.context.PipelineContext) -> str"' in done.stdout
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert {error.split(":")[1] for error in errors} == {"12"}, done.stdout
    assert 'did you mean "name"' in errors[0]
