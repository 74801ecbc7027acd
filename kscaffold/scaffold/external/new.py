"""`new` with a template of somebody else: any cookiecutter template, none of its code unless allowed."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from kscaffold.files import atomic_dir, git
from kscaffold.project.find import is_project
from kscaffold.records import dataclass, field, replace
from kscaffold.scaffold.external import answers as external_answers
from kscaffold.scaffold.external import source, validate
from kscaffold.scaffold.external.copy import copy_template
from kscaffold.scaffold.external.inspect import Report, check_is_one, inner, inspect_source
from kscaffold.scaffold.external.render import Job, Question, questions, render
from kscaffold.scaffold.external.trust import may_run_code
from kscaffold.scaffold.kbuild import names
from kscaffold.scaffold.metadata import base, keep


@dataclass(frozen=True, slots=True)
class TemplateRequest:
    """A request for a project from a template of others. `directory`: its parent. `template`: a path or a
    URL.

    `checkout`: a branch, tag or commit; `inside`: the template's directory within what is fetched;
    `hooks`: the template's own code may run; `git`: begin a repository.
    """

    name: str
    directory: Path
    template: str
    checkout: str | None = None
    inside: str | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    hooks: bool = False
    git: bool = False


@dataclass(frozen=True, slots=True)
class Prompts:
    """How the verb speaks with the user.

    `step`: says one. `trusts`: shown the report, whether to go on; or raises. `ask`: the questions that
    are still open, and how to ask them again after some answers; gives the answers. `line`: of a hook.
    """

    step: Callable[[str, str], None]
    trusts: Callable[[Report], bool]
    ask: Callable[[Callable[[Mapping[str, str]], list[Question]]], Mapping[str, str]] | None
    line: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A project that was made. `files`: relative to `path`, sorted, with what is kept of it. `builds`: the
    directories in it that have something for make, relative to `path`. `alike`: files that differ in case
    only. `lost`: what a hook made beside the project. `repository`: whether one was begun. `base`: whether
    the files are kept as they were made, for updates. `secret`: whether the source had a password that was
    not kept."""

    name: str
    path: Path
    report: Report
    files: tuple[str, ...]
    builds: tuple[str, ...]
    alike: tuple[tuple[str, ...], ...]
    lost: tuple[str, ...]
    repository: bool
    base: bool
    secret: bool


def new_external(wanted: TemplateRequest, prompts: Prompts) -> Made | None:
    """Make a project: `wanted.directory`/NAME appears whole, or not at all. None: the user declined.

    Raises UsageError for what can't be asked for and where the template is at fault, KscaffoldError where
    it can't be fetched, a limit or a hook ended it, OSError where the place can't be written to.
    """
    names.check_name(wanted.name)
    target = Path(os.path.realpath(wanted.directory)) / wanted.name
    names.check_place(target)
    if wanted.inside:
        inner(wanted.inside)
    external_answers.check_texts(wanted.answers)
    repository = wanted.git and git.possible(target)
    with atomic_dir.hidden_beside(target) as hidden:
        came, report = inspect_template(wanted, hidden, prompts.step)
        if not prompts.trusts(report):
            return None
        job = prepare(wanted, report, came, hidden, prompts.line)
        work = job.work
        if prompts.ask is not None:
            answers = prompts.ask(lambda given: questions(_answered(job, given)))
            job = _answered(job, answers)
        try:
            rendered = render(job)
            project = rendered.project
            files = validate.validate_output(project, work / "out", hooks=wanted.hooks)
            template = external_answers.template(wanted.name, came, report, wanted.checkout, wanted.hooks)
            template |= external_answers.visible_facts(project, job.facts)
            has_base = keep.keep_settings(project, template, external_answers.given_answers(rendered.answers))
            if repository:
                git.init(project)
            found = [str(d.relative_to(project)) for d in (project, *sorted(project.iterdir())) if d.is_dir()]
            builds = tuple(d for d in found if is_project(project / d))
            lost = tuple(sorted(p.name for p in (work / "out").iterdir() if not project.is_relative_to(p)))
            atomic_dir.publish_directory(project, target)
        finally:
            if wanted.hooks:
                open_up(work)
    alike = tuple(validate.same_name(files))
    secret = source.hide_password(wanted.template) != wanted.template
    files = tuple(sorted({*files, *(f for f in keep.FILES if has_base or f != base.FILE)}))
    return Made(wanted.name, target, report, files, builds, alike, lost, repository, has_base, secret)


def inspect_template(
    wanted: TemplateRequest, hidden: Path, step: Callable[[str, str], None]
) -> tuple[source.Origin, Report]:
    """Fetch a template into `hidden`, copy it to `hidden`/template, and find out what it is."""
    came = source.fetch_template(wanted.template, wanted.checkout, hidden / "fetched", step)
    check_is_one(came.directory / (wanted.inside or ""), came.shown)
    taken = copy_template(came.directory, hidden / "template")
    return came, inspect_source(came, taken, wanted.inside)


def prepare(
    wanted: TemplateRequest, report: Report, came: source.Origin, hidden: Path, line: Callable[[str], None]
) -> Job:
    """The job of rendering a template that was inspected and is trusted. Raises UsageError KS079 where the
    template can't do without its code.
    """
    may_run = may_run_code(report, wanted.hooks)
    work = hidden / "work"
    work.mkdir()
    parent = os.path.realpath(wanted.directory)
    local = came.directory if came.kind == "directory" else hidden / "template"
    facts = {
        "_template": str(local / report.directory) if report.choices else report.source,
        "_output_dir": parent,
        "_repo_dir": str(local / report.directory) if came.kind != "directory" else _as_given(wanted, report),
        "_checkout": wanted.checkout,
    }
    repo = hidden / "template" / report.directory
    return Job(wanted.name, repo, work, dict(wanted.answers), facts, may_run, line)


def _as_given(wanted: TemplateRequest, report: Report) -> str:
    """The template's directory as cookiecutter would name it."""
    if report.choices:
        return str(Path(wanted.template).expanduser().resolve() / report.directory)
    return os.path.join(wanted.template, report.directory) if report.directory else wanted.template  # noqa: PTH118


def _answered(job: Job, answers: Mapping[str, str]) -> Job:
    return replace(job, answers={**job.answers, **answers})


def open_up(directory: Path) -> None:
    """A hook may have left directories that can't be removed as they are."""
    for where, inside, _ in os.walk(directory):
        for name in inside:
            path = Path(where, name)
            if not path.is_symlink():
                path.chmod(0o700)
