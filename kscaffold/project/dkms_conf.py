"""dkms.conf, read: as text, where nothing may be run, and as dkms reads it, for a kernel."""

import re
from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.records import dataclass

_DEADLINE = 20.0  # seconds
# dkms(8) sources the file by bash with these variables set; each array is printed entry by entry.
_SCRIPT = r"""
cd "$1" || exit 1
. ./dkms.conf >/dev/null || exit 1
for name in PACKAGE_NAME PACKAGE_VERSION PRE_BUILD MAKE MAKE_MATCH BUILT_MODULE_NAME BUILT_MODULE_LOCATION \
    BUILD_EXCLUSIVE_KERNEL BUILD_EXCLUSIVE_KERNEL_MIN BUILD_EXCLUSIVE_KERNEL_MAX BUILD_EXCLUSIVE_ARCH \
    BUILD_EXCLUSIVE_CONFIG; do
    declare -n array=$name
    for index in "${!array[@]}"; do
        printf '%s\0%s\0%s\0' "$name" "$index" "${array[$index]}"
    done
done
"""


@dataclass(frozen=True, slots=True)
class DkmsConf:
    """What a dkms.conf says for one kernel: `make` and `before` are shell lines, None where it has none."""

    values: dict[str, dict[int, str]]
    make: str | None
    before: str | None
    exclusion: str | None


def configures_build(directory: Path) -> str | None:
    """Why dkms.conf, read as text, asks for more than Kbuild alone; None where it does not."""
    text = _text(directory)
    if before := re.search(r"^[ \t]*PRE_BUILD=[\"']?([^\"'\n]+)", text, re.M):
        return f"dkms.conf runs {before[1].strip()} first"
    made = re.search(r"^[ \t]*MAKE(?:\[0\])?=(.*)", text.replace("\\\n", " "), re.M)
    if made is None:
        return None
    command = made[1]
    if re.search(r"configure|autogen|\.sh\b|cmake|meson", command):
        return "dkms.conf configures first"
    names = re.findall(
        r"(?<![\w$])([A-Za-z_]\w*)=(?![\"']?\S{0,256}(?:kernel|PWD|pwd|dkms_tree|build))", command
    )
    names = [
        n for n in names if not re.fullmatch(r"M|SUBDIRS|ARCH|CC|LD|LLVM|V|KERNELRELEASE|KV\w*|K\w*DIR", n)
    ]
    if names:
        return f"dkms.conf gives make {', '.join(dict.fromkeys(names))}"
    inside = re.search(r"-C\s*[\"']?([\w.-][\w./-]*)|\bcd\s+[\"']?([\w./-]+)", command)
    return f"dkms.conf builds in {inside[1] or inside[2]}" if inside else None


def has_make(directory: Path) -> bool:
    """Whether a dkms.conf there says how to build."""
    return bool(re.search(r"^[ \t]*(?:MAKE(?:\[\d+\])?|PRE_BUILD)=", _text(directory), re.M))


def read_dkms_conf(directory: Path, place: Path, release: str, tree: Path, arch: str) -> DkmsConf:
    """What dkms.conf says for a kernel; its shell code is run. `place`: a directory for links that stand for
    dkms's own tree. Raises KscaffoldError KS103 where bash can't read it."""
    _stand_for_dkms(directory, place)
    given = {
        "kernelver": release,
        "kernel_source_dir": str(tree),
        "arch": arch,
        "dkms_tree": str(place / "dkms"),
        "source_tree": str(place / "src"),
        "PWD": str(directory),
    }
    argv = [process.need("bash"), "-c", _SCRIPT, "bash", str(directory)]
    asked = process.run(argv, timeout=_DEADLINE, env=process.environment(given), cwd=directory)
    if asked.returncode != 0:
        said = asked.stderr.strip().splitlines() or ["bash said nothing"]
        raise KscaffoldError("KS103", f"bash can't read {directory / 'dkms.conf'}", cause=said[0])
    values: dict[str, dict[int, str]] = {}
    words = asked.stdout.split("\0")
    for name, index, value in zip(words[::3], words[1::3], words[2::3], strict=False):
        values.setdefault(name, {})[int(index)] = value
    # Which the file may compute.
    _link_for_dkms(directory, place, *(_one(values, f"PACKAGE_{word}") or "" for word in ("NAME", "VERSION")))
    return DkmsConf(
        values, _make(values, release), _one(values, "PRE_BUILD"), _excluded(values, release, arch)
    )


def _stand_for_dkms(directory: Path, place: Path) -> None:
    """dkms builds in TREE/NAME/VERSION/build, a copy of SOURCES/NAME-VERSION; commands name both."""
    text = _text(directory)
    name, version = (
        found[1] if (found := re.search(rf"^[ \t]*PACKAGE_{word}=[\"']?([\w.+~-]+)", text, re.M)) else ""
        for word in ("NAME", "VERSION")
    )
    _link_for_dkms(directory, place, name, version)


def _link_for_dkms(directory: Path, place: Path, name: str, version: str) -> None:
    """The links for a package of this name and version."""
    # What a shell made of the file may be any word; these become names of directories.
    if not all(re.fullmatch(r"(?!\.\.?$)[\w.+~-]{0,100}", word) for word in (name, version)):
        return
    links = (place / "dkms" / name / version / "build", place / "dkms" / name / version / "source")
    for link in (*links, place / "src" / f"{name}-{version}"):
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(directory)


def _text(directory: Path) -> str:
    try:
        return reader.read_text(directory / "dkms.conf")
    except OSError:
        return ""


def _one(values: dict[str, dict[int, str]], name: str) -> str | None:
    return values.get(name, {}).get(0) or None


def _make(values: dict[str, dict[int, str]], release: str) -> str | None:
    chosen = None
    matches = values.get("MAKE_MATCH", {})
    for index, command in sorted(values.get("MAKE", {}).items()):
        if (index not in matches and chosen is None) or (
            matches.get(index) and re.search(matches[index], release)
        ):
            chosen = command
    return chosen


def _excluded(values: dict[str, dict[int, str]], release: str, arch: str) -> str | None:
    for name, tried in (("BUILD_EXCLUSIVE_KERNEL", release), ("BUILD_EXCLUSIVE_ARCH", arch)):
        rule = _one(values, name)
        if rule and not re.search(rule, tried):
            return f"dkms.conf excludes {tried} ({name}={rule})"
    number = _numbers(release)
    lowest, highest = (_one(values, f"BUILD_EXCLUSIVE_KERNEL_{m}") for m in ("MIN", "MAX"))
    if lowest and number < _numbers(lowest):
        return f"dkms.conf excludes {release} (BUILD_EXCLUSIVE_KERNEL_MIN={lowest})"
    if highest and number[: len(_numbers(highest))] > _numbers(highest):
        return f"dkms.conf excludes {release} (BUILD_EXCLUSIVE_KERNEL_MAX={highest})"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])
