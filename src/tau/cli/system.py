"""What `tau status`, `version` and `schema` do."""

from tau.commands import schema as surface
from tau.commands.output import Document
from tau.commands.version import client_version
from tau.errors import TauError


def status(*, env: str | None) -> Document:
    from tau.client.client import Client

    with Client(env=env) as client:
        return client.status() | {"client": {"version": client_version()}}


def version(*, env: str | None) -> Document:
    from tau.client.connect import find_running

    document = {"version": client_version()}
    target = find_running(env)
    if target is None:
        return document
    from tau.client.http import Connection

    connection = Connection(target)
    try:
        answer = connection.health()
    except TauError as error:
        return document | {"daemon": {"url": target.url, "error": error.to_dict()}}
    finally:
        connection.close()
    return document | {"daemon": {"version": answer.get("version"), "url": target.url}}


def schema(*, command: list[str] | None) -> Document:
    if not command:
        return surface.surface(("tau", "taud"), version=client_version())
    return surface.describe(command)
