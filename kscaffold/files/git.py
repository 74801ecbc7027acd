"""git: a template fetched, a repository begun. Never a hook, a sub-module, a question or another protocol."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.errors import DeadlineError, KscaffoldError, UsageError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole

# What a repository that we are called from (a hook of it) says about itself: git rev-parse --local-env-vars.
# fmt: off
_OF_ANOTHER = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE",
)
# fmt: on
_PROTOCOLS = "https:ssh:git:file"  # never ext::, which is a command
_SAFE = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),  # a program, too
    ("submodule.recurse", "false"),
    ("gc.auto", "0"),  # would go on in the background
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
)
# git check-ref-format's rule, and nothing that fetch takes for a refspec.
_REF = re.compile(r"(?![-+.])(?!.*(?:\.\.|@\{|//))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])")
_COMMIT = re.compile(r"[0-9a-f]{4,40}")
_LARGEST_PACK = 512 << 20  # bytes


def check_ref(ref: str) -> None:
    """Whether it can be a branch, a tag or a commit. Raises UsageError."""
    if not _REF.fullmatch(ref) or not ref.isprintable():
        raise UsageError(
            "KS072", f"{ref!a} is not the name of a branch, a tag or a commit", fix="--checkout main"
        )


def fetch(url: str, ref: str | None, into: Path, seconds: float, most: tuple[int, int]) -> str:
    """Put the files of one commit into the new directory `into`; its full number is returned.

    `ref`: a branch, tag or commit; None is the remote's own choice. `most`: files and bytes that are
    taken; a tree that unpacks to more is refused before it does. Each step has `seconds`.
    Raises KscaffoldError that says what git said.
    """
    _run(["init", "--quiet", "--template=", str(into)], seconds)
    where = ["-C", str(into)]
    shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", url]
    found = "FETCH_HEAD"
    try:
        _run([*where, *shallow, ref or "HEAD"], seconds)
    except DeadlineError:
        raise
    except KscaffoldError:
        # A part of a commit's number, or a server that gives only what has a name.
        if ref is None or not _COMMIT.fullmatch(ref):
            raise
        everything = [*shallow[:2], *shallow[3:], "+refs/heads/*:refs/all/*", "+refs/tags/*:refs/all-tags/*"]
        _run([*where, *everything], seconds)
        found = ref
    said = _run([*where, "rev-parse", "--verify", "--end-of-options", f"{found}^{{commit}}"], seconds)
    commit = said.stdout.strip()
    _measure(into, commit, seconds, most)
    _run([*where, "checkout", "--quiet", "--detach", commit], seconds)
    return commit


def _measure(repository: Path, commit: str, seconds: float, most: tuple[int, int]) -> None:
    """Refuse a tree that a few bytes blow up to a full disk: one blob in many places of many trees."""
    files = size = 0

    def add(line: str) -> None:
        nonlocal files, size
        facts = line.partition("\t")[0].split()
        files += 1
        size += int(facts[3]) if len(facts) == 4 and facts[3].isdecimal() else 0
        if files > most[0] or size > most[1]:
            raise UsageError(
                "KS073",
                "the template is too large",
                cause=f"it has more than {most[0]} files or {most[1] >> 20} MiB",
                fix="clone it yourself and give the part you need: --template PATH",
            )

    argv = _argv(["-C", str(repository), "ls-tree", "-r", "--long", commit])
    process.stream(argv, add, timeout=seconds, env=_environment())


def possible(target: Path) -> bool:
    """Whether a project there gets a repository of its own: not inside a work tree, which would nest it,
    but where that tree ignores it. Raises ToolMissingError without git."""
    process.need("git")
    require_plain_settings(target.parent)
    parent = ["git", "-C", str(target.parent)]
    inside = process.run([*parent, "rev-parse", "--is-inside-work-tree"], timeout=10, env=_environment())
    if inside.returncode != 0 or inside.stdout.strip() != "true":
        return True
    ignored = process.run(
        [*parent, "check-ignore", "--quiet", "--", target.name], timeout=10, env=_environment()
    )
    return ignored.returncode == 0


def init(project: Path) -> None:
    """Begin a repository, as the user's git does it: default branch, templates. Nothing is committed.

    Raises KscaffoldError that says what git said.
    """
    if not (project / ".git").exists():
        try:
            _run(["init", "--quiet", "--", str(project)], 30, own=True)
        except KscaffoldError as error:
            if error.code != "KS071":
                raise
            raise KscaffoldError(
                "KS069",
                "git could not begin a repository; nothing was made",
                cause=error.cause,
                fix="leave --git out, or mend what git says",
            ) from None


def require_plain_settings(start: Path) -> None:
    """Refuse settings that git would wait for: the user's, and those of the repository around a directory.

    Raises ForeignFileError.
    """
    kept = os.environ.get("XDG_CONFIG_HOME") or paths.home() / ".config"
    files = [paths.home() / ".gitconfig", Path(kept) / "git" / "config"]
    top = next((d for d in (start, *start.parents) if (d / ".git").exists()), None)
    if top is not None and (top / ".git").is_dir():
        files += [top / ".git" / "config", top / ".git" / "HEAD"]
    elif top is not None:
        files.append(top / ".git")
    for file in files:
        reader.require_plain(file, reader.MOST_TEXT)


def _argv(words: Sequence[str]) -> list[str]:
    return ["git", *(part for key, value in _SAFE for part in ("-c", f"{key}={value}")), *words]


def _environment() -> dict[str, str]:
    extra = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _PROTOCOLS, "GIT_LFS_SKIP_SMUDGE": "1"}
    env = {k: v for k, v in process.environment(extra).items() if k not in _OF_ANOTHER}
    # ssh would ask on the terminal, behind git's back. The user's own choice of one stays.
    if not env.keys() & {"GIT_SSH_COMMAND", "GIT_SSH"}:
        require_plain_settings(Path.cwd())
        asked = process.run(["git", "config", "--get", "core.sshCommand"], timeout=10, env=env)
        if asked.returncode:
            env["GIT_SSH_COMMAND"] = "ssh -oBatchMode=yes"
    return env


def _run(words: Sequence[str], seconds: float, *, own: bool = False) -> process.Finished:
    process.need("git")
    argv = ["git", *words] if own else _argv(words)
    limit, private = process.which("prlimit"), process.which("setpriv")
    if limit and "fetch" in words:
        argv = [limit, f"--fsize={_LARGEST_PACK}", *argv]
    if private:  # a killed run leaves no git that goes on writing
        argv = [private, "--pdeathsig", "KILL", *argv]
    ran = process.run(argv, timeout=seconds, env=_environment())
    if ran.returncode:
        raise KscaffoldError(
            "KS071", "git could not do it", cause=_last(ran.stderr) or f"status {ran.returncode}"
        )
    return ran


def _last(said: str) -> str:
    """The line that says why: git's first fatal: or error:, else its last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        for begin in ("fatal: ", "error: ", "ERROR: "):
            if line.startswith(begin):
                return line.removeprefix(begin)
    return lines[-1] if lines else ""


def is_repository(directory: Path) -> bool:
    """Whether a directory is a repository git can fetch from: with a work tree, or bare."""
    if (directory / ".git").exists():
        return True
    return all((directory / part).exists() for part in ("HEAD", "objects", "refs"))


def exclude(file: Path) -> None:
    """Have git pass over a file of ours, by .git/info/exclude: no file of the repository's changes. Nothing
    happens outside of a repository. Raises OSError."""
    top = next((d for d in file.parents if (d / ".git").exists()), None)
    if top is None:
        return
    repository = top / ".git"
    if repository.is_file():  # a worktree, a submodule: gitdir: PLACE, and its commondir has info/
        repository = top / _text(repository).partition("gitdir:")[2].strip()
        repository = repository / _text(repository / "commondir").strip()
    pattern = f"/{file.relative_to(top)}"
    listed = repository / "info" / "exclude"
    text = _text(listed)
    ignored = [d / ".gitignore" for d in file.parents if d.is_relative_to(top)]
    names = {line.strip() for f in ignored for line in _text(f).splitlines()}
    if pattern in text.splitlines() or names & {file.name, pattern} or not repository.is_dir():
        return
    listed.parent.mkdir(exist_ok=True)
    write_whole(listed, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{pattern}\n")


def _text(file: Path) -> str:
    """The whole text of a small file in a repository; empty where there is no such file."""
    try:
        return reader.read_bytes(file).decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""
    except reader.ForeignFileError as error:
        raise OSError(error.what) from None
