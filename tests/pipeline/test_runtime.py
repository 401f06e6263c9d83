"""The child's main in real processes: how runs end, and what reaches the other end."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.child import ChildRun, run_child

from tau.pipeline.protocol import MAX_LOG_CHARS, MAX_MESSAGE_BYTES, encode_line

HEAD = "from tau import pipeline, PipelineContext\nimport asyncio, os, sys, time\n"


def run(body: str, tmp_path: Path, **options: Any) -> ChildRun:
    """Run a file whose `main` has this body."""
    indented = textwrap.indent(textwrap.dedent(body), "    ")
    return run_child(f"{HEAD}@pipeline\nasync def main(ctx):\n{indented}\n", tmp_path, **options)


def test_a_result(tmp_path: Path) -> None:
    child = run("return {'rows': 3, 'when': {1, 2}}", tmp_path)
    assert child.exit_code == 0
    assert [message["k"] for message in child.messages] == ["hello", "result"]
    assert child.messages[0]["v"] == 1
    assert child.messages[0]["python"].count(".") == 2
    assert child.result == {"rows": 3, "when": [1, 2]}
    assert "state" not in child.last
    assert (child.stdout, child.stderr, child.outcome) == ("", "", None)


def test_none_is_a_result(tmp_path: Path) -> None:
    child = run("pass", tmp_path)
    assert child.last == {"k": "result", "ts": child.last["ts"], "value": None}


def test_a_plain_def_runs_in_a_thread_with_its_context(tmp_path: Path) -> None:
    source = HEAD + (
        "import threading\n"
        "@pipeline\n"
        "def main(ctx):\n"
        "    with ctx.step('outer') as step:\n"
        "        step.metric('speed', 2.5)\n"
        "        print('in the step')\n"
        "        rows = ctx.transform([1, 2], lambda rows: rows + [3])\n"
        "        ctx.check(len(rows) == 3)\n"
        "    async def inner(): return 7\n"
        "    return [rows, asyncio.run(inner()), ctx.secret('A'),\n"
        "            threading.current_thread() is threading.main_thread()]\n"
    )
    child = run_child(source, tmp_path, answer=lambda request: {"ok": True, "value": "s"})
    assert child.result == [[1, 2, 3], 7, "s", False]
    starts = child.of("step_start")
    assert [(start["name"], start.get("parent")) for start in starts] == [
        ("outer", None),
        ("transform", 1),
    ]
    assert child.of("log")[0]["step"] == 1
    assert child.of("check")[0]["step"] == 1


def test_a_plain_function_that_returns_a_coroutine_is_awaited(tmp_path: Path) -> None:
    source = HEAD + ("async def work(): return 5\n@pipeline\ndef main(ctx):\n    return work()\n")
    assert run_child(source, tmp_path).result == 5


@pytest.mark.parametrize("call", ["sys.exit()", "sys.exit(0)", "raise SystemExit(None)"])
def test_sys_exit_zero_is_a_success(tmp_path: Path, call: str) -> None:
    child = run(call, tmp_path)
    assert child.result is None
    assert child.last["reason"] == "sys.exit(0)"
    assert child.exit_code == 0


@pytest.mark.parametrize(
    ("call", "message", "code"),
    [
        ("sys.exit(3)", "sys.exit(3)", 3),
        ("sys.exit('no rows')", "sys.exit('no rows')", 1),
        ("with ctx.step('s'): sys.exit(2)", "sys.exit(2)", 2),
        ("asyncio.create_task(die(4)); await asyncio.sleep(30)", "sys.exit(4)", 4),
        ("await ctx.transform(5, sys.exit)", "sys.exit(5)", 5),
    ],
)
def test_sys_exit_with_a_code_is_a_failure(
    tmp_path: Path, call: str, message: str, code: int
) -> None:
    body = f"async def die(code): sys.exit(code)\n{call}"
    child = run(body, tmp_path)
    assert child.exit_code == 1
    assert child.failure["type"] == "SystemExit"
    assert child.failure["message"] == message
    assert child.failure["exit_code"] == code
    assert child.failure["frames"][-1]["file"] == "orders.py"


def test_sys_exit_in_a_plain_def(tmp_path: Path) -> None:
    source = HEAD + "@pipeline\ndef main(ctx): sys.exit(9)\n"
    assert run_child(source, tmp_path).failure["exit_code"] == 9


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit('g')", "GeneratorExit"),
        ("raise BaseExceptionGroup('b', [KeyboardInterrupt()])", "BaseExceptionGroup"),
        ("raise asyncio.CancelledError", "CancelledError"),
        ("raise StopIteration", "RuntimeError"),
        ("await ctx.transform([], next)", "TypeError"),
        ("await ctx.transform(iter([]), next)", "RuntimeError"),
        ("raise MemoryError", "MemoryError"),
        ("def again(): again()\nagain()", "RecursionError"),
        ("return object()", "ResultNotSerializable"),
        ("return 'x' * 600_000", "ResultNotSerializable"),
        ("ctx.state['x'] = {1}", "StateInvalid"),
        ("ctx.state['x'] = 'x' * 70_000", "StateInvalid"),
    ],
)
def test_all_that_can_be_raised_is_a_failure(tmp_path: Path, body: str, kind: str) -> None:
    state = {"ok": True, "value": {"data": {}, "run_number": None}}
    child = run(body, tmp_path, answer=lambda request: state)
    assert child.failure["type"] == kind
    assert child.exit_code == 1


def test_what_cannot_be_kept_says_where(tmp_path: Path) -> None:
    failure = run("return {'rows': [1, {'when': object()}]}", tmp_path).failure
    assert failure["details"] == {"path": "$.rows[1].when"}
    assert "$.rows[1].when" in failure["message"]


CLOSERS = {
    "closed": "os.close(fd)",
    "shut down": "import socket; s = socket.socket(fileno=fd); s.shutdown(2); s.detach()",
    "replaced": "os.dup2(os.open('mine.txt', os.O_RDWR | os.O_CREAT), fd)",
}


@pytest.mark.parametrize("how", CLOSERS)
@pytest.mark.parametrize("ending", ["return 5", "raise ValueError('late')"])
def test_a_broken_channel_leaves_the_outcome_in_a_file(
    tmp_path: Path, how: str, ending: str
) -> None:
    body = f"fd = int(os.environ['TEST_CHANNEL_FD'])\n{CLOSERS[how]}\nprint('after')\n{ending}"
    child = run(body, tmp_path)
    assert [message["k"] for message in child.messages] == ["hello"]
    assert child.outcome is not None
    if ending.startswith("return"):
        assert child.outcome["value"] == 5
        assert child.exit_code == 0
    else:
        assert child.outcome["failure"]["message"] == "late"
        assert child.exit_code == 1
    assert child.stdout == "after\n"
    mine = child.attempt_dir / "work" / "mine.txt"
    assert not mine.exists() or mine.read_bytes() == b""
    assert [path.name for path in child.attempt_dir.glob("outcome.json*")] == ["outcome.json"]


def test_closing_all_descriptors_breaks_asyncio_but_loses_no_outcome(tmp_path: Path) -> None:
    child = run("os.closerange(3, 256)\nreturn 5", tmp_path)
    assert child.outcome is not None
    assert child.outcome["failure"]["type"] == "OSError"


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_multiprocessing_works(tmp_path: Path, kind: str) -> None:
    source = HEAD + (
        "import multiprocessing\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "fork = multiprocessing.get_context('fork')\n"
        "def double(n): return n * 2\n"
        f"@pipeline\n{kind} main(ctx):\n"
        "    process = fork.Process(target=print, args=('from the process',))\n"
        "    process.start(); process.join()\n"
        "    with ProcessPoolExecutor(2, mp_context=fork) as pool:\n"
        "        return [process.exitcode, *pool.map(double, range(3))]\n"
    )
    child = run_child(source, tmp_path)
    assert child.result == [0, 0, 2, 4]
    assert "from the process" in child.stdout


def test_streams_that_the_pipeline_took_away(tmp_path: Path) -> None:
    assert run("sys.stdout = sys.stderr = None\nreturn 2", tmp_path).result == 2


def test_a_fork_of_the_pipeline_does_not_speak_for_it(tmp_path: Path) -> None:
    body = """
        import threading
        threading.Thread(target=lambda: [print('noise') for _ in range(500)]).start()
        pid = os.fork()
        print('parent' if pid else 'fork')
        if pid:
            os.waitpid(pid, 0)
        return pid > 0
    """
    child = run(body, tmp_path)
    assert child.result is True
    assert len(child.of("result")) == 1
    assert child.malformed == []
    assert child.outcome is None
    assert "parent" in child.log_lines
    assert "fork" not in child.log_lines
    assert "fork" in child.stdout


def test_threads_are_not_waited_for(tmp_path: Path) -> None:
    body = """
        import threading
        threading.Thread(target=time.sleep, args=(600,)).start()
        asyncio.create_task(asyncio.sleep(600))
        return 1
    """
    assert run(body, tmp_path).result == 1


def test_requests_are_answered_by_id(tmp_path: Path) -> None:
    held: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        held.append(request)
        return {"ok": True, "value": request["args"]["name"].lower(), "secret": True}

    body = """
        names = [f"S{n}" for n in range(40)]
        return await asyncio.gather(*(asyncio.to_thread(ctx.secret, name) for name in names))
    """
    child = run(body, tmp_path, answer=answer)
    assert child.result == [f"s{n}" for n in range(40)]
    assert sorted(request["id"] for request in held) == list(range(1, 41))
    assert {request["op"] for request in held} == {"secret"}


def test_a_missing_secret(tmp_path: Path) -> None:
    def nothing(request: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "value": None}

    child = run("return ctx.secret('API_TOKEN', default=None)", tmp_path, answer=nothing)
    assert child.result is None
    failure = run("ctx.secret('API_TOKEN')", tmp_path / "2", answer=nothing).failure
    assert failure["type"] == "SecretMissing"
    assert "API_TOKEN" in failure["message"]
    assert "tau secret set API_TOKEN" in failure["message"]


def test_a_refused_request(tmp_path: Path) -> None:
    refusal = {"ok": False, "error": {"code": "x.y", "message": "TAU_ names are Tau's own"}}
    failure = run("ctx.secret('TAU_X')", tmp_path, answer=lambda request: refusal).failure
    assert failure["type"] == "RequestRefused"
    assert "TAU_ names are Tau's own" in failure["message"]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("ctx.state['n'] = ctx.state['n'] + 1", {"n": 4, "list": [1]}),
        ("ctx.state['list'].append(2)", {"n": 3, "list": [1, 2]}),
        ("del ctx.state['n']", {"list": [1]}),
        ("ctx.state['n'] = 3", None),
        ("len(ctx.state), ctx.state.run_number", None),
    ],
)
def test_state_is_sent_only_if_it_changed(
    tmp_path: Path, body: str, kept: dict[str, Any] | None
) -> None:
    value = {"data": {"n": 3, "list": [1]}, "run_number": 6}
    child = run(body, tmp_path, answer=lambda request: {"ok": True, "value": value})
    assert child.last["k"] == "result", child.last
    assert child.last.get("state") == kept


def test_ten_thousand_lines_arrive_in_order(tmp_path: Path) -> None:
    child = run("for n in range(10_000): ctx.log(f'line {n}', n=n)", tmp_path)
    assert child.log_lines == [f"line {n}" for n in range(10_000)]
    assert child.of("log")[-1]["fields"] == {"n": 9999}


def test_lines_of_threads_stay_whole(tmp_path: Path) -> None:
    body = """
        def noise(name):
            for n in range(300):
                print(name, n, 'x' * 50)
        await asyncio.gather(*(asyncio.to_thread(noise, name) for name in 'abcd'))
    """
    child = run(body, tmp_path)
    assert child.malformed == []
    lines = child.log_lines
    assert len(lines) == 1200
    for name in "abcd":
        mine = [line for line in lines if line.startswith(name)]
        assert mine == [f"{name} {n} {'x' * 50}" for n in range(300)]


def test_long_and_odd_messages_are_made_safe(tmp_path: Path) -> None:
    body = """
        ctx.log('a' + 'x' * 100_000 + 'z')
        ctx.log('\\U0001F600' * 100_000)
        ctx.log('nul \\0 lone \\ud800', value='\\udc80')
        ctx.log(['no', 'text'], level='warn')
        ctx.log('many', **{f'f{n}': 'y' * 5000 for n in range(500)})
    """
    child = run(body, tmp_path)
    logs = child.of("log")
    assert all(len(encode_line(message)) < MAX_MESSAGE_BYTES for message in child.messages)
    assert len(logs[0]["message"]) <= MAX_LOG_CHARS
    assert "characters cut" in logs[0]["message"]
    assert (logs[0]["message"][0], logs[0]["message"][-1]) == ("a", "z")
    assert logs[2]["message"] == "nul \\x00 lone \\ud800"
    assert logs[2]["fields"] == {"value": "\\udc80"}
    assert (logs[3]["message"], logs[3]["level"]) == ("['no', 'text']", "warning")
    assert len(logs) == 5


def test_facts_reach_the_context(tmp_path: Path) -> None:
    body = """
        return [ctx.run_id, ctx.pipeline, ctx.attempt, ctx.run_number, ctx.trigger,
                ctx.last_successful_run, ctx.interval_start, ctx.interval_end.tzinfo is not None,
                os.path.basename(__file__), __name__, sys.argv]
    """
    facts = {
        "run_number": 7,
        "trigger": "schedule",
        "last_successful_run": "2026-01-01T00:00:00Z",
        "interval_start": None,
        "interval_end": "2026-01-02T00:00:00",
    }
    child = run(body, tmp_path, facts=facts)
    assert child.result == [
        "01RUN", "main", 1, 7, "schedule", "2026-01-01T00:00:00+00:00", None, True,
        "source.py", "orders", ["orders.py"],
    ]  # fmt: skip


MODEL = HEAD + (
    "from pydantic import BaseModel, field_validator\nfrom datetime import date\n"
    "class Params(BaseModel):\n"
    "    day: date\n"
    "    limit: int = 10\n"
    "    password: str = ''\n"
    "@pipeline(params=Params)\n"
    "async def main(ctx):\n"
    "    return [type(ctx.params).__name__, ctx.params['day'].year, ctx.params['limit']]\n"
)


def test_a_model_validates_params(tmp_path: Path) -> None:
    child = run_child(MODEL, tmp_path, params={"day": "2026-02-01", "limit": "5"})
    assert child.result == ["dict", 2026, 5]


def test_a_model_refuses_params(tmp_path: Path) -> None:
    child = run_child(MODEL, tmp_path, params={"limit": "many", "password": ["hunter2"]})
    assert child.failure["code"] == "params.invalid"
    fields = {field["field"]: field["reason"] for field in child.failure["details"]["fields"]}
    assert set(fields) == {"day", "limit", "password"}
    assert "required" in fields["day"]
    assert "hunter2" not in json.dumps(child.failure)


def test_defaults_lie_under_the_given_params(tmp_path: Path) -> None:
    source = HEAD + (
        "@pipeline(params={'region': 'eu', 'days': [1]})\n"
        "async def main(ctx):\n"
        "    ctx.params['days'].append(2)\n"
        "    return ctx.params\n"
    )
    child = run_child(source, tmp_path, params={"region": "us", "other": 1})
    assert child.result == {"region": "us", "days": [1, 2], "other": 1}


def test_a_pipeline_that_is_not_there(tmp_path: Path) -> None:
    failure = run_child(MODEL, tmp_path, pipeline="orders").failure
    assert failure["code"] == "pipeline.not_found"
    assert failure["details"]["declared"] == ["main"]


def test_a_request_that_is_broken_is_told_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text("{}")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-m", "tau.pipeline.runtime", str(tmp_path), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            check=False,
        )
    assert done.returncode != 0
    assert b"Traceback" in done.stderr


FORK = """
import json, os, random, socket, sys
from pathlib import Path
from tau.pipeline import runtime
from tau.pipeline.protocol import JobRequest

runtime.preload()
directory = Path(sys.argv[1])
before = set(sys.modules)
threads = len(os.listdir("/proc/self/task"))
random.seed(1)
values = []
for number in range(2):
    ours, theirs = socket.socketpair()
    request = JobRequest(kind="run", run_id="r", attempt=1, fence=1, pipeline="main",
                         source_path=str(directory / "orders.py"), file_name="orders.py")
    if os.fork() == 0:
        ours.close()
        runtime.main(request, theirs.fileno(), directory)
    theirs.close()
    values.append(json.loads(ours.makefile().readlines()[-1])["value"])
    os.wait()
new = sorted(set(values[0]["modules"]) - before - {"orders"})
print(json.dumps([threads, new, [value["random"] for value in values]]))
"""


def test_a_fork_of_a_preloaded_process_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(
        "import random, sys\nfrom tau import pipeline\n"
        "@pipeline\n"
        "async def main(ctx):\n"
        "    with ctx.step('s') as step:\n"
        "        print('x')\n"
        "    await ctx.transform([1], len)\n"
        "    ctx.check(1 == 1, a={1, 2})\n"
        "    return {'modules': sorted(sys.modules), 'random': random.random()}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    threads, new, randoms = json.loads(done.stdout)
    assert threads == 1
    assert new == []
    assert randoms[0] != randoms[1]


def test_the_environment_is_the_supervisors(tmp_path: Path) -> None:
    child = run("return os.environ['MINE']", tmp_path, env={"MINE": "x"})
    assert child.result == "x"
    assert os.environ.get("MINE") is None
