"""Start the process that renders, wait for it, say in words what stopped it."""

import errno
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kscaffold import process
from kscaffold.errors import DeadlineError, KscaffoldError, UsageError
from kscaffold.records import dataclass
from kscaffold.timeouts import seconds

# All that the process, and hooks, get of the environment: no token, no agent, no proxy with a password.
_KEPT = ("PATH", "USER", "LOGNAME", "TERM", "LD_LIBRARY_PATH", "LD_PRELOAD")
_LONGEST_LINE = 2000
# The user's disk is at fault; all else (a name that is too long, a directory that is a file) is the template.
_OF_THE_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a template. `kind`: text, choice, yes/no or JSON."""

    name: str
    kind: str
    default: Any
    choices: tuple[Any, ...]
    prompt: str


@dataclass(frozen=True, slots=True)
class Job:
    """A template to be rendered. `repo`: the template's own directory; `work`: one for us alone.

    `answers`: raw, whatever they hold. `facts`: what cookiecutter adds to the variables (`_template`…).
    `hooks`: whether the template's own code may run. `on_line` gets each line that this code prints.
    `older`: the answers are those of an older version of the template, which may have asked for more.
    """

    name: str
    repo: Path
    work: Path
    answers: Mapping[str, str]
    facts: Mapping[str, Any]
    hooks: bool
    on_line: Callable[[str], None]
    older: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """The result of rendering. `project`: its directory. `answers`: the value of each variable that is
    asked for. `dropped`: answers to questions that the template asks no more.
    """

    project: Path
    answers: Mapping[str, Any]
    dropped: tuple[str, ...]


def questions(job: Job) -> list[Question]:
    """The questions that the template asks, with the defaults that follow from the answers so far."""
    answer = _run_worker(job, only_ask=True)
    return [Question(**{**asked, "choices": tuple(asked["choices"])}) for asked in answer["asked"]]


def render(job: Job) -> Rendered:
    """Render the template below `job.work`/out, which has the project's directory then.

    Raises UsageError where the template or an answer is at fault, KscaffoldError where a limit or a hook
    ended it, OSError where the place is full.
    """
    (job.work / "out").mkdir()
    said = _run_worker(job, only_ask=False)
    return Rendered(Path(said["project"]), said["answers"], tuple(said["dropped"]))


def _run_worker(job: Job, *, only_ask: bool) -> dict[str, Any]:
    nonce = secrets.token_hex(16)
    limit = seconds("HOOKS_TIMEOUT" if job.hooks else "RENDER_TIMEOUT")
    home = job.work / "home"
    home.mkdir(exist_ok=True)
    request = job.work / "request.json"
    request.write_text(
        json.dumps(
            {
                "nonce": nonce,
                "parent": os.getpid(),
                "processor": _processor(limit),
                "only_ask": only_ask,
                "name": job.name,
                "repo": str(job.repo),
                "output": str(job.work / "out"),
                "answers": dict(job.answers),
                "facts": dict(job.facts),
                "hooks": job.hooks,
                "older": job.older,
            }
        ),
        encoding="utf-8",
    )
    answers: list[dict[str, Any]] = []

    def read(line: str) -> None:
        if line.startswith(f"{nonce} "):
            answers.append(json.loads(line.removeprefix(f"{nonce} ")))
        elif line and job.hooks:
            job.on_line(line[:_LONGEST_LINE])

    argv = [sys.executable, "-P", "-m", "kscaffold.scaffold.external.worker", str(request)]
    try:
        status = process.stream(argv, read, timeout=limit, cwd=home, env=_environment(home, job.hooks))
    except DeadlineError:
        raise _too_long(job.hooks, limit, f"did not end within {limit:g} s") from None
    if answers and "failed" not in answers[0]:
        return answers[0]
    if not answers and status == -signal.SIGXCPU:
        raise _too_long(job.hooks, limit, f"used up its {_processor(limit)} s of processor time")
    raise _failure(answers[0] if answers else {"failed": "ended", "text": f"status {status}"}, job)


def _environment(home: Path, hooks: bool) -> dict[str, str]:
    env = {key: os.environ[key] for key in _KEPT if key in os.environ}
    # A hook may commit, with the name that the user's git has; a template has no business at home.
    env["HOME"] = os.environ.get("HOME", str(home)) if hooks else str(home)
    env |= {"TMPDIR": str(home), "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(p) for p in sys.path if p)  # noqa: PTH100
    return env


def _processor(limit: float) -> int:
    """Seconds of processor time: a machine can be crowded, so far less than those on the clock."""
    return 1 + int(limit / 4)


def _too_long(hooks: bool, limit: float, why: str) -> KscaffoldError:
    name = "HOOKS" if hooks else "RENDER"
    return KscaffoldError(
        "KS076",
        f"the template {why}; nothing was made",
        cause="one of its hooks waits or goes on and on" if hooks else "it computes on and on",
        fix=f"KSCAFFOLD_{name}_TIMEOUT={4 * limit:g}, if that is what it needs",
    )


def _failure(answer: Mapping[str, Any], job: Job) -> Exception:
    kind, text = answer["failed"], str(answer.get("text", "")).replace(f"{job.work}/", "")
    if kind == "os":
        if answer["errno"] == errno.EFBIG:
            return _over("it makes a file larger than 64 MiB")
        if answer["errno"] in _OF_THE_PLACE:
            return OSError(answer["errno"], os.strerror(answer["errno"]))
        return _fault("template", text, answer)
    if kind == "limit":
        return _over(text)
    if kind == "ended":
        return KscaffoldError("KS076", "rendering the template ended without a word", cause=text)
    if kind == "hook":
        return KscaffoldError(
            "KS077",
            "a hook of the template failed; nothing was made",
            cause=text,
            fix="leave --hooks out, or look at what the hook wants",
        )
    if kind in ("unknown", "answer"):
        return UsageError(
            "KS078",
            text if kind == "answer" else f"the template has no variable {text!a}",
            fix="it asks for: " + " ".join(answer["known"]) if kind == "unknown" else "--answer KEY=VALUE",
        )
    return _fault(kind, text, answer)


def _fault(kind: str, text: str, answer: Mapping[str, Any]) -> UsageError:
    """The error that the template itself is to blame for."""
    if kind == "name":
        return UsageError(
            "KS075",
            f"the template would make a file named {text!a}",
            cause="nothing goes outside of the new directory, into .git, or over another file of it",
            fix="an answer can be the reason: --answer KEY=VALUE; else tell the template's author",
        )
    if kind == "sandbox":
        return UsageError(
            "KS075",
            "the template reaches for what it has no business with; nothing was made",
            cause=text,
            fix="don't use it, unless you know why it does so and trust its author: --hooks",
        )
    if kind == "tops":
        many = f"it has several: {text}" if text else "it has no directory named like {{cookiecutter.…}}"
        return UsageError("KS071", "this is no cookiecutter template", cause=many, fix="--template-dir DIR")
    where = str(answer.get("where") or "")
    return UsageError(
        "KS074",
        "the template can't be rendered" + (f": {where.removeprefix('./')}" if where else ""),
        cause=text,
        fix="tell its author, or give it what it wants: --answer KEY=VALUE",
    )


def _over(why: str) -> KscaffoldError:
    return KscaffoldError(
        "KS076", "the template is beyond all bounds; nothing was made", cause=why, fix="don't use it"
    )
