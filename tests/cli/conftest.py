from tests.client.conftest import clean_environ, daemon

__all__ = ["clean_environ", "daemon"]
