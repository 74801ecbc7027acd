"""What the user named as a template, and where its files are then."""

import os
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from kscaffold.errors import DeadlineError, KscaffoldError, UsageError
from kscaffold.files import git
from kscaffold.records import dataclass, replace
from kscaffold.timeouts import seconds

MOST_FILES = 5_000
MOST_BYTES = 256 << 20

# As the cookiecutter program expands them.
_ABBREVIATIONS = {
    "gh": "https://github.com/{}.git",
    "gl": "https://gitlab.com/{}.git",
    "bb": "https://bitbucket.org/{}",
}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SCP = re.compile(r"[\w.-]+@[\w.-]+:(?!:)")
_ALLOWED = ("https://", "ssh://", "git://", "file://")

StepListener = Callable[[str, str], None]
"""Says a step to the user: a verb, and what it is done to."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a template comes from.

    `shown`: as the user named it, without a password. `kind`: directory, git or zip. `directory`: where its
    files are now. `commit`: of git, in full. `lasting`: a name that stands for the same place on another
    day.
    """

    shown: str
    kind: str
    directory: Path
    commit: str | None = None
    lasting: str = ""


def is_foreign(word: str) -> bool:
    """Whether a --template that is none of ours means a path or a URL."""
    return any(c in word for c in "/:~") or word in (".", "..") or Path(word).exists()


def expanded(word: str) -> str:
    """gh:user/repo and its kin in full."""
    short, colon, rest = word.partition(":")
    return _ABBREVIATIONS[short].format(rest) if colon and short in _ABBREVIATIONS else word


def hide_password(word: str) -> str:
    """The word without the passwords and tokens of a URL: a server of git takes a token as a name, too."""
    word = re.sub(r"(?<=://)([^/\s@:]*):[^/\s]*@", r"\1:***@", word)
    word = re.sub(r"(?i)(?<=http://|ttps://)[^/\s@:]+@", "***@", word)
    return re.sub(r"(?i)(https?://[^\s?#]*)[?#][^\s]*", r"\1?***", word)


def lasting(word: str, base: Path) -> str:
    """A name that stands for the same place on another day: a URL without any secret, a path in full.

    Whoever fetches from there has the password by git's own means (credential.helper, an agent).
    """
    source = expanded(word).removeprefix("git+")
    if not _is_url(source):
        return os.path.normpath(base / os.path.expanduser(source))  # noqa: PTH111
    scheme, separator, rest = source.partition("://")
    if not separator:
        return source  # ssh's own spelling, which has no room for a password
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if scheme.lower().startswith("http"):
        return f"{scheme}://{host}{slash}{re.split('[?#]', path)[0]}"
    return f"{scheme}://{user.partition(':')[0]}{at}{host}{slash}{path}"


def fetch_template(word: str, ref: str | None, into: Path, step: StepListener) -> Origin:
    """Fetch what is not a directory here already; `into` is a place for it.

    Raises UsageError for what no template can be taken from, KscaffoldError where fetching fails.
    """
    return replace(_take(word, ref, into, step), lasting=lasting(word, Path.cwd()))


def _is_url(source: str) -> bool:
    return bool(_URL.match(source) or _SCP.match(source) or "::" in source.split("/")[0])


def _take(word: str, ref: str | None, into: Path, step: StepListener) -> Origin:
    if not word or not word.isprintable() or word.startswith("-"):
        raise UsageError(
            "KS072", f"{word!a} is no path or URL", fix="--template ./DIR, or --template https://…"
        )
    if ref is not None:
        git.check_ref(ref)
    source = expanded(word).removeprefix("git+")
    if _is_url(source):
        return _clone(source, hide_password(word), ref, into, step)
    path = Path(os.path.expanduser(source))  # noqa: PTH111  (pathlib raises for an unknown user)
    if path.is_dir():
        path = path.resolve()
        bare = not (path / ".git").exists() and git.is_repository(path)
        if bare or (ref is not None and git.is_repository(path)):
            return _clone(f"file://{path}", word, ref, into, step)
        if ref is not None:
            raise UsageError(
                "KS072", f"{word} is not a git repository", fix="leave --checkout out, or give the repository"
            )
        return Origin(word, "directory", path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return Origin(word, "zip", _unzip(path, into))
    raise UsageError(
        "KS071",
        f"there is no template at {word}",
        cause=f"{path} is not a directory or a .zip" if path.exists() else f"{path} is not there",
        fix="kscaffold new --list shows kscaffold's own",
    )


def _clone(url: str, name: str, ref: str | None, into: Path, step: StepListener) -> Origin:
    if not url.startswith(_ALLOWED) and not (_SCP.match(url) and "::" not in url):
        raise UsageError(
            "KS072",
            f"kscaffold takes no template from {name}",
            cause="only https, ssh, git and file are safe to fetch from",
            fix="clone it yourself and give its path"
            + (", or try https" if url.startswith("http://") else ""),
        )
    if url.lower().partition("?")[0].endswith(".zip"):
        raise UsageError("KS072", f"{name} is an archive", fix="download it, then --template FILE.zip")
    step("Fetching", name + (f" at {ref}" if ref else ""))
    limit = seconds("TEMPLATE_TIMEOUT")
    try:
        commit = git.fetch(url, ref, into, limit, (MOST_FILES, MOST_BYTES))
    except DeadlineError:
        raise KscaffoldError(
            "KS071",
            f"{name} could not be fetched within {limit:g} s",
            fix=f"try again, or KSCAFFOLD_TEMPLATE_TIMEOUT={4 * limit:g}",
        ) from None
    except KscaffoldError as error:
        if error.code != "KS071":
            raise
        raise KscaffoldError(
            "KS071",
            f"{name} could not be fetched" + (f" at {ref}" if ref else ""),
            cause=hide_password((error.cause or "").replace(url, name)),
            fix=f"git ls-remote {name}",
        ) from None
    return Origin(name, "git", into, commit)


def _unzip(archive: Path, into: Path) -> Path:
    """Unpack an archive with one directory at its top, as the cookiecutter program wants it."""
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            tops = {PurePosixPath(e.filename).parts[:1] for e in entries}
            if len(tops) != 1 or len(entries) > MOST_FILES:
                raise _bad_zip(archive, "it must hold one directory with all in it")
            for entry in entries:
                path = PurePosixPath(entry.filename)
                if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or not path.parts:
                    raise _bad_zip(archive, f"{entry.filename!a} leads out of it")
                if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _bad_zip(archive, f"{entry.filename!a} is a link or a special file")
                if entry.is_dir():
                    (into / path).mkdir(parents=True, exist_ok=True)
                    continue
                # Read to one byte beyond the limit: the sizes that an archive states can be lies.
                with packed.open(entry) as inside:
                    data = inside.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise _bad_zip(archive, f"it unpacks to more than {MOST_BYTES >> 20} MiB")
                (into / path).parent.mkdir(parents=True, exist_ok=True)
                (into / path).write_bytes(data)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise _bad_zip(archive, str(error)) from None
    return into / next(iter(tops))[0]


def _bad_zip(archive: Path, why: str) -> UsageError:
    return UsageError(
        "KS073", f"{archive.name} can't be taken as a template", cause=why, fix="unpack it and look"
    )
