"""The HTTP client of a Tau daemon: `from tau.client import Client`."""

from tau.client.client import Client

__all__ = ["Client"]
