"""Directories whose Kbuild a script or a rule makes: one of ours would stand before it."""

import re
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files.text_change import read_text
from kscaffold.project.configure import maker_of_kbuild


def refuse_where_made(directory: Path) -> None:
    """Refuse to propose a Kbuild that would stand before one that a script or a rule makes."""
    script = maker_of_kbuild(directory)
    own = read_text(directory / "Makefile") if (directory / "Makefile").is_file() else ""
    by_rule = re.search(r"^(?:\S*/)?(?:Kbuild|Makefile)\s*:(?!=)|>\s*[^\s>]*\bKbuild\b", own, re.M)
    if script:
        cause, fix = f"{script[0]} makes what Kbuild reads", f"{script[1]}, then kscaffold adopt"
    elif by_rule:
        cause, fix = "a rule of its Makefile makes what Kbuild reads", "make, then kscaffold adopt"
    else:
        return
    what = f"{directory.name} has no Kbuild yet, and one of ours would stand before its own"
    raise KscaffoldError("KS040", what, cause=cause, fix=fix)
