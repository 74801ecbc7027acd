"""Objects that a Makefile lists through a variable, obj-m := $(NAME).o: which one, and where it is set."""

import re

from kscaffold.files import reader
from kscaffold.make.report import BuildExplanation
from kscaffold.project.project import Project

# What make says where the name before .o is empty: Kbuild looks for a source of ".o".
_NAMELESS = re.compile(r"No rule to make target [`'](?:[^'\s]*/)?\.(?:o|mod|c)'")
_LISTED = re.compile(r"^(?:obj-m|[\w$(){}-]+-(?:y|objs))\s*[:+?]?=.*?\$[({](\w+)[)}]\.o\b", re.M)


def variable_of(stem: str, project: Project) -> tuple[str, str] | None:
    """The variable whose value is `stem` and by which an object is listed, and its Makefile's name."""
    for file in project.read:
        text = reader.read_text(file)
        for name in re.findall(r"\$[({](\w+)[)}]\.o\b", text):
            if re.search(_set(name, re.escape(stem)), text, re.M):
                return name, file.name
    return None


def nameless_object(line: str, project: Project) -> BuildExplanation | None:
    """The explanation of an object without a name: the variable that should name it is empty when Kbuild
    reads the file.
    """
    if not _NAMELESS.search(line):
        return None
    for file in project.read:
        text = reader.read_text(file)
        for name in dict.fromkeys(_LISTED.findall(text)):
            return _empty(name, text, file.name)
    return None


def _empty(name: str, text: str, file: str) -> BuildExplanation:
    what = "a module without a name"
    setting = re.search(_set(name, r"\S.*?"), text, re.M)
    if setting is None:
        cause = f"{file} lists $({name}).o, and nothing sets {name}"
        fix = f"set it in {file}, or in the environment: {name}=VALUE kscaffold build"
        return BuildExplanation("KS111", what, cause, fix)
    number = text.count("\n", 0, setting.start()) + 1
    cause = f"{file} lists $({name}).o, and {name} is empty there: line {number} sets it where Kbuild, which "
    cause += "reads the file with KERNELRELEASE set, does not come by, or comes by too late"
    fix = f"move line {number}, {setting[0].strip()}, to the top of {file}"
    return BuildExplanation("KS111", what, cause, fix)


def _set(name: str, value: str) -> str:
    return rf"^[ \t]*(?:export\s+)?{name}\s*[:?]*=[ \t]*{value}[ \t]*$"
