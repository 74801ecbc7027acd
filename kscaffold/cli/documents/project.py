"""JSON of `new`, `update`, `adopt` and `kbuild`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kscaffold.scaffold.adopt.adopt import Adoption
    from kscaffold.scaffold.create.new import Created
    from kscaffold.scaffold.create.render import Template
    from kscaffold.scaffold.external.new import Made
    from kscaffold.scaffold.kbuild.edit import Edited
    from kscaffold.scaffold.update.update import Update

Document = dict[str, Any]


def new(created: "Created") -> Document:
    """`new`."""
    return {
        "name": created.name,
        "path": str(created.path),
        "template": created.template,
        "module": created.module,
        "files": list(created.files),
    }


def new_list(found: "Sequence[Template]") -> Document:
    """`new --list`."""
    return {"templates": [{"name": t.name, "about": t.about} for t in found]}


def new_external(made: "Made", hooks: bool) -> Document:
    """`new --template PATH|GIT-URL`. `hooks`: the template's hooks were allowed."""
    return {
        "name": made.name,
        "path": str(made.path),
        "template": made.report.source,
        "module": None,
        "files": list(made.files),
        "builds": list(made.builds),
        "hooks_run": hooks and bool(made.report.hooks),
        "report": asdict(made.report),
    }


def update(done: "Update", origin: Document | None) -> Document:
    """`update`. `origin`: what a template of others says of itself, None for one of ours."""
    return {
        "directory": str(done.directory),
        "template": done.template,
        "before": done.before,
        "after": done.after,
        "base": done.base,
        "up_to_date": not done.steps,
        "marked": list(done.marked),
        "files": [
            {
                "path": s.path,
                "change": s.kind,
                "why": s.why,
                "target": s.target,
                "written": s.target is not None and s.target in done.written,
            }
            for s in done.steps
        ],
        "diff": done.diff,
        "backup": str(done.backup) if done.backup else None,
        "origin": origin,
    }


def adopt(adopted: "Adoption") -> Document:
    """`adopt`."""
    project, problem, proposal = adopted.project, adopted.problem, adopted.proposal
    return {
        "directory": str(adopted.directory),
        "kbuild": str(project.kbuild_file) if project else None,
        "modules": [
            {
                "name": t.name,
                "path": str(t.ko),
                "objects": list(t.objects),
                "missing": list(adopted.missing.get(t.ko, ())),
            }
            for t in (project.targets if project else ())
        ],
        "flags": [
            {"directory": str(d), "variable": name, "value": value}
            for d, name, value in (project.flags if project else ())
        ],
        "own_way": adopted.own_way,
        "unused": [str(p) for p in adopted.unused],
        "habits": [
            {
                "kind": f.habit.kind,
                "file": str(f.file),
                "line": f.habit.line,
                "text": f.habit.text,
                "message": f.habit.message,
                "fix": f.habit.fix,
                "mendable": f.mendable,
                "mended": f.mended,
            }
            for f in adopted.deprecations
        ],
        "proposal": {
            "text": proposal.text,
            "modules": [{"name": m.name, "objects": list(m.objects or (m.name,))} for m in proposal.modules],
            "unsure": list(proposal.unsure),
        }
        if proposal
        else None,
        "problem": {"code": problem.code, "message": problem.what, "cause": problem.cause, "fix": problem.fix}
        if problem
        else None,
        "diff": adopted.diff,
        "written": [str(p) for p in adopted.written],
    }


def kbuild(edited: "Edited", diff: str) -> Document:
    """`kbuild add-object`, `add-module` and `rename`."""
    return {
        "directory": str(edited.project.directory),
        "file": str(edited.change.path),
        "diff": diff,
        "modules": [
            {"name": t.name, "path": str(t.ko), "objects": list(t.objects)} for t in edited.project.targets
        ],
        "notes": list(edited.notes),
    }
