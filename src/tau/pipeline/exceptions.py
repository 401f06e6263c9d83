"""What the context raises in user code; a run that lets one through fails with it."""

from typing import Any


class CheckFailed(Exception):  # noqa: N818
    """A check of severity `error` did not hold. `evidence` is what the check was given."""

    def __init__(self, name: str, *, evidence: dict[str, Any] | None = None) -> None:
        self.name = name
        self.evidence = evidence or {}
        shown = ", ".join(f"{key}={value!r}" for key, value in self.evidence.items())
        super().__init__(f"check {name!r} failed" + (f": {shown}" if shown else ""))


class NotRetryable(Exception):  # noqa: N818
    """Raise it, or a subclass, for what another attempt would not mend: the run fails at once."""


class SecretMissing(LookupError):  # noqa: N818
    """No secret of that name is set where the daemon could find it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"secret {name!r} is not set: `tau secret set {name}` takes it from stdin; "
            f"or pass ctx.secret({name!r}, default=…)"
        )


class RequestRefused(RuntimeError):  # noqa: N818
    """The daemon refused what the pipeline asked for. `error` is its error document."""

    def __init__(self, op: str, error: dict[str, Any]) -> None:
        self.op = op
        self.error = error
        super().__init__(f"{op}: {error.get('message') or error.get('code') or 'refused'}")


class ChannelClosed(RuntimeError):  # noqa: N818
    """The descriptor to Tau is closed, so that nothing can be asked for."""


class NotSerializable(TypeError):  # noqa: N818
    """A value that is not JSON. `path` is a JSON path such as `$.rows[3].when`."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class ResultNotSerializable(NotSerializable):
    """What the pipeline returned cannot be kept as JSON."""


class StateInvalid(NotSerializable):
    """What was put into `ctx.state` is not plain JSON, or is too large."""


class ParamsInvalid(ValueError):  # noqa: N818
    """The run's params do not fit the pipeline's model. `fields` are {"field","reason"}."""

    def __init__(self, message: str, *, fields: list[dict[str, str]]) -> None:
        self.fields = fields
        super().__init__(message)
