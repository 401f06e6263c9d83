"""Fixtures by topic, and an environment that holds nothing of Tau's."""

import os

for name in [name for name in os.environ if name.startswith("TAU_") and "TEST" not in name]:
    del os.environ[name]

# Each of the many processes would compile the whole server anew, seconds each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = [
    "tests.fixtures.database",
    "tests.fixtures.api",
    "tests.fixtures.daemon",
    "tests.fixtures.receiver",
]
