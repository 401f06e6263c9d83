"""What runs in the child: authoring, the context, loading a file, the protocol. Stdlib only.

The package itself is callable as the decorator, since `tau.pipeline` names both: the import
system binds a submodule to its parent, whoever imports it first.
"""

import sys
from types import ModuleType

from tau.pipeline.decorators import pipeline


class CallablePackage(ModuleType):
    """A package that is called as `@pipeline`."""

    __call__ = staticmethod(pipeline)


sys.modules[__name__].__class__ = CallablePackage
