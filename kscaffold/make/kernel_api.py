"""What a kernel offers a source: which header declares a name, what exports it."""

import re
from collections.abc import Iterator
from pathlib import Path

from kscaffold.files import reader
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.config import read_config
from kscaffold.kernel.symvers import MOST_SYMVERS

# Searched in this order: what drivers include by name comes before what those include.
_PLACES = (
    "include/linux",
    "include/net",
    "include/uapi/linux",
    "include/asm-generic",
    "include/linux/*",
    "include/*",
)
# Where the declaration is not in the header to include.
_HEADERS = {
    "linux/uaccess.h": "copy_to_user copy_from_user get_user put_user clear_user strncpy_from_user access_ok",
    "linux/slab.h": "kmalloc kzalloc kcalloc krealloc kfree kstrdup kmem_cache_create kmem_cache_alloc",
    "linux/vmalloc.h": "vmalloc vzalloc vfree",
    "linux/delay.h": "msleep mdelay udelay ndelay usleep_range ssleep",
    "linux/io.h": "ioremap iounmap readl writel readb writeb ioread32 iowrite32",
    "linux/interrupt.h": "request_irq free_irq tasklet_setup tasklet_schedule",
    "linux/string.h": "memcpy memset memcmp memmove strlen strcmp strncmp strscpy strchr strstr kmemdup",
    "linux/kernel.h": "snprintf sprintf scnprintf sscanf",
    "linux/printk.h": "printk pr_info pr_err pr_warn pr_debug",
    "linux/sched.h": "schedule schedule_timeout set_current_state wake_up_process",
    "linux/sched/signal.h": "signal_pending send_sig",
    "linux/wait.h": "wait_event wait_event_interruptible wake_up wake_up_interruptible init_waitqueue_head",
    "linux/kthread.h": "kthread_run kthread_create kthread_stop kthread_should_stop",
    "linux/module.h": "try_module_get module_put",
}
# The C library's, for which the kernel has its own.
USER_SPACE = {
    "printf": "pr_info()", "fprintf": "pr_err()", "puts": "pr_info()", "malloc": "kmalloc(size, GFP_KERNEL)",
    "calloc": "kcalloc(n, size, GFP_KERNEL)", "realloc": "krealloc(p, size, GFP_KERNEL)", "free": "kfree()",
    "sleep": "ssleep()", "usleep": "usleep_range()", "strdup": "kstrdup(s, GFP_KERNEL)", "exit": "return",
    "atoi": "kstrtoint()", "strtol": "kstrtol()", "perror": "pr_err()", "assert": "WARN_ON()",
    "fopen": "filp_open()", "time": "ktime_get_real_seconds()", "rand": "get_random_u32()",
}  # fmt: skip


def header_of(name: str, tree: BuildTree) -> str | None:
    """The header of this very tree that declares `name` (`linux/slab.h`), or None."""
    for header, names in _HEADERS.items():
        if name in names.split() and (tree.source / "include" / header).exists():
            return header
    word = re.escape(name.encode())
    # A prototype, an inline function or a macro: the name starts nothing but ends a declaration's head.
    declaration = re.compile(
        rb"^(?:#\s*define\s+|(?:extern|static|struct|unsigned|void|int|long|bool|u\d\d|s\d\d|size_t|ssize_t|"
        rb"const|char|\w+_t|__\w+|\w+)\s(?:[^;={(\n]*?\W)?)%b\(" % word,
        re.M,
    )
    return _header_with(name, declaration, tree)


def header_defining(name: str, tree: BuildTree) -> str | None:
    """The header of this very tree that defines a macro, constant, variable or type (`struct x`), or None."""
    kind, _, bare = name.rpartition(" ")
    word = re.escape(bare.encode())
    if kind:
        definition = rb"^%b\s+%b\s*\{" % (re.escape(kind.encode()), word)
    else:
        # A line that begins with a name may be one of parameters: a constant's is in an enum.
        constant = rb"\benum\b[^;{}()]{0,200}\{[^{}]*?^\s+%b\s*(?:=|,|$)" % word
        definition = (
            rb"^#\s*define\s+%b\b|%b|^(?:extern|typedef)\b[^;(\n]*\b%b(?:\[[^;\n]*)?;|^\}\s*%b\s*;"
            % (word, constant, word, word)
        )
    return _header_with(bare, re.compile(definition, re.M), tree)


def guard_of(name: str, header: str, tree: BuildTree) -> str | None:
    """The option (CONFIG_X) without which a header does not declare a name: that of the innermost #if around
    it. None where no #if names an option that this kernel lacks.
    """
    return next(filter(None, _guards_of(name, header, tree)), None)


def is_lacking(name: str, header: str, tree: BuildTree) -> bool:
    """Whether a header declares a name nowhere but where an #if names an option that this kernel lacks: it
    has no stub for the others."""
    guards = list(_guards_of(name, header, tree))
    return bool(guards) and all(guards)


def _guards_of(name: str, header: str, tree: BuildTree) -> Iterator[str | None]:
    """For each line of a header's code with that name the option that this kernel lacks, None for none."""
    roots = (tree.source / "include", tree.source / "arch" / tree.srcarch / "include")
    found = (root / place / header for root in roots for place in ("", "uapi"))
    file = next((f for f in found if f.is_file()), None)
    config = read_config(tree.directory)
    conditions: list[str] = []
    word = re.compile(rf"\b{re.escape(name)}\b")
    for line in reader.read_text(file).splitlines() if file else ():
        if opened := re.match(r"#\s*(?:if|ifdef)\b(.*)", line):
            conditions.append(opened[1])
        elif re.match(r"#\s*ifndef\b", line):
            conditions.append("")
        elif re.match(r"#\s*el(?:se|if)\b", line) and conditions:
            conditions[-1] = ""
        elif re.match(r"#\s*endif\b", line) and conditions:
            conditions.pop()
        elif word.search(line) and not re.match(r"\s*(?:/?\*|//)", line):
            options = (re.search(r"\bCONFIG_\w+", c) for c in reversed(conditions) if "!" not in c)
            option = next((o[0].removesuffix("_MODULE") for o in options if o), "")
            is_set = config.value(option.removeprefix("CONFIG_")) in ("y", "m")
            yield option if option and config.known and not is_set else None


def _header_with(name: str, definition: re.Pattern[bytes], tree: BuildTree) -> str | None:
    word, of_arch = name.encode(), f"arch/{tree.srcarch}/include"
    for pattern in (*_PLACES, f"{of_arch}/asm", f"{of_arch}/uapi/asm"):
        for directory in sorted(d for d in tree.source.glob(pattern) if d.is_dir()):
            for header in sorted(directory.glob("*.h")):
                text = reader.read_bytes(header)
                if word in text and definition.search(text):
                    return str(header).rpartition("/include/")[2].removeprefix("uapi/")
    return None


def exporters(symbol: str, project: Path) -> list[Path]:
    """Module.symvers of projects beside this one that export `symbol`."""
    line = re.compile(rf"^0x[0-9a-f]+\t{re.escape(symbol)}\t", re.M)
    beside = (f for f in sorted(project.parent.glob("*/Module.symvers")) if f.parent != project)
    return [f for f in beside if line.search(reader.read_text(f, MOST_SYMVERS))]


def similar_exports(symbol: str, tree: BuildTree) -> list[str]:
    """Exported symbols of almost this name."""
    import difflib  # only when a build failed

    try:
        table = reader.read_text(tree.directory / "Module.symvers", MOST_SYMVERS)
    except OSError:
        return []
    names = {row[1] for line in table.splitlines() if len(row := line.split("\t")) > 1}
    near = [
        n for n in names if abs(len(n) - len(symbol)) <= 2 and (n[:2] == symbol[:2] or n[-3:] == symbol[-3:])
    ]
    return difflib.get_close_matches(symbol, near, n=3, cutoff=0.8)


def headers_named(file: str, tree: BuildTree) -> list[str]:
    """The headers of the kernel with this file name, in whatever directory, as a source includes them."""
    include = tree.source / "include"
    found = (str(path.relative_to(include)).removeprefix("uapi/") for path in include.rglob(file))
    return list(dict.fromkeys(sorted(found, key=lambda name: (name.count("/"), name))))[:3]


def similar_header(name: str, tree: BuildTree) -> str | None:
    """A header of the kernel of almost this name."""
    import difflib  # only when a build failed

    there = [h.name for h in (tree.source / "include" / name).parent.glob("*.h")]
    near = difflib.get_close_matches(Path(name).name, there, n=1, cutoff=0.8)
    return str(Path(name).with_name(near[0])) if near else None
