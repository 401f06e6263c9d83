"""Every error Tau can answer with: one table of code, HTTP status, exit code, retry and hint.

TauError
├── UnexpectedError            internal.error
├── ConfigurationError         config.* usage.* request.* notify.* store.newer_than_code
│                              secret.wrong_key
├── ValidationError            pipeline.* params.* secret.invalid (what the user wrote is wrong)
├── DependencyError            dependency.*
├── SecurityError              auth.* security.* webhook.url_refused
├── UnavailableError           daemon.* store.unavailable backup.failed
├── NotFoundError              *.not_found
├── ConflictError              *.ambiguous idempotency.* daemon.* backup.exists
│                              secret.rotation_refused
├── LimitedError               queue.full store.no_room
├── WaitTimeout                wait.timeout
└── Interrupted                command.interrupted

The catalogue is closed: `CATALOGUE` maps each code to its class, and a test fails on any other.
Two places render an error: `tau.api.errors` (RFC 9457) and `tau.commands.output` (stdout).
Stdlib only, since the child, the CLI and the daemon all import it.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, ClassVar, Literal

Retry = Literal["same", "after_fix", "after_wait", "human", "never"]


class ExitCode(IntEnum):
    """What a `tau` command exits with; stable."""

    SUCCESS = 0
    UNEXPECTED = 1
    CONFIGURATION = 2
    VALIDATION = 3
    EXECUTION = 4
    DEPENDENCY = 5
    SECURITY = 6
    UNAVAILABLE = 7
    NOT_FOUND = 8
    CONFLICT = 9
    LIMITED = 10
    WAIT_TIMEOUT = 11
    PARTIAL = 12
    INTERRUPTED = 130


CATALOGUE: dict[str, type["TauError"]] = {}


class TauError(Exception):
    """Base of every error: a class is a row of the table, an instance adds message and details.

    `details` are JSON-able facts that a caller can act on (`file`, `line`, `candidates`, ...).
    """

    code: ClassVar[str] = ""
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED
    retry: ClassVar[Retry] = "never"
    default_hint: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" in cls.__dict__:
            if cls.code in CATALOGUE:
                raise TypeError(f"error code {cls.code!r} is taken by {CATALOGUE[cls.code]}")
            CATALOGUE[cls.code] = cls

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        next: Iterable[str] = (),
        **details: Any,
    ) -> None:
        self.message = message or (type(self).__doc__ or type(self).__name__).splitlines()[0]
        self.hint = hint or self.default_hint
        self.next = list(next)
        self.details = details
        super().__init__(self.message)

    def to_dict(self) -> dict[str, Any]:
        """The error object that the CLI prints under `error` and the API puts in its problem."""
        document: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            document["hint"] = self.hint
        document["retry"] = self.retry
        if self.next:
            document["next"] = self.next
        return document | self.details


def from_dict(document: Mapping[str, Any], *, http_status: int = 500) -> TauError:
    """The error that a daemon sent, as the class of its code.

    A code that this version does not know becomes the class that its HTTP status stands for.
    """
    code = str(document.get("code", ""))
    cls = CATALOGUE.get(code) or _for_status(http_status)
    known = {"code", "message", "hint", "retry", "next"}
    details = {k: v for k, v in document.items() if k not in known and k.isidentifier()}
    if cls.code != code:
        details["daemon_code"] = code
    return cls(
        str(document.get("message") or ""),
        hint=document.get("hint"),
        next=document.get("next") or (),
        **details,
    )


def _for_status(status: int) -> type[TauError]:
    by_status: dict[int, type[TauError]] = {
        400: RequestInvalid, 401: KeyInvalid, 403: ScopeMissing, 404: RouteNotFound,
        409: IdempotencyKeyReused, 422: RequestInvalid, 429: QueueFull,
    }  # fmt: skip
    return by_status.get(status) or (StoreUnavailable if status in (502, 503) else UnexpectedError)


class UnexpectedError(TauError):
    """Something in Tau itself went wrong."""

    code = "internal.error"
    default_hint = "This is a bug in Tau; the daemon's log holds the details under the request id."


# --- 2: configuration and usage -------------------------------------------------------------


class ConfigurationError(TauError):
    """The configuration is wrong."""

    code = "config.invalid"
    http_status = 500
    exit_code = ExitCode.CONFIGURATION
    retry: ClassVar[Retry] = "after_fix"


class StoreNewerThanCode(ConfigurationError):
    """The store was written by a newer Tau than this one."""

    code = "store.newer_than_code"
    default_hint = "Upgrade Tau, or restore the backup made before the newer version started."


class SecretKeyWrong(ConfigurationError):
    """A stored secret is encrypted with a key that this daemon does not have."""

    code = "secret.wrong_key"
    default_hint = (
        "Give this daemon the key of the one that set it: secrets.key of its home, "
        "or its TAU_SECRETS_KEY."
    )


class EnvironmentUnknown(ConfigurationError):
    """No such environment."""

    code = "config.unknown_environment"


class NotifyNotConfigured(ConfigurationError):
    """No service is named in [notify]."""

    code = "notify.not_configured"
    http_status = 409
    default_hint = (
        'Put urls = ["slack://…"] under [notify] in tau.toml and start taud again; '
        "https://github.com/caronc/apprise lists the services."
    )


class UsageError(TauError):
    """The command line is wrong."""

    code = "usage.invalid"
    http_status = 400
    exit_code = ExitCode.CONFIGURATION
    retry: ClassVar[Retry] = "after_fix"


class UnknownCommand(UsageError):
    """No such command."""

    code = "usage.unknown_command"


class UnknownOption(UsageError):
    """No such option."""

    code = "usage.unknown_option"


class MissingArgument(UsageError):
    """An argument or option is missing."""

    code = "usage.missing_argument"


class RequestInvalid(UsageError):
    """A field of the request is missing, unknown or of the wrong kind."""

    code = "request.invalid"
    http_status = 422


class RequestNotJson(UsageError):
    """The request's body is not JSON."""

    code = "request.not_json"
    http_status = 400


class RequestTooLarge(UsageError):
    """The request's body is too large."""

    code = "request.too_large"
    http_status = 413


class CursorInvalid(UsageError):
    """The cursor is none of ours."""

    code = "request.invalid_cursor"
    http_status = 422
    default_hint = "Use the next_cursor of the previous page as it was, or leave --cursor out."


class MethodNotAllowed(UsageError):
    """The route exists, but not for this method."""

    code = "request.method_not_allowed"
    http_status = 405


# --- 3: validation of what the user wrote ---------------------------------------------------


class ValidationError(TauError):
    """What was written is not valid."""

    http_status = 422
    exit_code = ExitCode.VALIDATION
    retry: ClassVar[Retry] = "after_fix"


class PipelineSyntaxError(ValidationError):
    """The file is not valid Python."""

    code = "pipeline.syntax_error"


class PipelineImportFailed(ValidationError):
    """The file raised an error while it was imported."""

    code = "pipeline.import_failed"


class PipelineImportTimeout(ValidationError):
    """The file did not finish importing in time."""

    code = "pipeline.import_timeout"
    default_hint = "Importing the file must only define pipelines; move the work into a pipeline."


class PipelineImportCrashed(ValidationError):
    """The process that imported the file died."""

    code = "pipeline.import_crashed"


class PipelineExitsAtImport(ValidationError):
    """The file ends the process while it is imported."""

    code = "pipeline.exits_at_import"
    default_hint = 'Put the call under `if __name__ == "__main__":` or into the pipeline.'


class PipelineNoneFound(ValidationError):
    """The file defines no pipeline."""

    code = "pipeline.none_found"
    default_hint = "Decorate a function: from tau import pipeline, then @pipeline above it."


class PipelineDuplicateName(ValidationError):
    """Two pipelines of the file have the same name."""

    code = "pipeline.duplicate_name"


class PipelineInvalidOption(ValidationError):
    """An argument of @pipeline is wrong."""

    code = "pipeline.invalid_option"


class PipelineInvalidName(ValidationError):
    """The name is not one a pipeline may have."""

    code = "pipeline.invalid_name"
    default_hint = "Names match [a-z][a-z0-9_-]{0,62}."


class PipelineNameOverride(ValidationError):
    """The option needs a file with exactly one pipeline."""

    code = "pipeline.name_override"


class PipelineInvalidSchedule(ValidationError):
    """The cron expression, interval or time zone is not valid."""

    code = "pipeline.invalid_schedule"
    default_hint = (
        "Five cron fields or @hourly/@daily/@weekly/@monthly/@yearly, in an IANA zone; "
        "or an interval of 1 s to 366 days."
    )


class PipelineNotText(ValidationError):
    """The file is not UTF-8 text."""

    code = "pipeline.not_text"


class PipelineTooLarge(ValidationError):
    """The file is too large for a pipeline."""

    code = "pipeline.too_large"


class ScriptBlockInvalid(ValidationError):
    """The file's block of inline script metadata is wrong."""

    code = "pipeline.invalid_script_block"
    default_hint = (
        "Comments from a line `# /// script` to a line `# ///`, TOML with "
        'dependencies = ["idna>=3"] and requires-python = ">=3.11".'
    )


class ParamsInvalid(ValidationError):
    """The params are not valid."""

    code = "params.invalid"


class SecretInvalid(ValidationError):
    """What was given is no value for a secret."""

    code = "secret.invalid"


# --- 5: dependency ---------------------------------------------------------------------------


class DependencyError(TauError):
    """Something that has to be installed is missing."""

    http_status = 422
    exit_code = ExitCode.DEPENDENCY
    retry: ClassVar[Retry] = "after_fix"


class ModuleMissing(DependencyError):
    """The file imports a module that is not installed."""

    code = "dependency.missing_module"


class ProgramMissing(DependencyError):
    """A program that this needs is not installed on the daemon's machine."""

    code = "dependency.missing_program"


class DependencyUnresolvable(DependencyError):
    """The file's dependencies can't be had together."""

    code = "dependency.unresolvable"
    default_hint = (
        "Loosen or mend the versions in the file's `# /// script` block. What Tau itself needs "
        "in each environment is resolved along with them."
    )


class EnvironmentBuildFailed(DependencyError):
    """The file's environment could not be built."""

    code = "dependency.build_failed"


class PythonMissing(DependencyError):
    """No installed Python is one that the file asks for."""

    code = "dependency.no_python"


class UvMissing(DependencyError):
    """There is no uv to build the file's environment with."""

    code = "dependency.no_uv"
    retry: ClassVar[Retry] = "human"
    default_hint = "pip install uv where the daemon runs, and start the daemon again."


class IndexUnreachable(DependencyError):
    """The package index does not answer."""

    code = "dependency.index_unreachable"
    retry: ClassVar[Retry] = "after_wait"
    default_hint = (
        "The daemon needs the index, or a mirror: uv's own variables (UV_INDEX_URL, "
        "UV_FIND_LINKS, UV_OFFLINE, …) in its environment are passed on."
    )


class ExtraMissing(DependencyError):
    """A setting needs an extra of Tau that is not installed."""

    code = "dependency.missing_extra"


# --- 6: security -----------------------------------------------------------------------------


class SecurityError(TauError):
    """Not allowed."""

    http_status = 403
    exit_code = ExitCode.SECURITY
    retry: ClassVar[Retry] = "human"


class KeyMissing(SecurityError):
    """No API key was sent."""

    code = "auth.missing_key"
    http_status = 401
    default_hint = "Set TAU_API_KEY, or name an environment that holds a key."


class KeyInvalid(SecurityError):
    """The API key is not valid."""

    code = "auth.invalid_key"
    http_status = 401
    default_hint = "Ask whoever runs this daemon for a key, and set TAU_API_KEY."


class ScopeMissing(SecurityError):
    """The API key lacks the scope that this needs."""

    code = "auth.missing_scope"


class HostRefused(SecurityError):
    """The Host header names none of this daemon's hosts."""

    code = "security.host_refused"
    http_status = 400
    default_hint = "Add the name to public_hosts under [daemon] in tau.toml."


class OriginRefused(SecurityError):
    """The Origin header names none of this daemon's hosts."""

    code = "security.origin_refused"


class FileUnsafe(SecurityError):
    """A file that holds a key can be read by others."""

    code = "security.unsafe_file"
    default_hint = "chmod 600 the file."


class BindRefused(SecurityError):
    """An address that others can reach needs to be allowed on purpose."""

    code = "security.bind_refused"
    exit_code = ExitCode.CONFIGURATION
    default_hint = "Pass --allow-remote, and --behind-proxy or a TLS certificate with it."


class WebhookUrlRefused(SecurityError):
    """The URL is none that a webhook may have."""

    code = "webhook.url_refused"
    http_status = 422
    retry: ClassVar[Retry] = "after_fix"


class ConfirmationRequired(SecurityError):
    """What this would do can't be undone; it needs --yes."""

    code = "confirmation.required"


# --- 7: unavailable --------------------------------------------------------------------------


class UnavailableError(TauError):
    """Not available right now."""

    http_status = 503
    exit_code = ExitCode.UNAVAILABLE
    retry: ClassVar[Retry] = "after_wait"


class DaemonUnreachable(UnavailableError):
    """No daemon answers."""

    code = "daemon.unreachable"


class DaemonBadAnswer(UnavailableError):
    """What answered is not a Tau daemon, or its answer was cut."""

    code = "daemon.bad_answer"


class DaemonStartFailed(UnavailableError):
    """The daemon did not start."""

    code = "daemon.start_failed"
    retry: ClassVar[Retry] = "after_fix"


class DaemonStopping(UnavailableError):
    """The daemon is stopping."""

    code = "daemon.stopping"


class DaemonNotReady(UnavailableError):
    """The daemon does not take up runs right now."""

    code = "daemon.not_ready"


class StoreUnavailable(UnavailableError):
    """The store does not answer."""

    code = "store.unavailable"


class BackupFailed(UnavailableError):
    """The backup could not be written."""

    code = "backup.failed"
    retry: ClassVar[Retry] = "after_fix"


# --- 8: not found ----------------------------------------------------------------------------


class NotFoundError(TauError):
    """Not found."""

    http_status = 404
    exit_code = ExitCode.NOT_FOUND
    retry: ClassVar[Retry] = "after_fix"


class PipelineNotFound(NotFoundError):
    """No such pipeline."""

    code = "pipeline.not_found"


class VersionNotFound(NotFoundError):
    """The pipeline has no such version."""

    code = "version.not_found"


class RunNotFound(NotFoundError):
    """No such run."""

    code = "run.not_found"


class KeyNotFound(NotFoundError):
    """No such API key."""

    code = "key.not_found"


class SecretNotFound(NotFoundError):
    """No secret of that name is stored."""

    code = "secret.not_found"


class WebhookNotFound(NotFoundError):
    """No such webhook."""

    code = "webhook.not_found"


class FileNotFound(NotFoundError):
    """No such file."""

    code = "file.not_found"


class RouteNotFound(NotFoundError):
    """The daemon has no such route."""

    code = "route.not_found"


class DaemonNotRunning(NotFoundError):
    """No daemon runs here."""

    code = "daemon.not_running"


# --- 9: conflict -----------------------------------------------------------------------------


class ConflictError(TauError):
    """The state of things does not allow it."""

    http_status = 409
    exit_code = ExitCode.CONFLICT
    retry: ClassVar[Retry] = "after_fix"


class PipelineAmbiguous(ConflictError):
    """Several pipelines come from a file of that name."""

    code = "pipeline.ambiguous"


class RunAmbiguous(ConflictError):
    """Several runs have an id that starts like that."""

    code = "run.ambiguous"


class RunAlreadyFinal(ConflictError):
    """The run has ended; a final status never changes."""

    code = "run.already_final"
    retry: ClassVar[Retry] = "never"


class RunNotFinal(ConflictError):
    """The run has not ended yet."""

    code = "run.not_final"
    retry: ClassVar[Retry] = "after_wait"


class KeyInUse(ConflictError):
    """A key can't revoke itself."""

    code = "key.in_use"


class RotationRefused(ConflictError):
    """The secrets' key is not this daemon's alone to change."""

    code = "secret.rotation_refused"


class BackupExists(ConflictError):
    """The file is there already."""

    code = "backup.exists"
    default_hint = "Give another name, or --force to replace it."


class IdempotencyKeyReused(ConflictError):
    """The Idempotency-Key was used before with another request."""

    code = "idempotency.key_reused"


class DaemonAlreadyRunning(ConflictError):
    """A daemon already runs in this home."""

    code = "daemon.already_running"
    default_hint = "taud status shows it; taud stop ends it."


# --- 10, 11, 130 -----------------------------------------------------------------------------


class LimitedError(TauError):
    """A limit is reached."""

    http_status = 429
    exit_code = ExitCode.LIMITED
    retry: ClassVar[Retry] = "after_wait"


class QueueFull(LimitedError):
    """The queue of runs is full."""

    code = "queue.full"


class StoreNoRoom(LimitedError):
    """The disk has no room for this."""

    code = "store.no_room"
    http_status = 507
    retry: ClassVar[Retry] = "after_fix"


class WaitTimeout(TauError):
    """Gave up waiting; the run goes on."""

    code = "wait.timeout"
    http_status = 408
    exit_code = ExitCode.WAIT_TIMEOUT
    retry: ClassVar[Retry] = "after_wait"


class Interrupted(TauError):
    """Interrupted; what the daemon has been asked to do goes on."""

    code = "command.interrupted"
    http_status = 499
    exit_code = ExitCode.INTERRUPTED
    retry: ClassVar[Retry] = "human"
