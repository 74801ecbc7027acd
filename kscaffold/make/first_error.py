"""First errors that carry their own explanation: the text of #error, and permissions that sysfs refuses."""

import re

from kscaffold.files import reader
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.report import BuildExplanation

_DIRECTIVE = re.compile(r"#\s*error\s+(?P<text>.+)")
_CLANG_DIRECTIVE = re.compile(r"^\s*\d+ \|\s*#\s*error\b")
_ERROR = re.compile(r"^(?P<place>\S+?:\d+)(?::\d+)?: (?:fatal )?error: (?P<text>.*)")
_USED = re.compile(r"^(?P<place>[^/\s]\S*?:\d+)(?::\d+)?: note: (?:in expansion of|expanded from) macro")
_OCTAL = re.compile(r"\b0[0-7]{3,4}\b|\bS_I(?:WUGO|RWXUGO|ALLUGO|WOTH|RWXO)\b")
RULE_FAILED = re.compile(
    r"make(?:\[\d+\])?: \*\*\* \[(?:(?P<place>[^/\s]\S*:\d+): )?(?P<target>[^\s\]]+)\] Error \d+"
)
"""How make tells of a rule that failed; a relative place is in the project."""


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


def rule_failed(lines: list[str]) -> BuildExplanation | None:
    """The explanation of a failed rule of the project's own Makefile, before make came to Kbuild: make's
    line names the rule, and the line before says why.
    """
    for i, line in enumerate(lines):
        if failed := RULE_FAILED.match(line):
            said = next((text.strip() for text in reversed(lines[:i]) if text.strip()), "")
            where = f"{failed['place']}: " if failed["place"] else ""
            target = failed["target"]
            return BuildExplanation(
                "KS107",
                f"the rule for {target} failed",
                f"{where}{said or 'its commands say nothing'}",
                f"make {target} shows it alone; mend what it needs, then build again",
            )
    return None


def _lets_all_write(mode: str) -> bool:
    return bool(int(mode, 8) & 2) if mode.isdecimal() else mode.startswith("S_I")
