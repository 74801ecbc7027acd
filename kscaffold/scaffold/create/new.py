"""`new`: a project that builds, loads and says something, from nothing."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import UsageError
from kscaffold.files import atomic_dir, git
from kscaffold.records import dataclass, replace
from kscaffold.scaffold.create import escape, licence, params, render
from kscaffold.scaffold.create.author import default_author
from kscaffold.scaffold.kbuild import generate, names
from kscaffold.scaffold.metadata import keep

# A template that needs objects or parameters and gets none shows its subject with these.
_OBJECTS = ("main", "util")
_PARAMETERS = (
    params.TemplateParameter("howmany", "int", 0o444, "1", "how many there are"),
    params.TemplateParameter("whom", "charp", 0o444, "world", "who is greeted"),
    params.TemplateParameter("loud", "bool", 0o644, None, "whether to shout"),
    params.TemplateParameter("quiet", "invbool", 0o444, "y", "the opposite of a variable"),
    params.TemplateParameter("channel", "byte", 0o444, "7", "0 to 255"),
    params.TemplateParameter("offset", "short", 0o444, "-1", "16 bits, signed"),
    params.TemplateParameter("port", "ushort", 0o444, "80", "16 bits, unsigned"),
    params.TemplateParameter("flags", "hexint", 0o444, "0xff", "32 bits, shown in hexadecimal"),
    params.TemplateParameter("limit", "uint", 0o444, "1000", "32 bits, unsigned"),
    params.TemplateParameter("balance", "long", 0o444, "-5", "as wide as a register, signed"),
    params.TemplateParameter("bytes", "ulong", 0o444, "4096", "as wide as a register, unsigned"),
    params.TemplateParameter("serial", "ullong", 0o444, "0x123456789", "64 bits on every machine"),
    params.TemplateParameter("sizes", "int", 0o444, "1,2", "up to four sizes", 4),
)
_CODE = params.TemplateParameter("code", "int", 0o444, "0", "what init returns")
# What the README tells of the parameters that a template has by itself.
_SHOWN = {
    "params": _PARAMETERS,
    "timer": (params.TemplateParameter("period", "uint", 0o444, "1000", "milliseconds from tick to tick"),),
    "block": (params.TemplateParameter("megabytes", "uint", 0o444, "4", "size of the disk"),),
}


@dataclass(frozen=True, slots=True)
class ProjectRequest:
    """A request for a new project. `directory`: its parent. A field that is None was not given. `tests`:
    whether the project gets the tests of its template.
    """

    name: str
    directory: Path
    template: str | None = None
    objects: tuple[str, ...] = ()
    parameters: tuple[params.TemplateParameter, ...] = ()
    author: str | None = None
    description: str | None = None
    license: str = "GPL-2.0-only"
    git: bool = False
    tests: bool = True


@dataclass(frozen=True, slots=True)
class Created:
    """A project that was made. `module`: the file it builds. `files`: relative to `path`, sorted. `needs`: an
    option that its kernels must be built with, or "".
    """

    name: str
    path: Path
    template: str
    module: str
    sources: tuple[str, ...]
    files: tuple[str, ...]
    repository: bool = False
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A request that was found good and complete. `answers`: what makes the same request again.

    `values`: the variables of the templates. `linked`: the modules in the Kbuild text.
    """

    name: str
    template: str
    sources: tuple[str, ...]
    licence: licence.Licence
    values: dict[str, Any]
    linked: tuple[generate.ModuleSpec, ...]
    tests: bool
    needs: str
    answers: dict[str, Any]


def new(wanted: ProjectRequest) -> Created:
    """Make a project: `wanted.directory`/NAME appears whole, or not at all.

    Raises UsageError before anything is touched, OSError where the place can't be written to.
    """
    planned = plan(wanted)
    target = Path(os.path.realpath(wanted.directory)) / wanted.name
    names.check_place(target)
    repository = wanted.git and git.possible(target)
    with atomic_dir.hidden_beside(target) as hidden:
        project = fill(planned, hidden)
        keep.keep_settings(project, {"name": planned.template}, planned.answers)
        files = _apply_umask(project)
        if repository:
            git.init(project)
        atomic_dir.publish_directory(project, target)
    module = f"{wanted.name}.ko"
    return Created(
        wanted.name, target, planned.template, module, planned.sources, files, repository, planned.needs
    )


def plan(wanted: ProjectRequest) -> Planned:
    """Find out what is to be made, whatever place it will have. Raises UsageError."""
    template = render.template(_choose(wanted))
    chosen = template.name
    modules = _modules(wanted.name, template)
    objects = wanted.objects or (_OBJECTS if chosen == "multi" else ())
    names.check_objects(wanted.name, objects)
    main, *others = objects or (wanted.name,)
    parameters = wanted.parameters or _shown(chosen, main)
    arrays = any(p.count for p in parameters)
    params.check_parameters(parameters, [*_c_names(wanted.name, objects), *(["i"] if arrays else [])])
    licensed = licence.find_licence(wanted.license)
    author = _text("author", wanted.author) if wanted.author is not None else default_author()
    described = wanted.description if wanted.description is not None else f"The {wanted.name} kernel module"
    description = _text("description", described)
    for parameter in parameters:
        _text(f"parameter {parameter.name}", parameter.description + (parameter.default or ""))

    named = {"name": wanted.name, "kernel_name": normalize_name(wanted.name), "main": main}
    sources = [f"{stem}.c" for stem in (main, *others)] + [f"{wanted.name}.h"] * bool(others)
    sources = [source.format(**named) for source in template.sources] or sources
    values = {
        **named,
        "ident": names.identifier(wanted.name),
        "author": author,
        "description": description,
        "spdx": licensed.spdx,
        "license": licensed.module,
        "_others": [{"stem": o, "ident": names.identifier(o)} for o in others],
        "_parameters": list(parameters),
        "_arrays": arrays,
        "_showcase": chosen == "params" and not wanted.parameters,
        "_sources": sources,
        "_modules": [{"name": m, "kernel_name": normalize_name(m)} for m in modules],
        "_try": [line.format(**named) for line in template.tries],
        "_tests": wanted.tests,
        "_code": _code_of(main),
        "_needs": template.needs,
    }
    linked = (generate.ModuleSpec(wanted.name, objects), *(generate.ModuleSpec(m) for m in modules[1:]))
    # The parameters that a template shows by itself are its own, and follow it: they are no answer.
    asked = replace(
        wanted,
        template=chosen,
        objects=objects,
        author=author,
        description=description,
        license=licensed.spdx,
    )
    return Planned(
        wanted.name,
        chosen,
        tuple(sources),
        licensed,
        values,
        linked,
        wanted.tests,
        template.needs,
        _answers(asked),
    )


def _modules(name: str, template: render.Template) -> list[str]:
    """The modules of a project of this name. Raises UsageError where one can't have its name."""
    modules = [name, *(name + end for end in template.modules)]
    for module in modules:
        names.check_name(module)
    return modules


def fill(planned: Planned, into: Path) -> Path:
    """Make the project's directory, `into`/NAME, with all that the template gives."""
    _render(planned.template, planned.values, into)
    project = into / planned.name
    if not planned.tests:
        shutil.rmtree(project / "tests", ignore_errors=True)
    spdx = planned.licence.spdx
    _write(project / "Kbuild", generate.kbuild(planned.linked, spdx))
    _write(project / "Makefile", generate.makefile(spdx))
    text = render.licence_text(planned.licence.texts, escape.plain(planned.values["author"]))
    _write(project / "LICENSE", text)
    _apply_umask(project)  # before a base is made of it: a template's mode is that of its installation
    return project


def _answers(asked: ProjectRequest) -> dict[str, Any]:
    """The request, in values that TOML has; rerender.py makes a ProjectRequest of them again."""
    parameters = [
        {
            "name": p.name,
            "type": p.shown_type,
            "permission": f"{p.permission:04o}",
            **({} if p.default is None else {"default": p.default}),
            "description": p.description,
        }
        for p in asked.parameters
    ]
    return {
        "name": asked.name,
        "objects": list(asked.objects),
        "author": asked.author,
        "description": asked.description,
        "license": asked.license,
        "tests": asked.tests,
        "parameters": parameters,
    }


def _choose(wanted: ProjectRequest) -> str:
    """The template: the one that was asked for, else the one that the other options imply."""
    if wanted.template is None:
        return "params" if wanted.parameters else "multi" if wanted.objects else "single"
    chosen = render.template(wanted.template)
    for option, given in (("objs", wanted.objects), ("param", wanted.parameters)):
        if not given or option in chosen.takes:
            continue
        several = option == "objs" and "obj" in chosen.takes
        if several and len(given) == 1:
            continue
        raise UsageError(
            "KS022",
            f"the template {chosen.name} can't use --{option}{' with several files' * several}",
            fix=f"--objs {wanted.objects[0]}"
            if several
            else "leave --template out: the other options imply it",
        )
    return chosen.name


def _c_names(module: str, objects: tuple[str, ...]) -> list[str]:
    """The C names the sources use besides the parameters."""
    ident = names.identifier(module)
    taken = [f"{ident}_init", f"{ident}_exit", "err"]
    for other in objects[1:]:
        taken += [f"{names.identifier(other)}_start", f"{names.identifier(other)}_stop"]
    return taken


def _shown(template: str, main: str) -> tuple[params.TemplateParameter, ...]:
    """The parameters that a template has by itself."""
    if template == "returns":
        return (replace(_CODE, default=str(_code_of(main))),)
    return _SHOWN.get(template, ())


def _code_of(source: str) -> int:
    """The number that init of a source of the template `returns` returns: -1 for ret-1, 0 for other names."""
    found = re.fullmatch(r"ret-([1-9][0-9]{0,2})", source)
    return -int(found[1]) if found else 0


def _text(what: str, text: str) -> str:
    """A free text: any but what a C string can't hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("KS024", f"the {what} is not UTF-8", fix="type it again in UTF-8") from None
    if "\0" in text:
        raise UsageError("KS024", f"the {what} has a NUL character", cause="it would end the text in C")
    return text


def _render(chosen: str, values: dict[str, Any], into: Path) -> None:
    render.render("common", values, into)
    render.render(chosen, values, into)
    if values["_others"]:
        render.render("header", values, into)
    for other in values["_others"]:
        render.render("object", {**values, **other}, into)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _apply_umask(project: Path) -> tuple[str, ...]:
    """Give every file and directory the user's own mode (cookiecutter copies that of its template, which
    may be read-only), and list the files."""
    mask = os.umask(0)
    os.umask(mask)
    files = []
    for where, _, inside in os.walk(project):
        Path(where).chmod(0o777 & ~mask)
        for name in inside:
            path = Path(where, name)
            path.chmod(0o666 & ~mask)
            files.append(str(path.relative_to(project)))
    return tuple(sorted(files))
