"""`kscaffold new`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kscaffold import console
from kscaffold.cli import external_options, options
from kscaffold.cli import typer_later as typer
from kscaffold.cli.documents import project as documents
from kscaffold.errors import EXIT_YES, UsageError

if TYPE_CHECKING:
    from kscaffold.scaffold.create.new import Created

_Objs = Annotated[
    list[str] | None,
    typer.Option(
        "--objs", metavar="A,B", help="Link NAME.ko from A.c and B.c (repeatable); A.c has init and exit."
    ),
]
_Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME:TYPE[@PERM][=DEFAULT][:TEXT]",
        help="A module parameter (repeatable); int[4] is an array.",
    ),
]

_NoTests = Annotated[bool, typer.Option("--no-tests", help="Leave the directory tests out.")]
_Template = Annotated[
    str | None, typer.Option("--template", "-t", help="See --list; or a cookiecutter template's PATH or URL.")
]

_LICENSE = "GPL-2.0-only"


def new(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The module: NAME.ko, in the new directory NAME.")
    ] = None,
    directory: Annotated[
        Path, typer.Option("--directory", "-C", metavar="DIR", help="Where to make it.")
    ] = Path(),
    template: _Template = None,
    objs: _Objs = None,
    param: _Param = None,
    author: Annotated[str | None, typer.Option(help="For MODULE_AUTHOR; else as git knows you.")] = None,
    description: Annotated[str | None, typer.Option(help="For MODULE_DESCRIPTION.")] = None,
    license: Annotated[str, typer.Option(help="An SPDX licence, or mit, bsd for dual ones.")] = _LICENSE,
    interactive: Annotated[bool, typer.Option("-i", help="Ask for the texts, on a terminal.")] = False,
    no_tests: _NoTests = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the templates.")] = False,
    git: external_options.Git = False,
    trust: external_options.Trust = False,
    hooks: external_options.Hooks = False,
    answer: external_options.Answer = None,
    checkout: external_options.Checkout = None,
    template_dir: external_options.TemplateDir = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Make a new module project. It gets source, Kbuild, Makefile, README, licence."""
    if list_:
        return _list()
    if name is None:
        raise UsageError("KS004", "missing argument NAME", fix="kscaffold new hello")
    theirs = external_options.Given(trust, hooks, tuple(answer or ()), checkout, template_dir)
    if template is not None and _is_foreign(template):
        given = {"objs": objs, "param": param, "license": license != _LICENSE, "no-tests": no_tests}
        external_options.refuse(given)
        from kscaffold.cli.external.new import new_foreign, wanted_of  # start-up time

        texts = {"author": author, "description": description}
        return new_foreign(wanted_of(name, directory, template, theirs, texts, git), trust, interactive)
    theirs.refuse()
    from kscaffold.scaffold.create import params  # start-up time
    from kscaffold.scaffold.create.new import ProjectRequest
    from kscaffold.scaffold.create.new import new as make

    if interactive and sys.stdin.isatty():
        author, description = _ask(name, author, description)
    created = make(
        ProjectRequest(
            name=name,
            directory=directory,
            template=template,
            objects=tuple(o.strip() for each in objs or () for o in each.split(",")),
            parameters=tuple(params.parse_parameter(p) for p in param or ()),
            author=author,
            description=description,
            license=license,
            git=git,
            tests=not no_tests,
        )
    )
    return _report(created, directory, git)


def _report(created: "Created", directory: Path, git: bool) -> int:
    shown = shlex.quote(str(directory / created.name))
    console.step("Created", f"{shown}: {created.module} from {', '.join(created.sources)}")
    if git and not created.repository:
        console.note(external_options.nested(shown))
    console.step("Next", f"cd {shown} && kscaffold {_next(created)}")
    console.emit("new", True, documents.new(created))
    return EXIT_YES


def _next(created: "Created") -> str:
    """The command to try now. Where the usual kernel is built without what the project needs, it names one
    that is here and has it, or fetches a full one.
    """
    if not created.needs:
        return "load"
    from kscaffold.kernel.choose import find_kernel  # start-up time: most templates need nothing
    from kscaffold.kernel.config import read_config
    from kscaffold.kernel.device_classes import kernel_with

    option = created.needs.removeprefix("CONFIG_")
    usual = find_kernel(None)
    if usual is None or (usual.build and read_config(usual.build).value(option)):
        return "test"
    other = kernel_with(option)
    if other is not None:
        return f"test --kernel {other.release}"
    console.note(f"it needs {created.needs}, which {usual.name} is built without; a full kernel has it")
    flavour = usual.release.rpartition("cloud-")[2] if "cloud-" in usual.release else "NAME"
    return f"kernel add --flavour {flavour}"


def _is_foreign(template: str) -> bool:
    from kscaffold.scaffold.create import render  # start-up time
    from kscaffold.scaffold.external.source import is_foreign

    return is_foreign(template) and template not in {t.name for t in render.templates()}


def _ask(name: str, author: str | None, description: str | None) -> tuple[str, str]:
    """The texts that were not given as options. An empty answer takes what is shown."""
    from kscaffold.scaffold.create.author import default_author  # start-up time

    if description is None:
        description = console.ask("Description", f"The {name} kernel module")
    if author is None:
        author = console.ask("Author", default_author())
    return author, description


def _list() -> int:
    from kscaffold.scaffold.create.render import templates  # start-up time

    found = templates()
    width = max(len(t.name) for t in found)
    for template in found:
        console.out(f"{template.name:<{width}}  {template.about}")
    console.emit("new", True, documents.new_list(found))
    return EXIT_YES
