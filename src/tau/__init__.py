"""Tau: a data orchestrator whose operator is an AI agent. Stdlib only, and cheap to import."""

from typing import TYPE_CHECKING

from tau.pipeline.context import PipelineContext
from tau.pipeline.exceptions import NotRetryable

if TYPE_CHECKING:
    # At run time the name is the package `tau.pipeline`, which can be called as the decorator.
    from tau.pipeline.decorators import pipeline

__version__ = "0.1.0"
__all__ = ["NotRetryable", "PipelineContext", "__version__", "pipeline"]
