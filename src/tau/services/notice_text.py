"""What people are told of an event: the document of a webhook, and a title and text. Pure.

No params, no results, nothing that could be long: the runs' own commands show the rest.
"""

import json
from datetime import datetime
from typing import Any

from tau.core.notice_types import TEST, NoticeType
from tau.core.notifier import Mood
from tau.pipeline.protocol import JsonObject
from tau.pipeline.redaction import Redactor
from tau.schemas.base import format_time
from tau.services.budget import shorten

MAX_TEXT = 500
FAILURE_TEXTS = ("type", "message", "step", "code")
_redactor = Redactor()

MOODS: dict[str, Mood] = {
    NoticeType.RUN_FAILED: "failure",
    NoticeType.RUN_RECOVERED: "success",
    NoticeType.RUN_LATE: "warning",
    NoticeType.SCHEDULE_PAUSED: "warning",
    TEST: "info",
}


def document(kind: str, data: JsonObject, *, at: datetime) -> str:
    """The body of a webhook: `{type, timestamp, data}`, without what is None or a secret."""
    shown = {key: _clean(value) for key, value in data.items() if value is not None}
    return json.dumps({"type": kind, "timestamp": format_time(at), "data": shown})


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return shorten(_redactor.redact_text(value), MAX_TEXT)
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


def brief(failure: JsonObject | None) -> JsonObject | None:
    """Of a failure what it is and where: type, message, step, file and line."""
    if not failure:
        return None
    texts = {key: str(failure[key]) for key in FAILURE_TEXTS if failure.get(key)}
    frames = failure.get("frames") or [{}]
    place = {key: frames[-1].get(key) for key in ("file", "line", "function")}
    return texts | {key: value for key, value in place.items() if value is not None}


def headline(body: str) -> tuple[str, str]:
    """The title and the text for a service of [notify], of a webhook's document."""
    told = json.loads(body)
    kind, data = told["type"], told["data"]
    about = data.get("run") or data.get("pipeline") or "Tau"
    titles = {
        NoticeType.RUN_FAILED: f"{about}: {data.get('status')}",
        NoticeType.RUN_RECOVERED: f"{about}: works again",
        NoticeType.RUN_LATE: f"{about}: late",
        NoticeType.SCHEDULE_PAUSED: f"{about}: its schedule is paused",
    }
    lines = [data.get("reason"), *data.get("next", ())]
    return titles.get(kind, f"{about}: {kind}"), "\n".join(line for line in lines if line)
