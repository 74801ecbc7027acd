"""Module parameters as they are asked for: `name:type[@perm][=default][:description]`."""

import re
from collections.abc import Sequence

from kscaffold.errors import UsageError
from kscaffold.records import dataclass
from kscaffold.scaffold.create.escape import c_string
from kscaffold.scaffold.kbuild.names import C_KEYWORDS, reserved_names

PERMISSION = 0o444


@dataclass(frozen=True, slots=True)
class Type:
    """One of the kernel's parameter types (include/linux/moduleparam.h).

    `c`: how the variable is declared. `print`: its printk conversion. `least`, `most`: its range on a
    64-bit kernel, None for what is no number. `suffix`: of a C literal beyond int.
    """

    c: str
    print: str
    least: int | None = None
    most: int | None = None
    suffix: str = ""


# `%d` for what is smaller than int: it is promoted to int on its way into printk.
TYPES = {
    "byte": Type("unsigned char ", "%d", 0, 2**8 - 1),
    "short": Type("short ", "%d", -(2**15), 2**15 - 1),
    "ushort": Type("unsigned short ", "%d", 0, 2**16 - 1),
    "int": Type("int ", "%d", -(2**31), 2**31 - 1),
    "uint": Type("unsigned int ", "%u", 0, 2**32 - 1, "U"),
    "hexint": Type("unsigned int ", "%#x", 0, 2**32 - 1, "U"),
    "long": Type("long ", "%ld", -(2**63), 2**63 - 1, "L"),
    "ulong": Type("unsigned long ", "%lu", 0, 2**64 - 1, "UL"),
    "ullong": Type("unsigned long long ", "%llu", 0, 2**64 - 1, "ULL"),
    "bool": Type("bool ", "%d"),
    "invbool": Type("bool ", "%d"),
    "charp": Type("char *", "%s"),
}

_TRUE = frozenset(("1", "y", "Y", "on", "true"))
_FALSE = frozenset(("0", "n", "N", "off", "false"))
# What kstrtol takes with base 0: a leading 0 is octal, as in C.
_NUMBER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class TemplateParameter:
    """A parameter, validated. `default` is as the user gave it (for charp the text itself), None for
    none; `description` may be empty. `permission` is the mode of its file in /sys/module/M/parameters."""

    name: str
    type: str
    permission: int = PERMISSION
    default: str | None = None
    description: str = ""

    @property
    def variable(self) -> str:
        """The C variable. That of an invbool holds the opposite of the parameter, and says so."""
        return f"not_{self.name}" if self.type == "invbool" else self.name

    @property
    def declaration(self) -> str:
        """The variable's declaration. C zeroes a static variable: none is set to 0 (checkpatch)."""
        value = self._literal()
        return f"static {TYPES[self.type].c}{self.variable}" + (f" = {value};" if value else ";")

    @property
    def mode(self) -> str:
        """The permission in C: four octal digits, or 0 for no file."""
        return f"{self.permission:04o}" if self.permission else "0"

    @property
    def macro(self) -> str:
        """The line that makes it a parameter."""
        if self.variable != self.name:
            return f"module_param_named({self.name}, {self.variable}, {self.type}, {self.mode});"
        return f"module_param({self.name}, {self.type}, {self.mode});"

    @property
    def conversion(self) -> str:
        """The printk conversion for its value."""
        return TYPES[self.type].print

    @property
    def value(self) -> str:
        """The C expression of its value, as the user sees it."""
        return f"!{self.variable}" if self.type == "invbool" else self.variable

    @property
    def shown_default(self) -> str:
        """The value where none is given, for people."""
        if self.type in ("bool", "invbool"):
            return "yes" if self.default in _TRUE else "no"
        return self.default or ("" if self.type == "charp" else "0")

    def _literal(self) -> str | None:
        """The initial value in C, None for zero."""
        kind = TYPES[self.type]
        if self.type == "charp":
            return f'"{c_string(self.default or "")}"'
        if self.type in ("bool", "invbool"):
            on = (self.default in _TRUE) != (self.type == "invbool")
            return "true" if on else None
        assert kind.least is not None
        number = _number(self.default or "0")
        if number == 0:
            return None
        if number == -(2**63):
            return f"(-{2**63 - 1}L - 1)"  # 2^63 is no long: the minus comes after the number
        digits = f"0x{number:x}" if "x" in (self.default or "").lower() and number > 0 else str(number)
        return digits + ("" if -(2**31) <= number < 2**31 else kind.suffix)


def parse_parameter(text: str) -> TemplateParameter:
    """A parameter from `name:type[@perm][=default][:description]`; a colon in a default is `\\:`.

    Raises UsageError.
    """
    name, colon, rest = text.partition(":")
    if not colon:
        raise UsageError(
            "KS017",
            f"{text!a} names no type",
            cause="a parameter is name:type[@perm][=default][:description]",
            fix=f"--param '{name if _NAME.fullmatch(name) else 'howmany'}:int=1:how many there are'",
        )
    head, default, description = _split(rest)
    kind, at, mode = head.partition("@")
    _check_name(name)
    if kind not in TYPES:
        raise UsageError(
            "KS015",
            f"{kind!a} is not a type of a module parameter",
            cause=f"given for the parameter {name}",
            fix="one of: " + " ".join(TYPES),
        )
    parameter = TemplateParameter(
        name, kind, _permission(name, mode) if at else PERMISSION, default, description
    )
    _check_default(parameter)
    return parameter


def check_parameters(parameters: Sequence[TemplateParameter], taken: Sequence[str]) -> None:
    """Whether the parameters' names go together, and with the C names the project has (`taken`)."""
    seen = dict.fromkeys(taken, "something in the module's own code")
    for parameter in parameters:
        for name in {parameter.name, parameter.variable}:
            if name in seen:
                raise UsageError(
                    "KS018",
                    f"the parameter {parameter.name} is named like {seen[name]}",
                    fix="give each parameter a name of its own",
                )
        for name in {parameter.name, parameter.variable}:
            seen[name] = "another parameter"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > 55:
        raise UsageError(
            "KS018",
            f"{name!a} can't be the name of a parameter",
            cause="it is a C variable: a letter, then letters, digits and `_`, 55 at most",
        )
    if name in C_KEYWORDS or name in reserved_names("words"):
        raise UsageError(
            "KS018",
            f"{name} can't be the name of a parameter",
            cause="it is a C variable, and the language or the kernel's headers have that name",
            fix=f"choose another, such as my_{name}",
        )


def _split(rest: str) -> tuple[str, str | None, str]:
    """`type[@perm][=default][:description]` taken apart. In the default `\\:` is a colon, `\\\\` one `\\`."""
    head = re.match(r"[^=:]*", rest)
    assert head
    rest = rest[head.end() :]
    if not rest.startswith("="):
        return head[0], None, rest[1:]
    default = []
    position = 1
    while position < len(rest) and rest[position] != ":":
        if rest[position] == "\\" and rest[position + 1 : position + 2] in (":", "\\"):
            position += 1
        default.append(rest[position])
        position += 1
    return head[0], "".join(default), rest[position + 1 :]


def _permission(name: str, mode: str) -> int:
    """The mode of the parameter's file, by the kernel's own rule (VERIFY_OCTAL_PERMISSIONS)."""
    what = f"{mode!a} can't be the permission of the parameter {name}"
    fix = f"--param {name}:…@0444 (everyone reads), @0644 (root writes too), @0 (no file)"
    if not re.fullmatch(r"[0-7]{1,4}", mode) or int(mode, 8) > 0o777:
        raise UsageError("KS017", what, cause="it is an octal file mode", fix=fix)
    value = int(mode, 8)
    owner, group, other = value >> 6 & 7, value >> 3 & 7, value & 7
    if value & 0o111 or other & 2:
        raise UsageError("KS017", what, cause="nobody executes it, and others never write it", fix=fix)
    if owner & 4 < group & 4 or group & 4 < other & 4 or owner & 2 < group & 2:
        raise UsageError(
            "KS017",
            what,
            cause="the owner may at least what the group may, the group what others may",
            fix=fix,
        )
    return value


def _check_default(parameter: TemplateParameter) -> None:
    kind, default = TYPES[parameter.type], parameter.default
    if default is None or parameter.type == "charp":
        return
    what = f"{default!a} is no default for {parameter.name}, {_a(parameter.type)}"
    if kind.least is None or kind.most is None:
        if default not in _TRUE | _FALSE:
            raise UsageError("KS016", what, fix=f"{parameter.name}:{parameter.type}=y or =n")
        return
    if not _NUMBER.fullmatch(default):
        raise UsageError(
            "KS016",
            what,
            cause="it is no whole number (decimal, 0x… or octal 0…)",
            fix=f"{parameter.name}:{parameter.type}=0",
        )
    if not kind.least <= _number(default) <= kind.most:
        raise UsageError("KS016", what, cause=f"{_a(parameter.type)} goes from {kind.least} to {kind.most}")


def _number(text: str) -> int:
    """The value of a number that _NUMBER matched, as the kernel's kstrtol reads it with base 0."""
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if digits[:2].lower() == "0x":
        return sign * int(digits, 16)
    return sign * int(digits, 8 if digits[0] == "0" else 10)


def _a(word: str) -> str:
    return (
        f"an {word}" if word[0] in "iu" and word not in ("uint", "ulong", "ullong", "ushort") else f"a {word}"
    )
