"""First errors that carry their own explanation: the text of #error, and permissions that sysfs refuses."""

import re
from pathlib import Path

from kscaffold.files import reader
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.report import BuildExplanation
from kscaffold.project.configure import maker_of_kbuild
from kscaffold.project.makefile import leads_to_kbuild
from kscaffold.records import replace

_DIRECTIVE = re.compile(r"#\s*error\s+(?P<text>.+)")
_CLANG_DIRECTIVE = re.compile(r"^\s*\d+ \|\s*#\s*error\b")
_ERROR = re.compile(r"^(?P<place>\S+?:\d+)(?::\d+)?: (?:fatal )?error: (?P<text>.*)")
_USED = re.compile(r"^(?P<place>[^/\s]\S*?:\d+)(?::\d+)?: note: (?:in expansion of|expanded from) macro")
_OCTAL = re.compile(r"\b0[0-7]{3,4}\b|\bS_I(?:WUGO|RWXUGO|ALLUGO|WOTH|RWXO)\b")
RULE_FAILED = re.compile(
    r"make(?:\[\d+\])?: \*\*\* "
    r"\[(?:(?:(?P<place>[^/\s]\S*:\d+)|<builtin>): )?(?P<target>[^\s\]]+)\] Error \d+"
)
"""How make tells of a rule that failed; a relative place is in the project."""
# What make says of itself: where it goes, and that an outer rule fails with an inner one.
_OF_MAKE = re.compile(r"make(?:\[\d+\])?: (?:(?:Entering|Leaving) directory |\*\*\* \[)")
_OF_ABSENCE = ("KS107", "KS111", "KS118")
_USAGE = re.compile(r"Usage: (?:\S*/)?make \[")
_NO_RULE = re.compile(r"make(?:\[\d+\])?: \*\*\* (?P<text>No rule to make target .*?)\.?\s+Stop\.$")
_NO_PROGRAM = re.compile(
    r"(?:make(?:\[\d+\])?|\S*sh): (?:line )?(?:\d+: )?(?P<name>[\w.+-]{1,100}): "
    r"(?:No such file or directory|(?:command )?not found)$"
)
_NOT_THERE = re.compile(
    r"\S*sh: (?:line )?(?:\d+: )?(?P<file>\./[\w./-]{1,200}): (?:No such file or directory|not found)"
)
# How make tells of $(error TEXT) and of $(warning TEXT) where the text is a heading of its own.
_STOPPED = re.compile(r"^(?P<file>[^/\s:]\S*?):(?P<line>\d+): \*\*\* (?P<text>.*?)\s+Stop\.$")
_WARNED = re.compile(r"^(?P<file>[^/\s:]\S*?):\d+: \*\*\* (?P<text>.*?)\s*$")


def stopped_by_source(block: list[str], tree: BuildTree) -> BuildExplanation | None:
    """The explanation of an `#error TEXT`: the text says why. `block`: an error's line and what the
    compiler shows below it.
    """
    error = _ERROR.match(block[0]) if block else None
    if error is None:
        return None
    directive = _DIRECTIVE.match(error["text"])
    if directive is None and not any(_CLANG_DIRECTIVE.match(line) for line in block[1:2]):
        return None
    said = (directive["text"] if directive else error["text"]).strip()
    if len(said) > 1 and said[0] == said[-1] == '"':
        said = said[1:-1]
    return BuildExplanation(
        "KS107", "the source stops the build itself", f"{error['place']}: {said}", _asked(said, tree)
    )


def _asked(said: str, tree: BuildTree) -> str:
    """The advice on an #error. Where the text names an option, it depends on whether the kernel has that."""
    option = re.search(r"\bCONFIG_\w+", said)
    config = tree.directory / "include/config/auto.conf"
    if option is None or not config.is_file():
        return "do what it asks for, then build again"
    if re.search(rf"^{option[0]}=", reader.read_text(config), re.M):
        return f"look at the #if before it: kernel {tree.name} has {option[0]}"
    return (
        f"kernel {tree.name} is built without {option[0]}: do what the text asks for, or build for a "
        "kernel that has the option"
    )


_INITIALIZER = re.compile(r"\bstruct\s+(\w+)\s+\w+(?:\[\w*\])?\s*=\s*\{")


def permissions_refused(block: list[str]) -> BuildExplanation | None:
    """The explanation of permissions that VERIFY_OCTAL_PERMISSIONS() refuses; the compiler speaks of a
    bit-field's width or of a static assertion.
    """
    text = "\n".join(block)
    if "VERIFY_OCTAL_PERMISSIONS" not in text:
        return None
    place, mode = "", ""
    for i, line in enumerate(block):
        if used := _USED.match(line):
            place = used["place"]
            shown = _OCTAL.search(" ".join(block[i + 1 : i + 2]))
            mode = shown[0] if shown else mode
    what = f"{mode or 'these permissions'} in {place}" if place else mode or "these permissions"
    if re.search(r"\(perms\) & 2\b|[Ww]orld writable", text) or _lets_all_write(mode):
        cause = f"{what}: everybody may write, which the kernel refuses for files in sysfs"
        fix = "write 0644 instead, or 0444 where nothing is to be written"
        return BuildExplanation("KS107", "permissions that the kernel refuses", cause, fix)
    cause = f"{what}: others may do more than the owner or the group, which the kernel refuses in sysfs"
    return BuildExplanation(
        "KS107", "permissions that the kernel refuses", cause, "write 0644, 0444 or 0200, as it is meant"
    )


def struct_set(lines: list[str], directory: Path) -> str | None:
    """The struct whose member a line of the source sets, by the variable that it is in: a compiler tells the
    member's name and type only. None where the line is not in an initializer.
    """
    at = re.match(r"([^/\s:]\S*):(\d+):\d+: error: initialization of ", "".join(lines[:1]))
    file = directory / at[1] if at else None
    if at is None or file is None or not file.is_file():
        return None
    before = reader.read_text(file).splitlines()[: int(at[2])]
    for i, line in reversed([*enumerate(before)]):
        if start := _INITIALIZER.search(line):
            above = "\n".join([line[start.start() :], *before[i + 1 : -1]])
            # Where it ended before, the line is a macro that makes a struct of its own.
            return start[1] if i == len(before) - 1 or above.count("{") > above.count("}") else None
    return None


def failed_before_kbuild(lines: list[str], directory: Path) -> BuildExplanation | None:
    """The explanation of a project's own make that failed before it came to Kbuild: the text by which a
    Makefile stops it, the rule that failed, or the command that did.
    """
    if (
        found := _unmade_script(lines, directory)
        or stopped_by_makefile(lines)
        or _rule_failed(lines, directory)
        or _absent_script(lines, directory)
    ):
        return found
    start = max((i for i, line in enumerate(lines) if line.startswith("$ ")), default=None)
    said = [line.strip() for line in lines[start + 1 :] if line.strip()] if start is not None else []
    if start is None or not said:
        return None
    command = lines[start].removeprefix("$ ")
    what = f"{command.partition(' ')[0]} failed before anything was built"
    return BuildExplanation("KS107", what, said[-1], f"mend what it asks for; it was called as: {command}")


def _unmade_script(lines: list[str], directory: Path) -> BuildExplanation | None:
    """The explanation of a command that calls a script which another program makes first: a configure, most
    often.
    """
    made = maker_of_kbuild(directory) if (file := _absent(lines, directory)) else None
    if made is None:
        return None
    cause = f"{made[0]} is to make it, and has not been run"
    fix = f"{made[1]} (in the project), then build again"
    return BuildExplanation("KS107", f"{file} is not there", cause, fix)


def _absent_script(lines: list[str], directory: Path) -> BuildExplanation | None:
    """The explanation of a command that calls a script of the project which is not there."""
    if file := _absent(lines, directory):
        cause = "a command of its build calls it"
        return BuildExplanation("KS107", f"{file} is not there", cause, f"write {file}")
    return None


def _absent(lines: list[str], directory: Path) -> str | None:
    called = next(filter(None, map(_NOT_THERE.match, lines)), None)
    return called["file"] if called and not (directory / called["file"]).exists() else None


def stopped_by_makefile(lines: list[str]) -> BuildExplanation | None:
    """The explanation of $(error TEXT), with the $(warning)s that end in it."""
    for i, line in enumerate(lines):
        stop = _STOPPED.match(line)
        if stop is None:
            continue
        words = [stop["text"]]
        for before in reversed(lines[:i]):
            warned = _WARNED.match(before)
            if warned is None or warned["file"] != stop["file"]:
                break
            words.insert(0, warned["text"])
        said = " ".join(words).rstrip(". ")
        fix = f"do what it asks for; {stop['file']}, line {stop['line']} says when it stops"
        where = f"{stop['file']}:{stop['line']}"
        return BuildExplanation("KS107", "its Makefile stops the build itself", f"{where}: {said}", fix)
    return None


def _rule_failed(lines: list[str], directory: Path) -> BuildExplanation | None:
    """The explanation of a failed rule of the project's own Makefile: make's line names the rule, and the
    line before says why, or a compiler's error before that.
    """
    for i, line in enumerate(lines):
        failed = RULE_FAILED.match(line)
        if failed is None:
            continue
        before = [text.strip() for text in lines[:i] if text.strip() and not _OF_MAKE.match(text)]
        target, of_compiler = failed["target"], next(filter(None, map(_ERROR.match, before)), None)
        said = of_compiler[0] if of_compiler else _last_said(before)
        where = f"{failed['place']}: " if failed["place"] and not of_compiler else ""
        cause = f"{where}{said or 'its commands say nothing'}"
        fix = f"make {target} shows it alone; mend what it needs, then build again"
        if no_rule := _NO_RULE.match(said):
            cause = no_rule["text"]
        if (program := _NO_PROGRAM.match(said)) and not (directory / program["name"]).exists():
            cause = f"{where}it runs {program['name']}, which is not on this machine"
            fix = f"install {program['name']}, then build again"
        if empty := _empty_submodules(directory):
            cause = f"{cause}; {', '.join(empty)} is empty: a submodule that was not fetched"
            fix = "git submodule update --init, then build again"
        if of_compiler and (alone := _led_alone(directory)):
            fix = f"that is a program beside the module: install what it needs; or kscaffold build -C {alone}"
        return BuildExplanation("KS107", f"the rule for {target} failed", cause, fix)
    return None


def _last_said(lines: list[str]) -> str:
    """What was said last; where a make tells its usage, what it says before that."""
    usage = next((i for i, line in enumerate(lines) if i and _USAGE.match(line)), None)
    return lines[usage - 1] if usage else "".join(lines[-1:])


def with_submodules(found: BuildExplanation, directory: Path) -> BuildExplanation:
    """The explanation, which names the submodules that were not fetched where it tells of what is not there,
    or of nothing in particular.
    """
    empty = _empty_submodules(directory) if found.code in _OF_ABSENCE else ()
    if not empty:
        return found
    cause = f"{', '.join(empty)} is empty: a submodule that was not fetched"
    cause = f"{found.cause}; {cause}" if found.cause else cause
    return replace(found, cause=cause, fix="git submodule update --init, then build again")


def _empty_submodules(directory: Path) -> list[str]:
    """The directories that git keeps for other repositories, and that have nothing in them."""
    listed = directory / ".gitmodules"
    text = reader.read_text(listed) if listed.is_file() else ""
    names = re.findall(r"^[ \t]*path[ \t]*=[ \t]*(\S+)", text, re.M)
    return [n for n in names if not (directory / n).is_dir() or not any((directory / n).iterdir())]


def _led_alone(directory: Path) -> str | None:
    """The one directory below whose own make comes to Kbuild; None where there is none, or several."""
    found = [d for d in sorted(directory.iterdir()) if d.is_dir() and leads_to_kbuild(d)]
    return found[0].name if len(found) == 1 else None


def _lets_all_write(mode: str) -> bool:
    return bool(int(mode, 8) & 2) if mode.isdecimal() else mode.startswith("S_I")
