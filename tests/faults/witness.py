"""Pipelines that leave a trace outside of Tau, and what that trace says of their attempts."""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

SOURCE = '''
import os, time
from tau import pipeline

def note(ctx, word):
    line = f"{{ctx.run_id}} {{ctx.attempt}} {{word}} {{time.monotonic_ns()}} {{os.getpid()}}\\n"
    file = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)

def live(ctx):
    """Some milliseconds of life, of which there is a witness all along."""
    note(ctx, "start")
    until = time.monotonic() + ctx.params.get("ms", 5) / 1000
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.01))
        note(ctx, "alive")
    if ctx.attempt <= ctx.params.get("failures", 0):
        note(ctx, "fail")
        raise RuntimeError("as it was asked to")
    note(ctx, "end")
    return ctx.params

@pipeline(retries=2, retry_delay=0)
def patient(ctx):
    return live(ctx)

@pipeline
def once(ctx):
    return live(ctx)

@pipeline(every=1)
def each(ctx):
    live(ctx)

@pipeline(every=1)
def latest(ctx):
    live(ctx)
'''


@dataclass(frozen=True, order=True)
class Effect:
    """Something that an attempt has done: `word` is start, alive, fail or end."""

    at_ns: int
    run_id: str
    attempt: int
    word: str
    pid: int


class Witness:
    """The file that attempts append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @property
    def source(self) -> str:
        """The file with the pipelines `patient`, `once`, `each` and `latest`."""
        return SOURCE.format(path=os.fspath(self.path))

    def effects(self) -> list[Effect]:
        """What attempts have done, in the order of time."""
        found = []
        for line in self.path.read_text().splitlines():
            run_id, attempt, word, at_ns, pid = line.split()
            found.append(Effect(int(at_ns), run_id, int(attempt), word, int(pid)))
        return sorted(found)

    def started_twice(self) -> list[tuple[str, int]]:
        """The (run, attempt) whose user code was started more than once."""
        starts = Counter((e.run_id, e.attempt) for e in self.effects() if e.word == "start")
        return [key for key, count in starts.items() if count > 1]

    def overlaps(self) -> list[Effect]:
        """What an attempt did after a later one of the same run had started."""
        newest: dict[str, int] = defaultdict(int)
        found = []
        for effect in self.effects():
            if effect.attempt < newest[effect.run_id]:
                found.append(effect)
            newest[effect.run_id] = max(newest[effect.run_id], effect.attempt)
        return found

    def completions(self) -> Counter[str]:
        """How often each run was done to its end."""
        return Counter(e.run_id for e in self.effects() if e.word == "end")
