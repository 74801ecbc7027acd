"""`kscaffold.toml`: what a project wants of kscaffold, written by its people. No file of it is needed."""

from pathlib import Path

from kscaffold.errors import UsageError
from kscaffold.files import reader
from kscaffold.records import dataclass

FILE = "kscaffold.toml"
_LARGEST = 64 << 10  # bytes


@dataclass(frozen=True, slots=True)
class Settings:
    """`allow`: the codes of complaints that `run` accepts (table `[run]`)."""

    allow: tuple[str, ...] = ()


def read_settings(project: Path) -> Settings:
    """The settings of a project; without a file the usual ones. Raises UsageError KS090 where the file can't
    be understood, ForeignFileError where it is no plain file, or a large one.
    """
    path = project / FILE
    try:
        content = reader.read_bytes(path, _LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    import tomllib  # start-up time: few projects have settings

    try:
        written = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number too long, a value too deep
        raise _damaged(path, str(error)) from None
    if unknown := sorted(written.keys() - {"run"}):
        raise _damaged(path, f"{unknown[0]} is no table of it: there is [run], with allow")
    table = written.get("run", {})
    if isinstance(table, dict) and (unknown := sorted(table.keys() - {"allow"})):
        raise _damaged(path, f"[run] has allow, and no {unknown[0]}")
    allow = table.get("allow", []) if isinstance(table, dict) else None
    if not isinstance(allow, list) or not all(isinstance(code, str) for code in allow):
        raise _damaged(path, "[run] allow is not a list of codes")
    return Settings(tuple(allow))


def _damaged(path: Path, cause: str) -> UsageError:
    return UsageError(
        "KS090", f"{path} can't be understood", cause=" ".join(cause.split()), fix='[run]\nallow = ["KS252"]'
    )
