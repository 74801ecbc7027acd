"""What a script may use: the verbs of kscaffold as functions that return frozen reports.

Nothing here prints or asks. A step that takes time is reported to a `Progress` where one is given. A verb
that did not succeed returns a report that is not `ok`; KscaffoldError is raised where there is no answer at
all, UsageError (a KscaffoldError) where the request makes no sense. Both have `code`, `what`, `cause` and
`fix`.

Importing this module imports little else: each name is looked up when it is first used, and a function
imports what it needs at its first call.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.progress import SILENT as SILENT
from kscaffold.progress import Progress

if TYPE_CHECKING:
    from kscaffold.api.explanation import explain, explain_load
    from kscaffold.api.kernel import choose_kernel, find_kernel, kernels
    from kscaffold.api.loading import execute, load, run, stop_sandbox, unload
    from kscaffold.api.module import check, info
    from kscaffold.api.project import Project, build, new
    from kscaffold.api.testing import matrix, test
    from kscaffold.diagnosis.attempt import Listed
    from kscaffold.diagnosis.klog import Record
    from kscaffold.diagnosis.verdict import Judgement
    from kscaffold.explain.explain import Explanation
    from kscaffold.explain.explain_load import Walkthroughs
    from kscaffold.explain.walkthrough import LoadWalkthrough
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.execute import Executed
    from kscaffold.load.report import LoadReport
    from kscaffold.load.sandbox import Sandbox
    from kscaffold.load.unload import UnloadReport
    from kscaffold.load.verbs.load import Loads
    from kscaffold.load.verbs.matrix import Matrix, MatrixCell
    from kscaffold.load.verbs.run import Run
    from kscaffold.make.report import BuildReport
    from kscaffold.module.check import CheckReport
    from kscaffold.scaffold.create.new import Created
    from kscaffold.testing.run import TestRun

__all__ = [
    "BuildReport",
    "CheckReport",
    "Created",
    "Executed",
    "Explanation",
    "Judgement",
    "Kernel",
    "KscaffoldError",
    "Listed",
    "LoadReport",
    "LoadWalkthrough",
    "Loads",
    "Matrix",
    "MatrixCell",
    "Progress",
    "Project",
    "Record",
    "Run",
    "Sandbox",
    "TestRun",
    "UnloadReport",
    "UsageError",
    "Walkthroughs",
    "build",
    "check",
    "choose_kernel",
    "execute",
    "explain",
    "explain_load",
    "find_kernel",
    "info",
    "kernels",
    "load",
    "matrix",
    "new",
    "run",
    "stop_sandbox",
    "test",
    "unload",
]

# Where each name is.
_HOMES = {
    "BuildReport": "make.report",
    "CheckReport": "module.check",
    "Created": "scaffold.create.new",
    "Executed": "load.execute",
    "Explanation": "explain.explain",
    "Judgement": "diagnosis.verdict",
    "Kernel": "kernel.kernel",
    "Listed": "diagnosis.attempt",
    "LoadReport": "load.report",
    "LoadWalkthrough": "explain.walkthrough",
    "Loads": "load.verbs.load",
    "Matrix": "load.verbs.matrix",
    "MatrixCell": "load.verbs.matrix",
    "Project": "api.project",
    "Record": "diagnosis.klog",
    "Run": "load.verbs.run",
    "Sandbox": "load.sandbox",
    "TestRun": "testing.run",
    "UnloadReport": "load.unload",
    "Walkthroughs": "explain.explain_load",
    "build": "api.project",
    "check": "api.module",
    "choose_kernel": "api.kernel",
    "execute": "api.loading",
    "explain": "api.explanation",
    "explain_load": "api.explanation",
    "find_kernel": "api.kernel",
    "info": "api.module",
    "kernels": "api.kernel",
    "load": "api.loading",
    "matrix": "api.testing",
    "new": "api.project",
    "run": "api.loading",
    "stop_sandbox": "api.loading",
    "test": "api.testing",
    "unload": "api.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"kscaffold.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
