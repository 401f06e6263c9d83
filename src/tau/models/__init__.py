"""The tables, one a file; importing this package registers them all with the metadata."""

from tau.models.api_key import ApiKey as ApiKey
from tau.models.attempt import Attempt as Attempt
from tau.models.audit_entry import AuditEntry as AuditEntry
from tau.models.base import Base as Base
from tau.models.event import Event as Event
from tau.models.idempotency_key import IdempotencyKey as IdempotencyKey
from tau.models.outbox_message import OutboxMessage as OutboxMessage
from tau.models.pipeline import Pipeline as Pipeline
from tau.models.pipeline_state import PipelineState as PipelineState
from tau.models.run import Run as Run
from tau.models.schedule import Schedule as Schedule
from tau.models.secret import Secret as Secret
from tau.models.source import Source as Source
from tau.models.version import Version as Version
from tau.models.webhook import Webhook as Webhook
from tau.models.worker import Worker as Worker
