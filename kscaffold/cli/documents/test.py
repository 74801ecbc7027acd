"""JSON of `test`."""

from typing import TYPE_CHECKING, Any

from kscaffold.cli.documents.coverage import coverage

if TYPE_CHECKING:
    from kscaffold.testing.classroom import ClassRun
    from kscaffold.testing.run import TestRun


def tested(done: "TestRun") -> dict[str, Any]:
    """`test`. `modules`: a verdict for each module and kernel; `tests`: each test on each kernel; `errors`:
    why nothing could be tested on a kernel.
    """
    cells = [
        {"module": name, "kernel": kernel, "arch": done.arches.get(kernel), "outcome": outcome}
        for name, kernels in done.table().items()
        for kernel, outcome in kernels.items()
    ]
    tests = [
        {
            "test": result.test,
            "kernel": result.kernel,
            "arch": done.arches.get(result.kernel),
            "modules": list(result.modules),
            "outcome": result.outcome,
            "seconds": result.seconds,
            "text": result.text,
            "sections": [{"title": title, "text": text} for title, text in result.sections],
            "file": result.file,
            "line": result.line,
        }
        for result in done.results
    ]
    errors = [
        {"kernel": kernel, "code": error.code, "what": error.what, "cause": error.cause, "fix": error.fix}
        for kernel, error in done.no_answer.items()
    ]
    return {
        "directory": str(done.directory),
        "kernels": list(done.kernels),
        "examined": done.examined,
        "modules": cells,
        "tests": tests,
        "errors": errors,
        "seconds": round(done.seconds, 4),
        **({"coverage": coverage(done.coverage)} if done.coverage else {}),
    }


def tested_projects(done: "ClassRun") -> dict[str, Any]:
    """`test` of several projects. `error`: why a project's tests could not be run; it has none then."""
    projects = []
    for one in done.projects:
        error = one.error and {
            "code": one.error.code,
            "message": one.error.what,
            "cause": one.error.cause,
            "fix": one.error.fix,
        }
        found = tested(one.run) if one.run else {"modules": [], "tests": [], "seconds": None}
        fields = {key: found[key] for key in ("modules", "tests", "seconds")}
        projects.append({"directory": str(one.directory), "ok": one.ok, "error": error, **fields})
    return {"kernels": list(done.kernels), "projects": projects, "seconds": round(done.seconds, 4)}
