"""What a directory builds, asked of make: conditionals, sub-directories, includes and all."""

import re
from pathlib import Path

from kscaffold import process
from kscaffold.errors import EXIT_NO, KscaffoldError
from kscaffold.files import reader
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.kernel.kernel import Kernel
from kscaffold.project.find import checked_path
from kscaffold.project.include import included_names
from kscaffold.project.project import ModuleTarget, Project
from kscaffold.project.trust import require_trusted
from kscaffold.records import replace

ASK = Path(__file__).with_name("ask.mk")
_MARK = "@kscaffold@"
_DEADLINE = 30.0  # seconds; a Kbuild may run programs ($(shell))


def read_project(
    directory: Path,
    kernel: Kernel | None,
    *,
    details: bool = False,
    building: bool = False,
    draft: tuple[Path, Path] | None = None,
) -> Project:
    """What `directory` builds for `kernel`, as make says it; nothing there is changed.

    Without a kernel no CONFIG_ value is set. `details` asks for the flags, too. `building`: rules for what is
    included may run, as Kbuild runs them. `draft`: a Kbuild, there or
    not, and the file whose text is read in its stead. Takes 10 to 40 ms. Raises KscaffoldError: KS101 not a
    project, KS102 a path Kbuild can't take, KS095 somebody else's, KS103 a Makefile make can't read, KS104 no
    module in it; ToolMissingError without make.
    """
    directory = directory.resolve()
    kbuild = draft[0] if draft else kbuild_file(directory)
    if kbuild is None:
        raise KscaffoldError(
            "KS101",
            f"{directory} is not a module project",
            cause="it has neither a Kbuild nor a Makefile",
            fix="kscaffold new NAME",
        )
    checked_path(directory)
    require_trusted(directory, kbuild)
    for name in included_names(reader.read_text(kbuild)) if kbuild.is_file() else ():
        reader.require_plain(directory / name, reader.MOST_TEXT)
    tree = read_tree(kernel.build, kernel.arch) if kernel and kernel.build else None
    asked = process.run(
        [
            *_argv(directory, tree),
            *(["kscaffold-details=y"] if details else []),
            *(["kscaffold-building=y"] if building else []),
            *([f"kscaffold-edited={draft[0]}", f"kscaffold-draft={draft[1]}"] if draft else []),
        ],
        timeout=_DEADLINE,
        # As `cd directory && make` has it; with -C it would be the caller's.
        env=process.environment({**kbuild_environment(tree, kernel), "PWD": str(directory)}),
    )
    if asked.returncode != 0:
        raise _unreadable(directory, asked.stderr)
    project = answered(Project(directory, kbuild, ()), asked.stdout)
    for file in sources_of(project):
        reader.require_plain(file, reader.MOST_TEXT)
    if not project.targets:
        raise _builds_nothing(project, draft)
    return project


def sources_of(project: Project) -> list[Path]:
    """The sources of a project that the compiler would open, whether they are there or not."""
    stems = [t.directory / o.removesuffix(".o") for t in project.targets for o in t.objects]
    return [stem.with_name(stem.name + end) for stem in stems for end in (".c", ".S")]


class UnbuildableError(KscaffoldError):
    """make's answer to what a directory builds is no: nothing, or it can't read the Makefile."""

    exit_code = EXIT_NO


class UnsetOptionError(UnbuildableError):
    """KS104: the modules of a directory are built only where an option is set, and none is."""


def _builds_nothing(project: Project, draft: tuple[Path, Path] | None) -> KscaffoldError:
    """Why nothing is built: often for an option that only a kernel's tree has, or that a Makefile gives on
    make's command line."""
    named = {draft[1]: draft[0]} if draft else {}
    there = project.kbuild_file
    what = f"{there.name if there.is_file() else project.directory} builds no module"
    for file in project.read:
        place = named.get(file, file)
        name = place.relative_to(project.directory) if place.is_relative_to(project.directory) else place
        text = reader.read_text(file) if file.is_file() else ""
        wrong = next((m for m in _LISTS.finditer(text) if not _only_descends(m)), None)
        if wrong and wrong[1] != "obj-m":
            built_in = ", which is for what is built into a kernel" if wrong[1] == "obj-y" else ""
            line = text.count("\n", 0, wrong.start(1)) + 1
            return UnbuildableError(
                "KS104",
                what,
                cause=f"{name}:{line} has {wrong[1]}{built_in}; modules are listed in obj-m",
                fix=f"write obj-m in the place of {wrong[1]}, in line {line} of {name}",
            )
        options = list(dict.fromkeys(re.findall(r"^[ \t]*+obj-\$[({](\w+)[)}]", text, re.M)))
        if options:
            shown = ", ".join(options[:4])
            return UnsetOptionError(
                "KS104",
                what,
                cause=f"the lines of {name} count only where {shown} is m, and nothing says so",
                fix=f"set it in the environment of each command, {options[0]}=m kscaffold build; "
                f"or add a line at the top of {name}: export {options[0]} := m",
            )
        if unset := _unset_variable(text):
            import difflib  # start-up time: only when nothing is built

            name_of, others = unset
            near = difflib.get_close_matches(name_of, others, 1)
            meant = f"write $({near[0]}), which is set there" if near else "write the names of the modules"
            return UnbuildableError(
                "KS104",
                what,
                cause=f"obj-m is $({name_of}) in {name}, and nothing sets {name_of}",
                fix=f"{meant}; or, where a command line gives it: kscaffold build {name_of}=NAME.o",
            )
    return UnbuildableError(
        "KS104",
        what,
        cause=f"make read {there} and found obj-m empty",
        fix=f"add a line to {there.name}: obj-m := NAME.o",
    )


# A list of what is built, under the right name or one near it, as far as its line goes on.
_LISTS = re.compile(
    r"^[ \t]*+(obj-[yY]|objs?[-_]m|obj-mod?|OBJ-M|obj_m)[ \t]*+[:+]?=((?:[^\\\n#]|\\[\s\S])*+)", re.M
)


def _only_descends(listed: re.Match[str]) -> bool:
    """obj-y with nothing but directories: Kbuild looks for modules in those, as it should."""
    words = listed[2].replace("\\\n", " ").split()
    return listed[1] == "obj-y" and all(word.endswith("/") for word in words)


def _unset_variable(text: str) -> tuple[str, list[str]] | None:
    """The variable that a Kbuild's obj-m is taken from and that is not set there, and those that are."""
    used = re.search(r"^[ \t]*+obj-m[ \t]*+[:+?]?=[^#\n]*?\$[({](\w+)[)}]", text, re.M)
    is_set = re.findall(r"^[ \t]*+(?:(?:export|override)[ \t]++)?+(\w+)[ \t]*+[:+?]?=", text, re.M)
    return (used[1], is_set) if used and used[1] not in is_set else None


def kbuild_file(directory: Path) -> Path | None:
    """The file Kbuild reads in a directory, if there is one: Kbuild before Makefile.

    Raises ForeignFileError for one of that name that make would wait for, or never see the end of.
    """
    for file in (directory / "Kbuild", directory / "Makefile"):
        if file.exists() and not file.is_dir():
            reader.require_plain(file, reader.MOST_TEXT)
            return file
    return None


def _argv(directory: Path, tree: BuildTree | None) -> list[str]:
    # Kbuild reads the file from the kernel's tree, from 6.13 on from the module's directory: what is
    # included by a relative name is looked for there.
    where = tree.directory if tree and not tree.reads_kbuild_in_place else directory
    return [
        process.need("make"),
        "-rR",
        "--no-print-directory",
        "-C",
        str(where),
        "-f",
        str(ASK),
        f"M={directory}",
        f"obj={directory}",
        "kscaffold-ask",
    ]


def kbuild_environment(tree: BuildTree | None, kernel: Kernel | None) -> dict[str, str]:
    """The variables that the kernel's top Makefile exports and a module's Kbuild may look at."""
    if tree is None:
        # A single Makefile with `ifneq ($(KERNELRELEASE),)` has its Kbuild part behind it.
        return {"KERNELRELEASE": kernel.release if kernel else "unknown", "srctree": "", "objtree": ""}
    version, patchlevel, sublevel = tree.version
    return {
        "KERNELRELEASE": tree.release,
        "KERNELVERSION": ".".join(filter(None, tree.version)),
        "VERSION": version,
        "PATCHLEVEL": patchlevel,
        "SUBLEVEL": sublevel,
        "ARCH": tree.srcarch,
        "SRCARCH": tree.srcarch,
        "CC": tree.compiler if tree.compiler and process.which(tree.compiler) else "gcc",
        "LD": "ld",
        "CONFIG_SHELL": "sh",
        "srctree": str(tree.source),
        "abs_srctree": str(tree.source),
        "objtree": str(tree.directory),
        "abs_objtree": str(tree.directory),
        "quiet": "quiet_",
        "Q": "@",
    }


def answered(project: Project, stdout: str) -> Project:
    """The project with what make told."""
    targets: dict[Path, ModuleTarget] = {}
    read: dict[Path, None] = {}
    flags: list[tuple[Path, str, str]] = []
    circles: list[Path] = []
    for line in stdout.splitlines():
        mark, *words = line.split() or [""]
        if mark != _MARK or len(words) < 2:
            continue  # the Kbuild's own $(info)
        kind, where, *rest = words
        directory = Path(where)
        if kind == "read":
            read.update((directory / name, None) for name in rest)
        elif kind == "module":
            module, *objects = rest
            stem = module.removesuffix(".o")
            ko = directory / f"{stem}.ko"
            targets.setdefault(
                ko, ModuleTarget(Path(stem).name, tuple(dict.fromkeys(objects)), directory, ko)
            )
        elif kind == "flags":
            flags.append((directory, rest[0], " ".join(rest[1:])))
        elif kind == "circle":
            circles.append(directory / f"{rest[0].removesuffix('.o')}.ko")
    return replace(
        project, targets=tuple(targets.values()), read=tuple(read), flags=tuple(flags), circles=tuple(circles)
    )


def _unreadable(directory: Path, stderr: str) -> KscaffoldError:
    """Make's complaint about the user's file, with the line shown and the mend when it is known."""
    error = re.search(r"^(?P<file>/[^:\n]+):(?P<line>\d+): \*\*\* (?P<text>.*)", stderr, re.M)
    if error is None and (
        missing := re.search(r"^\S+: (/.*)/Makefile: No such file or directory$", stderr, re.M)
    ):
        place = Path(missing[1])
        name = place.relative_to(directory) if place.is_relative_to(directory) else place
        return UnbuildableError(
            "KS159",
            f"{name} has neither a Kbuild nor a Makefile",
            cause=f"{name}/ is listed in obj-m or obj-y, so Kbuild goes there",
            fix=f"write {name}/Kbuild with its own obj-m, or take {name}/ off the list",
        )
    if error is None:
        lines = [line for line in stderr.splitlines() if line.strip() and ": warning: " not in line]
        cause = lines[0] if lines else "make said nothing"
        return UnbuildableError(
            "KS103", f"make can't read what {directory.name} builds", cause=cause, fix=_unset(cause)
        )
    file, number, text = Path(error["file"]), int(error["line"]), error["text"].removesuffix("  Stop.")
    name = file.relative_to(directory) if file.is_relative_to(directory) else file
    what = f"{name}:{number}: {text.strip().rstrip('.')}"
    if "missing separator" in text:
        return missing_separator(file, number, what)
    return UnbuildableError("KS103", what, cause=f"make can't read {name}", fix=f"edit {name}, line {number}")


def _unset(complaint: str) -> str | None:
    """The mend for an include whose place is in a variable that a Makefile beside gives on make's command
    line."""
    found = re.match(r"(/[^:\n]+):(\d+): .*: No such file or directory$", complaint)
    if found is None:
        return None
    line = reader.read_text(Path(found[1])).splitlines()[int(found[2]) - 1 : int(found[2])]
    named = re.findall(r"\$[({](\w+)[)}]", "".join(line))
    return f"if {named[0]} is to be set: {named[0]}=VALUE kscaffold build" if named else None


def missing_separator(file: Path, number: int, what: str) -> KscaffoldError:
    """A command line of a rule without its tab: the commonest slip when a Makefile is pasted."""
    lines = reader.read_text(file).splitlines() if file.is_file() else []
    slips = [n for n in range(number, len(lines) + 1) if is_untabbed_command(lines, n)]
    line = lines[number - 1] if number <= len(lines) else ""
    if number not in slips:
        return UnbuildableError(
            "KS103", what, cause=f"the line is: {line.strip()}", fix=f"edit {file}, line {number}"
        )
    edits = ";".join(rf"{n}s/^ */\t/" for n in slips)
    return UnbuildableError(
        "KS103",
        what,
        cause=f"a command of a rule must start with a tab, this one starts with {_start(line)}",
        fix=f"sed -i '{edits}' {file}",
    )


def _start(line: str) -> str:
    spaces = len(line) - len(line.lstrip(" "))
    return f"{spaces} spaces" if spaces > 1 else "a space" if spaces else f"'{line[:12].strip()}'"


def is_untabbed_command(lines: list[str], number: int) -> bool:
    """Whether line `number` (from 1) reads as a command that follows a rule or another command."""
    line = lines[number - 1]
    command = bool(
        re.match(r" *[@+-]?(?:make|\$[({]MAKE[)}]|sudo|rm|cp|insmod|rmmod|echo|cd|gcc|\$[({]CC[)}])\b", line)
    )
    if not line.startswith(" ") and not command:
        return False
    before = next(
        (p for p in reversed(lines[: number - 1]) if p.strip() and not p.lstrip().startswith("#")), ""
    )
    rule = bool(re.match(r"[^\s#=:][^=#]*:(?![=:])", before))
    return command or (line.startswith(" ") and (rule or before.startswith(("\t", " "))))
