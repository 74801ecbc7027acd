"""JSON of `test`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kscaffold.testing.run import TestRun


def tested(done: "TestRun") -> dict[str, Any]:
    """`test`. `modules`: a verdict for each module and kernel; `tests`: each test on each kernel."""
    cells = [
        {"module": name, "kernel": kernel, "outcome": outcome}
        for name, kernels in done.table().items()
        for kernel, outcome in kernels.items()
    ]
    tests = [
        {
            "test": result.test,
            "kernel": result.kernel,
            "modules": list(result.modules),
            "outcome": result.outcome,
            "seconds": result.seconds,
            "text": result.text,
        }
        for result in done.results
    ]
    return {
        "directory": str(done.directory),
        "kernels": list(done.kernels),
        "examined": done.examined,
        "modules": cells,
        "tests": tests,
        "seconds": round(done.seconds, 4),
    }
