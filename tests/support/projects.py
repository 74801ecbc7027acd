"""Small module projects, and a kernel tree of one's own to change."""

import os
import shutil
import subprocess
from pathlib import Path

from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.kernel import Kernel

HELLO = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

static int __init hello_init(void)
{
\tpr_info("hello\\n");
\treturn 0;
}

static void __exit hello_exit(void)
{
}

module_init(hello_init);
module_exit(hello_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("says hello");
"""

# The Makefile of the course, its tabs restored.
COURSE = """\
obj-m := ownname.o
ownname-objs := ret-1.o
all:
\tmake -C /lib/modules/$(shell uname -r)/build M=$(PWD) modules
clean:
\tmake -C /lib/modules/$(shell uname -r)/build M=$(PWD) clean
"""


def write(directory: Path, **files: str) -> Path:
    """Write files, named as keywords with `__` for `.` and `_0_` for `/` and `_1_` for `-`."""
    for key, text in files.items():
        file = directory / key.replace("__", ".").replace("_0_", "/").replace("_1_", "-")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory


def own_tree(kernel: Kernel, at: Path) -> Kernel:
    """A build tree as one's own kernel has it: one directory, relative command lines. Files are links."""
    assert kernel.build
    tree = read_tree(kernel.build)
    subprocess.run(["cp", "-rs", str(tree.source), str(at)], check=True)
    for name in ("Makefile", "scripts", "tools"):
        (at / name).unlink(missing_ok=True)
    shutil.copy(tree.source / "Makefile", at)
    subprocess.run(["cp", "-rsn", f"{tree.directory}/.", str(at)], check=True)
    return Kernel(kernel.release, "path", at, None, None, None, str(at))


def identity(path: Path) -> tuple[int, int, int]:
    """What differs once a file has been put in its place again: inode, change time, mode. Not the time of
    access: looking at it may change that."""
    facts = path.lstat()
    return facts.st_ino, facts.st_mtime_ns, facts.st_mode


def unlink_copy(file: Path) -> Path:
    """Make a link of such a tree a file of its own, which may be changed."""
    text, stat = file.read_bytes(), file.stat()
    file.unlink()
    file.write_bytes(text)
    os.utime(file, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    return file
