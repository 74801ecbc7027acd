"""JSON of `exec`."""

from typing import TYPE_CHECKING, Any

from kscaffold.cli.documents.load import complaints, load, record

if TYPE_CHECKING:
    from kscaffold.load.execute import ExecRequest, Executed


def executed(request: "ExecRequest", done: "Executed", out: str, errors: str) -> dict[str, Any]:
    """`exec`. `status` and `signal` are of the program: one of them is null, both where nobody knows.
    `ending`: how the kernel of a lost sandbox ended, null where that is not known.
    """
    status = done.status
    return {
        "program": list(request.words),
        "kernel": done.kernel,
        "arch": done.arch,
        "status": status if status is not None and status >= 0 else None,
        "signal": -status if status is not None and status < 0 else None,
        "errno": done.errno,
        "late": done.late,
        "lost": done.lost,
        "ending": done.ending or None,
        "stack": done.stack.splitlines(),
        "stdout": out,
        "stderr": errors,
        "complaints": complaints(done.complaints),
        "log": [record(r) for r in done.log],
        "loads": [load(report) for report in done.loads],
        "seconds": round(done.seconds, 4),
    }
