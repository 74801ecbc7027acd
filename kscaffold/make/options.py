"""What a source can't have from a kernel that is built without an option, or that keeps it to itself."""

import re
from collections.abc import Mapping

from kscaffold.arch import table
from kscaffold.files import reader
from kscaffold.files.tree import below
from kscaffold.kernel import store
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.choose import of_machine
from kscaffold.kernel.config import read_config
from kscaffold.kernel.device_classes import lacking_option, where_to_find
from kscaffold.kernel.symvers import read_symvers
from kscaffold.make.kernel_api import guard_of, header_defining, header_of
from kscaffold.make.report import BuildExplanation
from kscaffold.project.project import Project
from kscaffold.records import replace


def without_option(found: BuildExplanation, name: str, header: str, tree: BuildTree) -> BuildExplanation:
    """The explanation that a kernel is built without a class of devices. It names the option where the
    header tells which one that is.
    """
    option = lacking_option(header, tree.directory) or guard_of(name, header, tree)
    found = replace(found, fix=where_to_find(option, tree))
    if option is None:
        return found
    cause = f"{name} of {header} belongs to {option}"
    return replace(found, what=f"kernel {tree.name} is built without {option}", cause=cause)


def stub_without_option(
    plain: BuildExplanation, name: str, project: Project, tree: BuildTree
) -> BuildExplanation | None:
    """The explanation of a function that is defined although a header of the project has an empty one in its
    place, for kernels without an option, as this one is. None where no header has.
    """
    config = read_config(tree.directory)
    if not config.known:
        return None
    for header in below(project.directory, "*.h"):
        option = _stub(name, reader.read_text(header))
        if option and config.value(option.removeprefix("CONFIG_")) not in ("y", "m"):
            cause = f"{header.relative_to(project.directory)} has a {name}() for kernels without {option}"
            what = f"kernel {tree.name} is built without {option}"
            return replace(plain, what=what, cause=cause, fix=where_to_find(option, tree))
    return None


def _stub(name: str, text: str) -> str | None:
    """The option without which a header defines an inline function of this name."""
    open_: list[tuple[str, bool]] = []  # options, and whether the lines are for kernels that have it
    for line in text.splitlines():
        if begun := re.match(r"\s*#\s*if(n?)(?:def)?\b(.*)", line):
            option = re.search(r"\bCONFIG_\w+", begun[2])
            open_.append((option[0] if option else "", not begun[1] and "!" not in begun[2]))
        elif re.match(r"\s*#\s*else\b", line) and open_:
            kept, has = open_.pop()
            open_.append((kept, not has))
        elif re.match(r"\s*#\s*endif\b", line) and open_:
            open_.pop()
        elif re.match(rf"\s*static\b.*\binline\b.*\b{re.escape(name)}\s*\(", line):
            return next((option for option, has in reversed(open_) if option and not has), None)
    return None


def absent_member(
    plain: BuildExplanation, groups: Mapping[str, str], tree: BuildTree
) -> BuildExplanation | None:
    """The explanation of a member that the struct has only with an option; `plain` where it never has it."""
    member, kind = (groups.get(word, "").split(", ")[0] for word in ("member", "type"))
    header = header_defining(kind, tree) if kind.startswith(("struct ", "union ")) else None
    option = guard_of(member, header, tree) if header and member else None
    if header is None or option is None:
        return plain
    what = f"kernel {tree.name} is built without {option}"
    cause = f"{member} of {kind} in {header} belongs to {option}"
    return replace(plain, what=what, cause=cause, fix=where_to_find(option, tree))


def unexported(plain: BuildExplanation, symbol: str, tree: BuildTree) -> BuildExplanation | None:
    """The explanation of a symbol that a header declares and that the kernel does not export; None where no
    header does.
    """
    function = header_of(symbol, tree)
    header = function or header_defining(symbol, tree)
    if header is None:
        return None
    shown = f"{symbol}()" if function else symbol
    cause = (
        f"{shown} is declared in {header}, and kernel {tree.name} is built without it, or keeps it to itself"
    )
    found = without_option(replace(plain, cause=cause), symbol, header, tree)
    if found.cause == cause and (release := _exporter(symbol, tree)):
        cause = f"{shown} is declared in {header}, and kernel {tree.name} does not export it; {release} does"
        fix = f"do without it, or build for a kernel that exports it: --kernel {release}"
        return replace(found, cause=cause, fix=fix)
    return found


def _exporter(symbol: str, tree: BuildTree) -> str | None:
    """The release of a kernel here that exports a symbol, for the same machine."""
    machine = next((a for a in table.every() if a.kbuild == tree.kbuild), None)
    for kernel in of_machine(store.known(), machine):
        file = kernel.build / "Module.symvers" if kernel.build else None
        exports = read_symvers(file) if file and file.is_file() else None
        if exports and exports.find_export(symbol):
            return kernel.release
    return None
