"""The first words of an own environment's interpreter: `python fresh.py ATTEMPT_DIR FD`.

Tau itself comes from the copy that this file lies in, whatever the environment holds.
"""

import contextlib
import fcntl
import os
import sys

IN_USE_FILE = "in_use"
"""Locked, shared, by whoever executes in the environment; its time says when it was last used."""


def main(arguments: list[str]) -> None:
    code = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(0, code)
    with contextlib.suppress(OSError):
        # Held until this process ends: nobody removes the environment under it.
        held = os.open(os.path.join(sys.prefix, IN_USE_FILE), os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    from tau.workers.childsetup import run_fresh

    run_fresh(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
