"""Why a build failed: the catalogue's entry for what make said, made exact by looking at tree and project."""

import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path

from kscaffold import process
from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.catalogue import CatalogueMatch
from kscaffold.files import reader
from kscaffold.files.tree import below
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.api_changes import ApiChange, api_changes, changes_for
from kscaffold.make.first_error import permissions_refused, stopped_by_makefile, stopped_by_source, struct_set
from kscaffold.make.generated import maker_of, of_modpost
from kscaffold.make.kernel_api import (
    USER_SPACE,
    exporters,
    header_defining,
    header_of,
    headers_named,
    is_lacking,
    similar_exports,
    similar_header,
)
from kscaffold.make.listed import nameless_object, variable_of
from kscaffold.make.options import absent_member, stub_without_option, unexported, without_option
from kscaffold.make.other_kernels import of_another_kernel
from kscaffold.make.output import read_complaint, short
from kscaffold.make.own_sources import defined_in, is_own, sources, type_of
from kscaffold.make.report import BuildExplanation, CompilerMessage
from kscaffold.make.unread_flags import knows_extra_cflags, unread_flag
from kscaffold.project.project import Project
from kscaffold.records import replace

_SOURCE_LINE = re.compile(r" *\d+ \|")


def explain_build(
    project: Project, tree: BuildTree, complaints: list[CompilerMessage], lines: list[str]
) -> BuildExplanation:
    """The best explanation of a failed build.

    Of the first error, since later ones are often its consequence: what the catalogue knows of it, or only
    that there are errors.
    """
    lines = [short(line, project.directory) for line in lines]
    findings = [f for f in catalogue.match(lines, "15") if not f.entry.noise]
    first = next((i for i, line in enumerate(lines) if _is_error(line, project)), len(lines))
    # What the compiler shows of the source belongs to the error before it.
    last = first + bool(_SOURCE_LINE.match("".join(lines[first + 1 : first + 2])))
    below = takewhile(lambda line: not _is_error(line, project), lines[first + 1 : first + 40])
    block = [*lines[first : first + 1], *below]
    own = stopped_by_source(block, tree) or permissions_refused(block)
    own = own or unread_flag(block, project, tree)
    if found := own or nameless_object("".join(block[:1]), project):
        return found
    if found := _interface_changed(block, project, tree):
        return found
    # General words, such as make's last ones, tell something only where they are the first error's own.
    known = [f for f in findings if first <= f.first <= last or (f.first < first and not f.entry.vague)]
    if known:
        # Of several for one error the later code is the narrower one, unless it only has general words.
        same = [f for f in known if f.first == known[0].first or known[0].first == first]
        nearest = max(same, key=lambda f: (not f.entry.vague, f.entry.code))
        found = _exactly(nearest, project, tree)
        if found:
            return found
    # Neither the compiler nor the assembler says anything of a namespace.
    if found := _namespace(project, tree):
        return found
    if found := _interface_changed(lines, project, tree):
        return found
    if found := stopped_by_makefile(lines):
        return found
    count = sum(c.level == "error" for c in complaints)
    what = f"{count} error{'s' if count != 1 else ''}" if count else "make failed"
    plain = BuildExplanation("KS107", what, fix="mend the first error, then build again")
    return _swallowed(plain, "".join(lines[first : first + 1]), project)


def _swallowed(plain: BuildExplanation, error: str, project: Project) -> BuildExplanation:
    """A flag that lacks its rest, -I$(UNSET), takes Kbuild's next one for it: -DMODULE, without which
    module.h wants KBUILD_MODFILE."""
    for _, name, value in project.flags if "KBUILD_MODFILE" in error else ():
        flag = value.split()[-1]
        if flag not in ("-I", "-D", "-U", "-include", "-isystem", "-iquote"):
            continue
        rest = re.compile(rf"(?<!\S){flag}\s*\$[({{](\w+)[)}}]\s*(?:#.*)?$", re.M)
        unset = dict.fromkeys(v for f in project.read for v in rest.findall(reader.read_text(f)))
        if unset:
            cause = f"{name} ends with {flag} and nothing: {' or '.join(unset)} is empty"
            fix = f"set it, for example in the environment: {next(iter(unset))}=VALUE kscaffold build"
            return replace(plain, cause=cause, fix=fix)
    return plain


def _is_error(line: str, project: Project) -> bool:
    complaint = read_complaint(line, project.directory)
    return complaint is not None and complaint.level == "error"


def _exactly(found: CatalogueMatch, project: Project, tree: BuildTree) -> BuildExplanation | None:
    """The entry with what tree and project say about this case; None when it does not apply after all."""
    plain = BuildExplanation(found.entry.code, found.entry.title, found.cause, found.fix)
    look = _LOOKS.get(found.entry.code)
    return look(plain, found.groups, project, tree) if look else plain


def _undeclared(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    names = groups.get("function", "").split(", ")
    user = {name: USER_SPACE[name] for name in names if name in USER_SPACE}
    headers = {name: header_of(name, tree) for name in names if name not in user}
    declared = {name: header for name, header in headers.items() if header}
    if not user and not declared:
        cause = f"no header of kernel {tree.name} declares {names[0]}()"
        if found := of_another_kernel(plain, names[0], tree, header_of):
            return found
        return replace(plain, cause=cause, fix=f"correct the name {names[0]}, or declare it if it is yours")
    for name, header in declared.items():
        if is_lacking(name, header, tree) or any(f"<{header}>" in text for text in sources(project)):
            cause = f"{header} is included, and declares {name}() only for some configurations"
            return without_option(replace(plain, cause=cause), name, header, tree)
    causes = [f"{name}() is declared in {header}" for name, header in declared.items()]
    causes += [f"{name}() is part of the C library, which a module can't use" for name in user]
    fixes = [f"#include <{header}>" for header in dict.fromkeys(declared.values())]
    fixes += [f"{better} instead of {name}()" for name, better in user.items()]
    explanation = replace(plain, cause="; ".join(causes), fix=f"write {', '.join(fixes)}")
    return replace(explanation, code="KS117", what=_title("KS117")) if names[0] in user else explanation


def _undefined_name(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    name = (groups.get("name") or groups.get("type", "")).split(", ")[0].removeprefix("const ")
    name = name or type_of(groups.get("variable", "").split(", ")[0], project)
    if not name:
        return plain
    header = header_defining(name, tree)
    if header is None:
        cause = f"nothing that is included has {name}, nor has any header of kernel {tree.name}"
        if found := of_another_kernel(plain, name, tree, header_defining):
            return found
        near = groups.get("near", "").split(", ")[0]
        fix = f"did you mean {near}?" if near else f"correct the name {name}, or declare it if it is yours"
        return replace(plain, cause=cause, fix=fix)
    if is_lacking(name, header, tree) or any(f"<{header}>" in text for text in sources(project)):
        cause = f"{header} is included, and defines {name} only for some configurations"
        return without_option(replace(plain, cause=cause), name, header, tree)
    return replace(plain, cause=f"{name} is defined in {header}", fix=f"write #include <{header}>")


def _taken(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    name = groups.get("name", "").split(", ")[0]
    if found := stub_without_option(plain, name, project, tree):
        return found
    header = header_of(name, tree)
    return replace(plain, cause=f"{name} is the kernel's own, declared in {header}") if header else plain


_NAMESPACE = re.compile(
    r"""^[ \t]*+(MODULE_IMPORT_NS|EXPORT_SYMBOL_NS(?:_GPL)?)\s*\((?:\s*\w+\s*,)?\s*("?)(\w+)"?\s*\)""", re.M
)


def _namespace(project: Project, tree: BuildTree) -> BuildExplanation | None:
    """A namespace's name with quotes where this kernel wants none, or without where it wants them."""
    used = _NAMESPACE.findall(text := "\n".join(sources(project)))
    for macro, quote, name in used:
        change = api_changes()[macro]
        wrong = "" if change.is_in(_version(tree), tree) else '"'
        # Whoever writes it in both ways, or makes a macro of it, knows.
        both = len({q for m, q, _ in used if m == macro}) > 1
        if quote == wrong and not both and not re.search(rf"#\s*define\s+{name}\b", text):
            return _changed(change, tree)
    return None


def _title(code: str) -> str:
    known = catalogue.entry(code)
    return known.title if known else code


def _interface(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    name = groups.get("function", "").split(", ")[0]
    header = None if is_own(name, project) else header_of(name, tree)
    if header is None:
        return None  # a function of the module's own: no interface of the kernel
    return replace(plain, cause=f"{name}() is declared otherwise in {header} of kernel {tree.name}")


def _changed(change: ApiChange, tree: BuildTree) -> BuildExplanation:
    version = _version(tree)
    return BuildExplanation(
        "KS119",
        f"{change.subject} is different in this kernel",
        change.cause(version, tree.name, tree),
        change.fix(version, tree),
    )


def _version(tree: BuildTree) -> tuple[int, ...]:
    return tuple(int(n) for n in tree.version[:2] if n)


def _interface_changed(lines: list[str], project: Project, tree: BuildTree) -> BuildExplanation | None:
    """The first change of the kernel's interface that make's lines are about. A function that the project
    declares itself may well have other arguments than the kernel's."""
    struct = struct_set(lines, project.directory)
    for change in changes_for("\n".join(lines), _version(tree), tree):
        of, dot, _ = change.subject.partition(".")
        if dot and struct not in (None, of):
            continue
        if change.kind != "signature" or not is_own(change.subject, project):
            return _changed(change, tree)
    return None


def _header(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    name = groups.get("header", "").split(", ")[0]
    own = next(
        (p for p in sorted(below(project.directory, Path(name).name)) if str(p).endswith(f"/{name}")), None
    )
    if own is None:
        return _absent_header(plain, name, project, tree)
    place = str(own)[: -len(name)].rstrip("/")
    inside = str(Path(place).relative_to(project.directory))
    flag = f"-I$(src)/{inside}" if inside != "." else "-I$(src)"
    texts = [reader.read_text(f) for f in project.read]
    if any("EXTRA_CFLAGS" in text for text in texts) and not knows_extra_cflags(tree):
        return replace(
            plain,
            cause=f"{name} is in {inside}, and EXTRA_CFLAGS is no longer read since Linux 6.15",
            fix=f"write ccflags-y instead of EXTRA_CFLAGS in {project.kbuild_file.name}",
        )
    return replace(
        plain,
        cause=f"{name} is in {inside}, where the compiler does not look",
        fix=f"add to {project.kbuild_file.name}: ccflags-y += {flag}",
    )


def _absent_header(plain: BuildExplanation, name: str, project: Project, tree: BuildTree) -> BuildExplanation:
    """A header that neither the project nor, under this name, the kernel has."""
    made = maker_of(name, project.directory)
    if made is not None:
        fix = f"{made.command} (in the project), then build again" if made.command else plain.fix
        return replace(plain, cause=f"{name} is not there: {made.cause}", fix=fix)
    if "/" not in name:
        submodule = (project.directory / ".gitmodules").is_file()
        cause = f"{name} is not in the project, and no rule or script of it makes it"
        fix = (
            "git submodule update --init"
            if submodule
            else "see the project's README for what is to run first"
        )
        return replace(plain, cause=cause, fix=f"{fix}, or correct its name; the kernel's are <linux/…>")
    if elsewhere := headers_named(Path(name).name, tree):
        cause = f"kernel {tree.name} has it as {' and '.join(elsewhere)}"
        return replace(plain, cause=cause, fix=f"write #include <{elsewhere[0]}>")
    near = similar_header(name, tree)
    return replace(plain, fix=f"did you mean {near}?") if near else plain


def _no_header(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    """The explanation of a missing header of asm/ or generated/. The tree was checked before the build: it
    has the headers that it should have.
    """
    cause = f"kernel {tree.name} has no {groups.get('header', '').split(', ')[0]}"
    explanation = replace(plain, code="KS118", what=_title("KS118"), cause=cause, fix="correct its name")
    return _header(explanation, groups, project, tree)


def _flag(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    flag = groups.get("flag", "").split(", ")[0]
    own = next((f for f in project.read if flag in reader.read_text(f)), None)
    if own is not None:
        cause = f"{own.name} asks for {flag}, which this compiler does not have"
        return replace(plain, cause=cause, fix=f"take {flag} out of {own.name}")
    named = tree.compiler or tree.built_by.partition(" ")[0]
    if tree.clang or not named or process.which(named):
        return plain
    cause = f"the kernel is built with {flag} by {named}, which is not installed; the gcc used is older"
    package = re.sub(r"^.*-(?=gcc-)", "", named)
    fix = f"sudo apt-get install --no-install-recommends {package}, or build for another kernel (kernel list)"
    return replace(plain, cause=cause, fix=fix)


def _no_source(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    import difflib  # only when a build failed

    stem = groups.get("stem", "").split(", ")[0]
    if made := of_modpost(stem):
        return replace(plain, cause=made[0], fix=made[1])
    other = next(
        (f for s in (".cpp", ".cc", ".cxx", ".s") for f in below(project.directory, f"{stem}{s}")), None
    )
    if other is not None:
        cause = f"{other.name} is there, and Kbuild makes {stem}.o of {stem}.c or {stem}.S only"
        c = f"modules are written in C: write it as {stem}.c"
        return replace(plain, cause=cause, fix=f"mv {other.name} {stem}.S" if other.suffix == ".s" else c)
    there = sorted({p.stem for p in below(project.directory, "*.[cS]") if not p.name.endswith(".mod.c")})
    if stem == "obj" and stem in there:
        cause = "Kbuild looks for the objects of obj.o in obj-y and obj-m, which are its own lists of modules"
        return replace(plain, cause=cause, fix="give the module another name")
    near = difflib.get_close_matches(stem, there, n=1, cutoff=0.6)
    if variable := variable_of(stem, project):
        cause = f"{variable[1]} names it as $({variable[0]}).o, and {variable[0]} is {stem}"
        fix = f"{variable[0]} := {near[0] if near else 'the name of your source, without .c'}"
        return replace(plain, cause=cause, fix=f"create {stem}.c, or write {fix}")
    if not near:
        return plain
    return replace(plain, fix=f"create {stem}.c, or write {near[0]}.o in {project.kbuild_file.name}")


def _undefined(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    symbol = groups.get("symbol", "").split(", ")[0]
    source = defined_in(symbol, project)
    if source:
        cause = f"{source} defines {symbol}, and is not linked into the module"
        return replace(plain, cause=cause, fix=f"add {Path(source).stem}.o to the module's objects")
    beside = exporters(symbol, project.directory)
    if beside:
        cause = f"{beside[0].parent.name} exports {symbol}, and this project does not know of it"
        fix = f"add to {project.kbuild_file.name}: KBUILD_EXTRA_SYMBOLS := {beside[0]}"
        return replace(plain, cause=cause, fix=fix)
    if (found := unexported(plain, symbol, tree)) is not None:
        return found
    near = similar_exports(symbol, tree)
    if near:
        return replace(plain, fix=f"did you mean {' or '.join(near)}?")
    return replace(
        plain, cause=f"kernel {tree.name} does not export {symbol} to modules, nor does a project beside"
    )


def _only_errors(
    plain: BuildExplanation, groups: Mapping[str, str], project: Project, tree: BuildTree
) -> BuildExplanation | None:
    return None  # the complaints are counted instead


_LOOKS: dict[
    str, Callable[[BuildExplanation, Mapping[str, str], Project, BuildTree], BuildExplanation | None]
] = {
    "KS107": _only_errors,
    "KS111": _no_source,
    "KS114": _undefined,
    "KS116": _undeclared,
    "KS118": _header,
    "KS119": _interface,
    "KS122": _flag,
    "KS140": _undefined_name,
    "KS141": _undefined_name,
    "KS142": lambda plain, groups, _, tree: absent_member(plain, groups, tree),
    "KS144": _taken,
    "KS153": _no_header,
}
