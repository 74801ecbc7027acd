"""Every command that a fix of the catalogue names is one that there is, with the options that it has."""

import json
import re

import pytest

from kscaffold.cli.completion import table
from kscaffold.diagnosis import catalogue

COMMANDS = json.loads(table.table())["commands"]
# A command as a fix writes it: verbs in small letters, then words up to the end of the command.
COMMAND = re.compile(r"\bkscaffold ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)((?: [^\s;,()$&|]+)*)")
FIXES = [(code, m[0]) for code, e in catalogue.entries().items() for m in COMMAND.finditer(e.fix)]


@pytest.mark.parametrize(("code", "command"), FIXES)
def test_a_fix_names_a_command_and_its_options(code, command):
    words = command.split()[1:]
    known = COMMANDS.get(words[0])
    if known is None:
        # A sentence about kscaffold, and no command of its.
        assert not any(w.startswith("-") for w in words), f"{code}: {command}"
        return
    if len(words) > 1 and words[1] in known.get("commands", {}):
        known = known["commands"][words[1]]
    options = set(known.get("options", {}))
    # Up to a word of the sentence that goes on behind the command.
    for word in words[1:]:
        if re.fullmatch(r"--?[A-Za-z][\w-]*", word):
            assert word in options or words[0] in ("explain", "build", "exec"), f"{code}: {command}"
