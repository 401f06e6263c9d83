"""How people and agents name things: pipelines by name or file stem, runs by reference."""

import re
from difflib import get_close_matches

from tau.core.database import ReadSession
from tau.errors import PipelineAmbiguous, PipelineNotFound, RunAmbiguous, RunNotFound
from tau.models import Run
from tau.pipeline.types import BAD_STATUSES, RunStatus
from tau.repositories.pipeline_repo import Deployed, PipelineRepository
from tau.repositories.run_repo import RunRepository

_WORDS: dict[str, tuple[RunStatus, ...]] = {
    "last": (),
    "last-failed": tuple(sorted(BAD_STATUSES)),
    "last-success": (RunStatus.SUCCESS,),
}


async def get_pipeline(session: ReadSession, name: str) -> Deployed:
    """The deployed pipeline of that name, else the only one of a file with that stem.

    Raises PipelineNotFound with what is nearest, PipelineAmbiguous with the candidates.
    """
    pipelines = PipelineRepository(session)
    found = await pipelines.find(name)
    if found is not None:
        return found
    by_stem = await pipelines.list_by_stem(name)
    if len(by_stem) == 1:
        return by_stem[0]
    if by_stem:
        names = [deployed.pipeline.name for deployed in by_stem]
        raise PipelineAmbiguous(
            f"{name}.py holds {len(names)} pipelines.",
            hint=f"Name one of them: {', '.join(names[:10])}.",
            candidates=names[:20],
        )
    raise await _pipeline_not_found(pipelines, name)


async def _pipeline_not_found(
    pipelines: PipelineRepository[ReadSession], name: str
) -> PipelineNotFound:
    names = await pipelines.list_names()
    near = get_close_matches(name, names, n=3, cutoff=0.6)
    hint: str | None
    if near:
        hint = f"Did you mean {' or '.join(repr(n) for n in near)}?"
    else:
        hint = "Nothing is deployed yet: tau deploy FILE." if not names else None
    return PipelineNotFound(
        f"No pipeline {name[:80]!r}.", hint=hint, next=["tau list"], candidates=near
    )


async def get_run(session: ReadSession, reference: str) -> Run:
    """The run of an id, a unique prefix of one, NAME#7, NAME@last, NAME@last-failed, ….

    Raises RunNotFound, RunAmbiguous, and what `get_pipeline` raises.
    """
    if "#" in reference:
        name, _, number = reference.partition("#")
        if not re.fullmatch(r"[0-9]{1,9}", number):
            raise RunNotFound(f"{reference[:80]!r}: after # stands a run's number.")
        found = await get_pipeline(session, name)
        run = await RunRepository(session).find_number(found.pipeline.id, int(number))
        return run or _raise_not_found(reference, found)
    if "@" in reference:
        return await _by_word(session, reference)
    return await _by_id(session, reference)


async def _by_word(session: ReadSession, reference: str) -> Run:
    name, _, word = reference.partition("@")
    if word not in _WORDS:
        raise RunNotFound(
            f"{reference[:80]!r}: after @ stands one of {', '.join(_WORDS)}.",
            candidates=[f"{name}@{known}" for known in _WORDS],
        )
    found = await get_pipeline(session, name)
    run = await RunRepository(session).find_last(found.pipeline.id, _WORDS[word])
    return run or _raise_not_found(reference, found)


def _raise_not_found(reference: str, found: Deployed) -> Run:
    name, count = found.pipeline.name, found.pipeline.run_count
    raise RunNotFound(
        f"No run {reference[:80]!r}.",
        hint=f"{name} has had {count} runs, of which [retention] keeps the newest."
        if count
        else f"{name} never ran.",
        next=[f"tau runs {name}" if count else f"tau run {name}"],
    )


async def _by_id(session: ReadSession, reference: str) -> Run:
    text = reference.lower()
    runs = RunRepository(session)
    if re.fullmatch(r"[0-9a-hjkmnp-tv-z]{1,26}", text):
        found = await runs.list_by_prefix(text, limit=3)
        if len(found) == 1:
            return found[0]
        if found:
            raise RunAmbiguous(
                f"Several runs have an id that starts with {reference!r}.",
                candidates=[f"{run.id} ({run.pipeline_name}#{run.number})" for run in found],
            )
    raise RunNotFound(
        f"No run {reference[:80]!r}.",
        hint="A run is named by its id, a prefix of it, NAME#7, NAME@last or NAME@last-failed.",
        next=["tau runs"],
    )
