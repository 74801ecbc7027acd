"""`kscaffold new --template PATH|GIT-URL`: a template of somebody else."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from kscaffold import console
from kscaffold.cli.documents import project as documents
from kscaffold.cli.external.report import show
from kscaffold.cli.external_options import Given, nested
from kscaffold.errors import EXIT_NO, EXIT_YES, UsageError
from kscaffold.scaffold.external.inspect import Report
from kscaffold.scaffold.external.new import Made, Prompts, TemplateRequest
from kscaffold.scaffold.external.new import new_external as make
from kscaffold.scaffold.external.render import Question
from kscaffold.scaffold.external.trust import UntrustedError

_YES_NO = ("y", "yes", "t", "true", "on", "1", "n", "no", "f", "false", "off", "0")  # cookiecutter's


def wanted_of(
    name: str,
    directory: Path,
    template: str,
    given: Given,
    texts: Mapping[str, str | None],
    git: bool,
) -> TemplateRequest:
    """The options, as the verb wants them. `texts`: --author and such, which are answers, too."""
    answers = {key: text for key, text in texts.items() if text is not None}
    for word in given.answers:
        key, equals, value = word.partition("=")
        if not equals or not key or key in answers:
            raise UsageError(
                "KS078",
                f"{key!a} is answered twice" if key in answers else f"{word!a} is no KEY=VALUE",
                fix="--answer project_name=hello",
            )
        answers[key] = value
    return TemplateRequest(
        name=name,
        directory=directory,
        template=template,
        checkout=given.checkout,
        inside=given.template_dir,
        answers=answers,
        hooks=given.hooks,
        git=git,
    )


def new_foreign(wanted: TemplateRequest, trust: bool, interactive: bool) -> int:
    """Make a project of a template of others, once the user trusts it."""
    asks = console.can_ask() and not console.json_mode

    def trusts(report: Report) -> bool:
        if trust:
            return True
        if not asks:
            raise UntrustedError(report, _command(wanted))
        show(report, wanted.hooks)
        if report.extensions and not wanted.hooks:
            return True  # which the verb refuses, with the reason: nothing to ask
        return console.ask(f"Make {wanted.name} from it?", "no").lower() in ("y", "yes")

    def line(text: str) -> None:
        console.note(f"  | {console.printable(text)}")

    ask = _ask(wanted) if interactive and asks else None
    try:
        made = make(wanted, Prompts(console.step, trusts, ask, line))
    except UntrustedError as error:
        show(error.report, wanted.hooks)
        console.failure(error, "new", {"report": asdict(error.report)})
        return error.exit_code
    if made is None:
        console.note("nothing was made")
        return EXIT_NO
    _tell(made, wanted)
    return EXIT_YES


def _tell(made: Made, wanted: TemplateRequest) -> None:
    shown = shlex.quote(str(wanted.directory / made.name))
    commit = f" at {made.report.commit[:12]}" if made.report.commit else ""
    count = len([name for name in made.files if not name.startswith(".kscaffold")])
    files = "1 file" if count == 1 else f"{count} files"
    console.step("Created", f"{shown}: {files} from {made.report.source}{commit}")
    report = made.report
    if report.hooks and not wanted.hooks:
        names = ", ".join(hook.file for hook in report.hooks)
        console.warn(f"not run: {names}", fix="make it again with --hooks, if it misses what they do")
    if len(report.choices) > 1:
        console.warn(
            f"the source has several templates; {report.directory} was taken",
            fix="--template-dir " + " or ".join(c for c in report.choices if c != report.directory),
        )
    for pair in made.alike:
        console.warn(f"names that differ in case only: {' '.join(map(shlex.quote, pair))}")
    if made.lost:
        console.warn(f"left out: what a hook made outside of the project: {' '.join(made.lost)}")
    if not made.base:
        console.warn("its files are too large to be kept as they were made: updates will be conflicts")
    if made.secret:
        console.note("the password is not kept; kscaffold update needs one that git knows by itself")
    if wanted.git and not made.repository:
        console.note(nested(shown))
    if made.builds:
        where = shlex.quote(str(wanted.directory / made.name / made.builds[0]))
        console.step("Next", f"cd {where} && kscaffold build")
    else:
        console.warn(
            "it has neither a Kbuild nor a Makefile that sets obj-m, so there is nothing to build yet",
            fix=f"kscaffold adopt {shown}, once it has sources",
        )
    console.emit("new", True, documents.new_external(made, wanted.hooks))


def _command(wanted: TemplateRequest) -> str:
    """The command, with --trust."""
    words = ["kscaffold", "new", wanted.name, "--template", wanted.template]
    if wanted.directory != Path():
        words += ["--directory", str(wanted.directory)]
    for option, value in (("--checkout", wanted.checkout), ("--template-dir", wanted.inside)):
        words += [option, value] if value else []
    for key, value in wanted.answers.items():
        words += ["--answer", f"{key}={value}"]
    words += ["--hooks"] * wanted.hooks + ["--git"] * wanted.git
    return shlex.join([*words, "--trust"])


def _ask(
    wanted: TemplateRequest,
) -> Callable[[Callable[[Mapping[str, str]], list[Question]]], Mapping[str, str]]:
    """Ask for what was not given. A default can follow from an answer, so the rest is looked up again."""

    def ask(look: Callable[[Mapping[str, str]], list[Question]]) -> Mapping[str, str]:
        given: dict[str, str] = {}
        done: set[str] = set(wanted.answers)
        asked = look(given)
        while left := [q for q in asked if q.name not in done]:
            question = left[0]
            done.add(question.name)
            default = _default(question)
            answer = _one(question, default)
            if answer != default:
                given[question.name] = answer
                asked = look(given)
        return given

    return ask


def _default(question: Question) -> str:
    if isinstance(question.default, bool):
        return "yes" if question.default else "no"
    if isinstance(question.default, dict):
        return json.dumps(question.default)
    return str(question.default)


def _one(question: Question, default: str) -> str:
    """Ask one question until the answer is one that it takes."""
    text = console.printable(question.prompt)
    words = [str(choice) for choice in question.choices]
    if words:
        text += f" ({', '.join(map(console.printable, words))})"
    elif question.kind != "text":
        text += f" ({question.kind})"
    while True:
        answer = console.ask(text, default)
        if not words and (question.kind == "text" or answer == default):
            return answer
        if answer in words or (question.kind == "yes/no" and answer.lower() in _YES_NO):
            return answer
        if question.kind == "JSON" and _is_object(answer):
            return answer
        console.note(f"  {console.printable(answer)} is none of these")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
