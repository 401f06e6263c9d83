"""What is caught of print, stderr, logging and warnings, and under which step."""

from pathlib import Path
from typing import Any

from tests.fixtures.child import ChildRun
from tests.pipeline.test_runtime import run


def logs(child: ChildRun) -> list[tuple[str, str, str]]:
    return [(log["source"], log["level"], log["message"]) for log in child.of("log")]


def test_sources_and_levels(tmp_path: Path) -> None:
    body = """
        import logging, warnings
        print('one', 'two'); print('three\\nfour')
        print('careful', file=sys.stderr)
        logging.info('rows %d', 3, extra={'table': 'orders'})
        logging.getLogger('lib').error('bad')
        logging.debug('not shown')
        warnings.warn('old', UserWarning)
        warnings.warn('older', DeprecationWarning)
        try: 1 / 0
        except ZeroDivisionError: logging.exception('failed')
        ctx.log('mine', 'error', a=1)
    """
    child = run(body, tmp_path)
    found = logs(child)
    assert found[:6] == [
        ("print", "info", "one two"),
        ("print", "info", "three"),
        ("print", "info", "four"),
        ("stderr", "warning", "careful"),
        ("logging", "info", "rows 3"),
        ("logging", "error", "bad"),
    ]
    assert found[6][:2] == ("logging", "warning")
    assert "orders.py" in found[6][2]
    assert "UserWarning: old" in found[6][2]
    assert "DeprecationWarning: older" in found[7][2]
    assert "ZeroDivisionError" in found[8][2]
    assert found[9:] == [("ctx", "error", "mine")]
    records = child.of("log")
    assert records[4]["fields"] == {"table": "orders"}
    assert records[5]["logger"] == "lib"
    assert records[9]["fields"] == {"a": 1}


def test_partial_lines_and_progress_bars(tmp_path: Path) -> None:
    body = """
        sys.stdout.write('a'); sys.stdout.write('b\\nc')
        for n in range(100): sys.stderr.write(f'\\r{n} %')
        sys.stderr.write('\\n')
        print('windows', end='\\r\\n')
        sys.stdout.write('y' * 70_000)
    """
    child = run(body, tmp_path)
    found = logs(child)
    assert found[0] == ("print", "info", "ab")
    assert ("stderr", "warning", "99 %") in found
    assert ("print", "info", "cwindows") in found
    assert sum(source == "stderr" for source, _, _ in found) == 1
    assert found[-1][2].startswith("yyy")


def test_the_streams_are_text_streams(tmp_path: Path) -> None:
    body = """
        import io
        out = sys.stdout
        out.buffer.write('é'.encode()[:1]); out.buffer.write('é'.encode()[1:] + b' raw\\n')
        sys.stdout.reconfigure(encoding='utf-8', line_buffering=True)
        os.write(out.fileno(), b'direct\\n')
        facts = [out.isatty(), out.fileno(), out.encoding, out.writable(), sys.stderr.fileno()]
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')
        print('wrapped')
        try: out.write(b'x')
        except TypeError: facts.append('TypeError')
        out.writelines(['p\\n', 'q\\n']); out.close(); print('open', file=out)
        import subprocess
        subprocess.run(['echo', 'child'], stdout=out)
        return facts
    """
    child = run(body, tmp_path)
    assert child.result == [False, 1, "utf-8", True, 2, "TypeError"]
    assert sorted(child.log_lines) == ["open", "p", "q", "wrapped", "é raw"]
    assert child.stdout == "direct\nchild\n"


def test_a_broken_logging_call_does_no_harm(tmp_path: Path) -> None:
    body = """
        import logging
        class Odd:
            def __str__(self): raise RuntimeError('odd')
        logging.warning('%d', 'x')
        logging.warning(Odd())
        print('after')
        class Bad(logging.Handler):
            def flush(self): raise RuntimeError('flush')
        keep = Bad()
        return 1
    """
    child = run(body, tmp_path)
    assert child.result == 1
    assert "after" in child.log_lines


def test_lines_belong_to_their_own_step(tmp_path: Path) -> None:
    body = """
        async def work(name):
            async with ctx.step(name):
                print(name, 'a')
                await asyncio.sleep(0)
                async with ctx.step(name + '.inner'):
                    await asyncio.to_thread(print, name, 'b')
                    await asyncio.sleep(0)
                    ctx.log(f'{name} c')
                print(name, 'd')
        async with ctx.step('all'):
            await asyncio.gather(*(work(n) for n in ('x', 'y', 'z')))
        print('outside')
    """
    child = run(body, tmp_path)
    names: dict[int | None, Any] = {s["step"]: s["name"] for s in child.of("step_start")}
    parents = {s["name"]: names.get(s.get("parent")) for s in child.of("step_start")}
    for name in "xyz":
        assert parents[name] == "all"
        assert parents[f"{name}.inner"] == name
    for log in child.of("log"):
        name, _, part = log["message"].partition(" ")
        expected = {"a": name, "b": f"{name}.inner", "c": f"{name}.inner", "d": name}.get(part)
        assert names.get(log.get("step")) == expected
    assert [end["status"] for end in child.of("step_end")] == ["success"] * 7
