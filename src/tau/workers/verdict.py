"""The judgement on an attempt that is over: status, reason and failure from what is known of it."""

import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau.pipeline.protocol import JobRequest, JsonObject
from tau.pipeline.types import RunStatus
from tau.workers import stackdump
from tau.workers.ending import End

_MAX_REASON_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the supervisor knows when the last process of an attempt is gone.

    `wait_status` is the child's, as from wait(2), or None where it could not be collected;
    `dump` holds the stacks of a timeout, `fatal_dump` those of a fatal signal.
    """

    request: JobRequest
    end: End | None
    last: JsonObject | None
    wait_status: int | None
    usage: JsonObject
    dump: str = ""
    fatal_dump: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The fields of an `ExitRecord` that are a matter of judgement."""

    status: str
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    result: Any = None
    state: JsonObject | None = None
    failure: JsonObject | None = None


def judge(evidence: Evidence) -> Verdict:
    """An end from outside counts before what the child said meanwhile, and that before its exit."""
    exit_code, signal_name = _exit(evidence.wait_status)
    if evidence.end is not None:
        return Verdict(
            status=evidence.end.status,
            reason=evidence.end.reason,
            exit_code=exit_code,
            signal=signal_name,
            failure=_failure_of_end(evidence, evidence.end),
        )
    if evidence.last is None:
        return _crash(evidence, exit_code, signal_name)
    if evidence.last["k"] == "failure":
        failure = evidence.last["failure"]
        return Verdict(
            status=RunStatus.FAILED,
            reason=_headline(failure),
            exit_code=exit_code,
            signal=signal_name,
            failure=failure,
        )
    return _success(evidence.last, exit_code, signal_name)


def usage_of_children() -> JsonObject:
    """What all reaped descendants of this process have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 3),
        "max_rss_mb": round(used.ru_maxrss / unit, 1),
    }


def _success(last: JsonObject, exit_code: int | None, signal_name: str | None) -> Verdict:
    note = None
    if signal_name is not None:
        note = f"the process was killed by {signal_name} after the pipeline had returned"
    elif exit_code:
        note = f"the process left with exit code {exit_code} after the pipeline had returned"
    state = last.get("state")
    reasons = [text for text in (last.get("reason"), note) if isinstance(text, str)]
    return Verdict(
        status=RunStatus.SUCCESS,
        reason="; ".join(reasons) or None,
        exit_code=exit_code,
        signal=signal_name,
        result=last.get("value"),
        state=state if isinstance(state, dict) else None,
    )


def _failure_of_end(evidence: Evidence, end: End) -> JsonObject | None:
    if end.status != RunStatus.TIMEOUT:
        return None
    return _failure("Timeout", end.reason, evidence, evidence.dump)


def _crash(evidence: Evidence, exit_code: int | None, signal_name: str | None) -> Verdict:
    if signal_name is not None:
        reason = _killed_by(evidence, signal_name)
    elif exit_code is not None:
        reason = f"the process left with exit code {exit_code} before the pipeline returned"
    else:
        reason = "the process ended, and how is not known"
    fatal = evidence.fatal_dump
    dump = "\n".join(fatal) if fatal and fatal[0].startswith("Fatal") else ""
    return Verdict(
        status=RunStatus.CRASHED,
        reason=reason,
        exit_code=exit_code,
        signal=signal_name,
        failure=_failure("ProcessCrashed", reason, evidence, dump),
    )


def _killed_by(evidence: Evidence, name: str) -> str:
    if name != "SIGKILL":
        meaning = signal.strsignal(signal.Signals[name]) if name in _NAMES else None
        return f"killed by {name} ({meaning.lower()})" if meaning else f"killed by {name}"
    peak = evidence.usage.get("max_rss_mb", 0)
    limit = evidence.request.limits.memory_bytes
    allowed = f" of {limit // 2**20} MB allowed" if limit else ""
    return f"killed by SIGKILL, probably out of memory (it had used {peak:.0f} MB{allowed})"


def _failure(kind: str, message: str, evidence: Evidence, dump: str) -> JsonObject:
    request = evidence.request
    frames = stackdump.user_frames(
        dump, file_name=request.file_name, source_path=Path(request.source_path)
    )
    return {"type": kind, "module": "tau", "message": message, "causes": []} | frames


def _exit(wait_status: int | None) -> tuple[int | None, str | None]:
    if wait_status is None:
        return None, None
    code = os.waitstatus_to_exitcode(wait_status)
    if code >= 0:
        return code, None
    return None, signal.Signals(-code).name if -code in _NUMBERS else f"signal {-code}"


def _headline(failure: JsonObject) -> str:
    lines = str(failure.get("message") or "").splitlines()
    kind = str(failure.get("type") or "Error")
    text = f"{kind}: {lines[0]}" if lines else kind
    return text if len(text) <= _MAX_REASON_CHARS else text[: _MAX_REASON_CHARS - 1] + "…"


_NAMES = frozenset(signal.Signals.__members__)
_NUMBERS = frozenset(int(number) for number in signal.Signals)
