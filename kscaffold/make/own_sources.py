"""What the sources of a project say of a name that its build failed on."""

import re

from kscaffold.files import reader
from kscaffold.files.tree import below
from kscaffold.project.project import Project


def sources(project: Project) -> list[str]:
    """The texts of the sources of the project's modules, of those that are there."""
    stems = {t.directory / o.removesuffix(".o") for t in project.targets for o in t.objects}
    files = [f for stem in sorted(stems) if (f := stem.with_name(f"{stem.name}.c")).is_file()]
    return [reader.read_text(f) for f in files]


def type_of(variable: str, project: Project) -> str:
    """The struct or union that a variable of the project is; empty where no source says so."""
    declared = re.compile(rf"\b((?:struct|union)\s+\w+)\s+{re.escape(variable)}\s*[;=,\[]")
    found = (hit[1] for text in sources(project) if variable and (hit := declared.search(text)))
    return " ".join(next(found, "").split())


def is_own(name: str, project: Project) -> bool:
    """Whether a source or header of the project declares the function."""
    declared = re.compile(rf"^\w[^;={{(\n]*\b{re.escape(name)}\s*\(", re.M)
    return any(declared.search(reader.read_text(f)) for f in below(project.directory, "*.[ch]"))


def defined_in(symbol: str, project: Project) -> str | None:
    """The C file of the project that defines a function and is in none of its modules; None for no file."""
    linked = {str(t.directory / o)[:-2] for t in project.targets for o in t.objects}
    head = re.compile(rf"^(?!static)\w[\w\s*]{{0,200}}\b{re.escape(symbol)}\s*\([^;\n]*$", re.M)
    for source in sorted(below(project.directory, "*.c")):
        if str(source)[:-2] not in linked and head.search(reader.read_text(source)):
            return str(source.relative_to(project.directory))
    return None
