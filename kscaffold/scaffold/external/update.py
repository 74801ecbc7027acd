"""A template of others rendered once more, for `kscaffold update`: fetched again, and trusted again."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import atomic_dir, paths, tree
from kscaffold.files.tree import File
from kscaffold.records import dataclass, replace
from kscaffold.scaffold.external import answers as external_answers
from kscaffold.scaffold.external import source, validate
from kscaffold.scaffold.external.inspect import Report, inner
from kscaffold.scaffold.external.new import TemplateRequest, inspect_template, open_up, prepare
from kscaffold.scaffold.external.render import Rendered, render
from kscaffold.scaffold.external.trust import may_run_code
from kscaffold.scaffold.metadata import answers
from kscaffold.scaffold.metadata.answers import ProjectAnswers


@dataclass(frozen=True, slots=True)
class RerenderReport:
    """What became of the template. `before`, `after`: commits of git. `added`: the default answers to
    questions that the earlier template did not ask. `dropped`: answers to questions that the later one does
    not ask. `hooks_missing`: hooks worked on the project once, and did not now: the template has none, or
    --no-hooks was given.
    """

    report: Report
    checkout: str | None
    before: str | None
    after: str | None
    added: Mapping[str, Any]
    dropped: tuple[str, ...]
    hooks_run: bool
    hooks_missing: bool


@dataclass(frozen=True, slots=True)
class UpdatePrompts:
    """What the user allows, and how the verb speaks with them.

    `hooks`: the template's own code may run; None: nothing was said of it. `checkout`: another branch, tag
    or commit. `changed`: names of answers that were changed. `step`: reports a step. `trusts`: gets the
    report and the commit before, and raises where the user does not trust them. `line`: gets each line that
    a hook prints. `report`: gets what became of the template.
    """

    hooks: bool | None
    checkout: str | None
    changed: tuple[str, ...]
    step: Callable[[str, str], None]
    trusts: Callable[[Report, str | None], None]
    line: Callable[[str], None]
    report: Callable[[RerenderReport], None]

    def refuse(self) -> None:
        """Raise UsageError KS078 where any of these was given: kscaffold's own templates take none."""
        for option, value in (("hooks", self.hooks), ("checkout", self.checkout)):
            if value:
                raise UsageError(
                    "KS078",
                    f"--{option} is for templates of others",
                    cause="this project is of one of kscaffold's own",
                    fix="leave it out",
                )


def rerender_external(
    project: Path, project_answers: ProjectAnswers, prompts: UpdatePrompts
) -> tuple[dict[str, File], ProjectAnswers]:
    """The files the template gives now, and what to keep.

    Raises UsageError: KS051 where the answers are not good, KS054 for a changed one that nothing asks for,
    KS057 where it is open whether hooks that ran for this project may run again, and as `new` does;
    KscaffoldError: KS056 where the template can't be had, and as `new` does.
    """
    wanted = _wanted(project, project_answers, prompts)
    state = paths.project_state(project)
    paths.make_own(state)
    with atomic_dir.hidden_beside(state / "rendered") as hidden:
        try:
            came, report = inspect_template(wanted, hidden, prompts.step)
        except KscaffoldError as error:
            if error.code not in ("KS071", "KS072"):
                raise
            raise _gone(wanted, error) from None
        before = project_answers.template.get("commit")
        prompts.trusts(report, before)
        made_with_hooks = bool(project_answers.template.get("hooks"))
        may_run_code(report, prompts.hooks, ran_before=made_with_hooks)
        job = prepare(wanted, report, came, hidden, prompts.line)
        facts = {k: v for k, v in project_answers.template.get("facts", {}).items() if k in job.facts}
        if wanted.hooks:
            facts.pop("_repo_dir", None)  # a hook may read files there
        job = replace(job, facts={**job.facts, **facts}, older=True)
        try:
            made = _render(job.work / "out", lambda: render(job), wanted.hooks)
            files = tree.read_tree_files(made.project)
            facts = external_answers.visible_facts(made.project, job.facts)
        finally:
            if wanted.hooks:
                open_up(job.work)
    _check(made, prompts)
    given = external_answers.given_answers(made.answers)
    template = external_answers.template(wanted.name, came, report, wanted.checkout, wanted.hooks)
    template = {**template, "source": project_answers.template["source"], **facts}
    prompts.report(
        RerenderReport(
            report,
            wanted.checkout,
            before,
            came.commit,
            {k: v for k, v in given.items() if k not in project_answers.given},
            made.dropped,
            template["hooks"],
            made_with_hooks and not template["hooks"],
        )
    )
    files = {path: file for path, file in files.items() if tree.is_inside(path)}
    return files, replace(project_answers, template=template, given=given)


def _wanted(project: Path, project_answers: ProjectAnswers, prompts: UpdatePrompts) -> TemplateRequest:
    said = project_answers.template
    for key in ("source", "project", "commit", "checkout", "directory"):
        if key in said and not isinstance(said[key], str):
            raise answers.damaged(project, f"[template]: {key} is no text")
    facts = said.get("facts", {})
    if not isinstance(facts, dict) or not all(isinstance(v, str) for v in facts.values()):
        raise answers.damaged(project, "[template]: facts are no table of texts")
    if "directory" in said:
        inner(said["directory"])
    return TemplateRequest(
        name=said.get("project", project.name),
        directory=Path(os.path.realpath(project.parent)),
        template=source.lasting(said["source"], project),
        checkout=prompts.checkout or said.get("checkout"),
        inside=said.get("directory"),
        answers={key: external_answers.raw(value) for key, value in project_answers.given.items()},
        hooks=bool(prompts.hooks),
    )


def _render(out: Path, work: Callable[[], Rendered], hooks: bool) -> Rendered:
    """Render and settle. An answer that was good once may be none now."""
    try:
        made = work()
    except UsageError as error:
        if error.code != "KS078":
            raise
        raise UsageError(
            "KS078",
            error.what,
            cause="the template takes the answer that is kept no more",
            fix="kscaffold update --set KEY=VALUE",
        ) from None
    validate.validate_output(made.project, out, hooks=hooks)
    return made


def _check(made: Rendered, prompts: UpdatePrompts) -> None:
    for key in prompts.changed:
        if key in made.dropped:
            raise UsageError(
                "KS054",
                f"{key!a} is no answer that can be changed",
                cause="the template does not ask for it",
                fix="one of: " + " ".join(made.answers),
            )


def _gone(wanted: TemplateRequest, error: KscaffoldError) -> KscaffoldError:
    fix = "if it is elsewhere now, mend source in .kscaffold.toml"
    if wanted.checkout and "://" in wanted.template:
        fix = f"kscaffold update --checkout REF takes another than {wanted.checkout}; {fix}"
    elif "://" in wanted.template:
        fix = f"git ls-remote {wanted.template}, which must get there without a password typed; {fix}"
    return KscaffoldError(
        "KS056",
        "the template of this project can't be had; nothing was changed",
        cause=": ".join(text for text in (error.what, error.cause) if text),
        fix=fix,
    )
