"""`doctor`."""

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import machine as documents
from kscaffold.errors import EXIT_NO, EXIT_YES
from kscaffold.files import paths

_MARKS = {"good": ("ok", "green"), "missing": ("missing", "red"), "remark": ("note", "yellow")}


def doctor(json: options.Json = False, verbose: options.Verbose = False) -> int:
    """Say what this machine lacks for kscaffold, and how to get it."""
    from kscaffold.doctor import doctor as look  # start-up time

    report = look()
    for f in report.requirements:
        word, style = _MARKS[f.state]
        console.out(f"{console.styled(f'{word:>8}', style)}  {f.what}: {_text(f.text)}")
        if f.fix:
            console.out(f"          {console.styled('fix', 'cyan')}: {_text(f.fix)}")
    sizes = f"kernels {report.kernels / 1e6:.0f} MB, snapshots {report.snapshots / 1e6:.0f} MB"
    cache = paths.places()["XDG_CACHE_HOME"]
    console.out(f"{'':>8}  cache: {console.printable(str(cache))} ({sizes})")
    console.emit("doctor", report.ok, documents.doctor(report, cache))
    return EXIT_YES if report.ok else EXIT_NO


def _text(text: str) -> str:
    """The text, a line of it below another one indented: a name can hold one."""
    return console.printable_lines(text).replace("\n", "\n          ")
