"""Can a Kbuild be judged from outside? Only one that does nothing but set variables from plain text.

What is not known to be harmless is not: make is asked then, which is slower and always right.
"""

import re

from kscaffold.make.fingerprint.compare import is_unrecorded

# Functions whose result depends on their arguments alone.
_PURE = re.compile(
    r"subst|patsubst|strip|findstring|filter|filter-out|sort|word|wordlist|words|firstword|lastword|dir|notdir|"
    r"suffix|basename|addsuffix|addprefix|join|if|or|and|foreach|abspath"
)
# Kbuild's own questions to the compiler: the same answer as long as the compiler is the same.
_OF_COMPILER = re.compile(
    r"cc-option|cc-option-yn|cc-disable-warning|cc-ifversion|cc-version|gcc-min-version|clang-min-version|"
    r"ld-option|as-option|as-instr"
)
# Lists that make Kbuild produce more than a module's objects, and what changes make itself.
_MORE_OUTPUT = re.compile(
    r"(?:always|extra|hostprogs|userprogs|lib|dtb|subdir|targets|generic|generated|asn1|PHONY|SHELL|VPATH|MAKE|\.)"
)
_SUBDIR_FLAGS = re.compile(r"subdir-(?:ccflags|asflags)-")
# What a Makefile sets for its own rules, which Kbuild never runs; usually by asking the shell.
_FOR_RULES = re.compile(r"KDIR|KERNELDIR|KERNEL_DIR|KERNEL_SRC|KSRC|KVER|KVERSION|KERNEL_VERSION")
# Questions to the shell with one answer: make's directory is the same at each build, and what uname says of
# this machine is in the record.
_SAME_ANSWER = re.compile(r"\$\(shell\s+(?:pwd(?:\s+-[LP])?|uname(?:\s+-[asnrvmpio]+)?)\s*\)")
# A rule for a plain word is the user's own: what Kbuild makes has a directory or a suffix in its name.
_RULES = re.compile(r"[A-Za-z][A-Za-z0-9_-]*|\.PHONY")

_ASSIGN = re.compile(
    r"(?:(?:export|override|private)\s+)*(?P<name>[^\s:=+?!]+)\s*(?P<op>\+=|\?=|:{0,3}=|!=)\s*(?P<value>.*)"
)
_CONDITION = re.compile(r"(ifeq|ifneq|ifdef|ifndef)\b\s*(.*)")
_CALL = re.compile(r"\$[({](?:call\s+)?([\w.-]+)(?=[\s,])")
_USED = re.compile(r"\$[({]([\w.-]+)(?=[)}:])|\$([A-Za-z])")


def unjudgeable(text: str) -> str | None:
    """The line or the variables of a Kbuild that can't be judged from outside; None where all can."""
    state = _State()
    for line in _logical_lines(text):
        bad = state.read(line)
        if bad:
            return line.strip()
    if state.asked & state.used:
        return f"the value of {', '.join(sorted(state.asked & state.used))}"
    return None


def _logical_lines(text: str) -> list[str]:
    text = re.sub(r"\\\n", " ", text)
    return [line for line in text.split("\n") if line.strip()]


class _State:
    """Where a reader of a Kbuild is in the file.

    `conditions`: of each open one, whether its lines count and whether that is known for certain. `asked`:
    variables set for the user's own rules; `used`: variables whose value may matter to Kbuild.
    """

    def __init__(self) -> None:
        self.conditions: list[tuple[bool, bool]] = []
        self.in_rule = False
        self.asked: set[str] = set()
        self.used: set[str] = set()

    def read(self, line: str) -> bool:
        """Take a line; True when it can't be judged."""
        if line.startswith("\t") and self.in_rule:
            return False
        line = re.sub(r"(?<!\\)#.*", "", line).strip()
        if not line:
            return False
        if self._condition(line):
            return self._live() and self._impure(line)
        if not self._live():
            return False
        assigned = _ASSIGN.fullmatch(line)
        if assigned:
            self.in_rule = False
            return self._assignment(assigned["name"], assigned["op"], assigned["value"])
        return self._rule(line)

    def _live(self) -> bool:
        return all(live for live, _ in self.conditions)

    def _condition(self, line: str) -> bool:
        """Keep count of conditions. That KERNELRELEASE is set we know; others may go either way."""
        if line == "endif":
            del self.conditions[-1:]
            return True
        if line.startswith("else") and self.conditions:
            live, known = self.conditions[-1]
            plain = line == "else"
            self.conditions[-1] = (not live if known else True, known and (plain or live))
            return True
        match = _CONDITION.match(line)
        if match is None:
            return False
        known = bool(re.fullmatch(r"\(\s*\$\(KERNELRELEASE\)\s*,\s*\)|KERNELRELEASE", match[2].strip()))
        self.conditions.append((not known or match[1] in ("ifneq", "ifdef"), known))
        return True

    def _assignment(self, name: str, op: str, value: str) -> bool:
        if op == "!=" or "$(" in re.sub(r"\$[({](?:CONFIG_)?\w+[)}]", "", name):
            return True
        if _MORE_OUTPUT.match(name) and not _SUBDIR_FLAGS.match(name):
            return True
        if _FOR_RULES.fullmatch(name):
            self.asked.add(name)
            return False
        return self._impure(f"{name} {value}")

    def _rule(self, line: str) -> bool:
        targets, colon, _ = line.partition(":")
        if not colon or not all(_RULES.fullmatch(t) for t in targets.split()):
            return True
        self.in_rule = True
        return self._impure(line)

    def _impure(self, text: str) -> bool:
        """Whether the text calls what is not a pure function, or uses what the record leaves out."""
        text = _SAME_ANSWER.sub("", text.replace("$$", ""))
        for call in _CALL.finditer(text):
            allowed = _OF_COMPILER if call[0][2:].startswith("call") else _PURE
            if not allowed.fullmatch(call[1]):
                return True
        names = {a or b for a, b in _USED.findall(text)} | set(re.findall(r"^ifn?def\s+([\w.-]+)", text))
        self.used |= names
        if re.search(r"\$[({]\$|\$[({][\w.-]+\$", text):
            return True  # a computed name
        # PWD is given by us: the project's directory.
        return any(map(is_unrecorded, names - {"PWD"}))
