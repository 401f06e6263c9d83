"""httpx without its own command line.

Where click and rich are installed, `import httpx` imports them and pygments for `httpx.main`:
110 of 180 ms of CPU. It does without where that submodule cannot be imported.
"""

import sys
from typing import Any

_MAIN = "httpx._main"
_modules: dict[str, Any] = sys.modules
_is_first = "httpx" not in _modules

if _is_first:
    _modules[_MAIN] = None
import httpx  # noqa: E402

if _is_first:
    del _modules[_MAIN]

__all__ = ["httpx"]
