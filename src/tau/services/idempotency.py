"""Does a request once: its repetition under the same Idempotency-Key gets the first answer."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from tau.core.database import Session
from tau.errors import IdempotencyKeyReused
from tau.repositories.idempotency_repo import IdempotencyRepository

AnswerT = TypeVar("AnswerT", bound=BaseModel)


def request_digest(route: str, request: BaseModel) -> str:
    body = json.dumps(request.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(f"{route}\n{body}".encode()).hexdigest()


async def once(
    session: Session,
    key: str | None,
    *,
    digest: str,
    now: datetime,
    produce: Callable[[], Awaitable[AnswerT]],
    answer_type: type[AnswerT],
    never_kept: frozenset[str] = frozenset(),
) -> AnswerT:
    """What `produce` answers, or what it answered when this key was first used.

    Key, effect and answer are kept in one transaction, the answer without the fields that are
    `never_kept`. Raises IdempotencyKeyReused where the
    key came with another request.
    """
    if key is None:
        return await produce()
    keys = IdempotencyRepository(session)
    earlier = await keys.reserve(key, request_sha256=digest, now=now)
    if earlier is None:
        answer = await produce()
        kept: dict[str, Any] = answer.model_dump(
            mode="json", exclude_none=True, exclude=set(never_kept)
        )
        await keys.keep_answer(key, status=200, answer=kept)
        return answer
    if earlier.request_sha256 != digest or earlier.answer is None:
        raise IdempotencyKeyReused(hint="Use a new key for a new request.")
    return answer_type.model_validate(earlier.answer)
