"""A module that lists itself among its objects: make drops the circle and never compiles its source."""

import re
from pathlib import Path

from kscaffold.files import reader
from kscaffold.files.text_change import TextChange
from kscaffold.project.project import ModuleTarget
from kscaffold.scaffold.adopt.deprecated import DeprecatedLine


def circle(target: ModuleTarget, text: str) -> tuple[DeprecatedLine, TextChange | None]:
    """The habit of a target that lists itself, and the renaming of its source that the mend needs."""
    own = re.escape(target.name)
    lines = text.split("\n")
    message = f"{target.name}.ko lists {target.name}.o, which is itself: make drops the circle"
    new = _free_stem(target)
    listing = re.compile(rf"^\s*{own}-(?:objs|y|m)\s*[:+]?=")
    word = re.compile(rf"(?<![\w./$-]){own}\.o(?![\w.-])")
    number = next((n for n, line in enumerate(lines, 1) if listing.match(line) and word.search(line)), None)
    if number is None:  # spelled by a variable, or on a continued line
        fix = f"rename {target.name}.c, to {new}.c say, and list {new}.o in its place"
        return DeprecatedLine("circle", 1, "", message, fix, None), None
    line = lines[number - 1]
    if target.objects == (f"{target.name}.o",) and not line.endswith("\\"):
        return DeprecatedLine(
            "circle", number, line, message, f"delete the line: {target.name}.c is the source", ""
        ), None
    source = target.directory / f"{target.name}.c"
    fix = f"rename {target.name}.c to {new}.c, and list {new}.o in its place"
    if not source.is_file() or _is_named_elsewhere(source, text):
        return DeprecatedLine("circle", number, line, message, fix, None), None
    mended = listing.match(line)
    assert mended
    head, rest = line[: mended.end()], line[mended.end() :]
    habit = DeprecatedLine("circle", number, line, message, fix, head + word.sub(f"{new}.o", rest))
    return habit, TextChange(source.with_name(f"{new}.c"), "", "", source=source)


def _free_stem(target: ModuleTarget) -> str:
    taken = {o.removesuffix(".o") for o in target.objects}
    names = (f"{target.name}_{end}" for end in ("main", "core", "module", "source"))
    free = (n for n in names if n not in taken and not (target.directory / f"{n}.c").exists())
    return next(free, f"{target.name}_own")


def _is_named_elsewhere(source: Path, text: str) -> bool:
    """Whether another file there includes the source, or the Kbuild has options for its object."""
    if re.search(rf"CFLAGS_(?:REMOVE_)?{re.escape(source.stem)}\.o|\b{re.escape(source.name)}\b", text):
        return True
    others = [p for p in source.parent.glob("*.[ch]") if p != source]
    return any(f'"{source.name}"' in reader.read_text(p) for p in others)
