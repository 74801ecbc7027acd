"""Module parameters as they are asked for: `name:type[@perm][=default][:text]`; `int[4]` is an array."""

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
class Trial:
    """A value that a parameter is tried with. `shown`: what its file in /sys holds then."""

    given: str
    shown: str


@dataclass(frozen=True, slots=True)
class TemplateParameter:
    """A parameter, validated. `default` is as the user gave it (for charp the text itself), None for
    none; `description` may be empty. `permission` is the mode of its file in /sys/module/M/parameters.
    `count`: the most values that an array takes; 0 for one that is no array."""

    name: str
    type: str
    permission: int = PERMISSION
    default: str | None = None
    description: str = ""
    count: int = 0

    @property
    def shown_type(self) -> str:
        """The type as it is asked for, `int[4]` for an array."""
        return f"{self.type}[{self.count}]" if self.count else self.type

    @property
    def variable(self) -> str:
        """The C variable. That of an invbool holds the opposite of the parameter, and says so."""
        return f"not_{self.name}" if self.type == "invbool" else self.name

    @property
    def given(self) -> str:
        """The C variable that is told how many values of an array came."""
        return f"{self.name}_given"

    @property
    def declaration(self) -> str:
        """The variable's declaration. C zeroes a static variable: none is set to 0 (checkpatch)."""
        if self.count:
            return self._array_declaration()
        value = self._literal(self.default)
        return f"static {TYPES[self.type].c}{self.variable}" + (f" = {value};" if value else ";")

    @property
    def mode(self) -> str:
        """The permission in C: four octal digits, or 0 for no file."""
        return f"{self.permission:04o}" if self.permission else "0"

    @property
    def macro(self) -> str:
        """The line that makes it a parameter."""
        named = self.variable != self.name
        words = [self.name, *([self.variable] if named else []), self.type]
        words += [f"&{self.given}"] if self.count else []
        array = "_array" if self.count else ""
        return f"module_param{array}{'_named' if named else ''}({', '.join((*words, self.mode))});"

    @property
    def conversion(self) -> str:
        """The printk conversion for its value."""
        return TYPES[self.type].print

    @property
    def value(self) -> str:
        """The C expression of its value, as the user sees it; of an array that of its i-th."""
        value = f"{self.variable}[i]" if self.count else self.variable
        return f"!{value}" if self.type == "invbool" else value

    @property
    def elements(self) -> tuple[str, ...]:
        """The values of an array where none are given."""
        return tuple(self.default.split(",")) if self.default else ()

    @property
    def shown_default(self) -> str:
        """The value where none is given, for people."""
        if self.count:
            return self.default or ""
        if self.type in ("bool", "invbool"):
            return "yes" if self.default in _TRUE else "no"
        return self.default or ("" if self.type == "charp" else "0")

    @property
    def in_its_file(self) -> str:
        """The text of the parameter's file in /sys where the load gives no value."""
        if not self.count:
            return self._shown(self.default) + "\n"
        return ",".join(map(self._shown, self.elements)) + ("\n" if self.elements else "")

    @property
    def tried(self) -> tuple[Trial, ...]:
        """Values for the test of its file; none where it has no file that root may read."""
        if not self.permission & 0o400:
            return ()
        kind = TYPES[self.type]
        if kind.most is not None:
            # What a register of 32 bits holds, too.
            values = [str(min(kind.most, 2**31 - 1) if self.type in ("long", "ulong") else kind.most)]
        elif self.type == "charp":
            values = ["another"]
        else:
            values = ["N" if self.default in _TRUE else "Y"]
        # All that an array takes, of a long one as many as a line of the test holds.
        values += [self._small] * (min(self.count, 8) - 1)
        return (Trial(",".join(values), ",".join(map(self._shown, values)) + "\n"),)

    @property
    def _small(self) -> str:
        """Any value that is short."""
        return "x" if self.type == "charp" else "1" if TYPES[self.type].most is not None else "Y"

    def _array_declaration(self) -> str:
        """The array, and the variable that is told how many of its values came."""
        kind = TYPES[self.type].c
        literals = [
            self._literal(one) or ("false" if TYPES[self.type].least is None else "0")
            for one in self.elements
        ]
        values = f" = {{ {', '.join(literals)} }}" if literals else ""
        number = f" = {len(literals)}" if literals else ""
        array = f"static {kind}{self.variable}[{self.count}]{values};"
        return f"{array}\nstatic unsigned int {self.given}{number};"

    def _shown(self, value: str | None) -> str:
        """One value as the kernel shows it (kernel/params.c)."""
        if self.type == "charp":
            return value or ""
        if self.type in ("bool", "invbool"):
            return "Y" if value in _TRUE else "N"
        number = _number(value or "0")
        return f"{number:#08x}" if self.type == "hexint" else str(number)

    def _literal(self, text: str | None) -> str | None:
        """A value in C, None for zero."""
        kind = TYPES[self.type]
        if self.type == "charp":
            return f'"{c_string(text or "")}"'
        if self.type in ("bool", "invbool"):
            on = (text in _TRUE) != (self.type == "invbool")
            return "true" if on else None
        assert kind.least is not None
        number = _number(text or "0")
        if number == 0:
            return None
        if number == -(2**63):
            return f"(-{2**63 - 1}L - 1)"  # 2^63 is no long: the minus comes after the number
        digits = f"0x{number:x}" if "x" in (text or "").lower() and number > 0 else str(number)
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
    said, at, mode = head.partition("@")
    _check_name(name)
    kind, count = _type(name, said)
    permission = _permission(name, mode) if at else PERMISSION
    parameter = TemplateParameter(name, kind, permission, default, description, count)
    _check_default(parameter)
    return parameter


def check_parameters(parameters: Sequence[TemplateParameter], taken: Sequence[str]) -> None:
    """Whether the parameters' names go together, and with the C names the project has (`taken`)."""
    seen = dict.fromkeys(taken, "something in the module's own code")
    for parameter in parameters:
        names = {parameter.name, parameter.variable} | ({parameter.given} if parameter.count else set())
        for name in names:
            if name in seen:
                raise UsageError(
                    "KS018",
                    f"the parameter {parameter.name} is named like {seen[name]}",
                    fix="give each parameter a name of its own",
                )
        seen |= dict.fromkeys(names, "another parameter")


def _type(name: str, said: str) -> tuple[str, int]:
    """A type, and the number of values of an array: `int[4]` is ("int", 4), `int` ("int", 0)."""
    kind, bracket, size = said.partition("[")
    if kind not in TYPES:
        raise UsageError(
            "KS015",
            f"{said!a} is not a type of a module parameter",
            cause=f"given for the parameter {name}",
            fix="one of: " + " ".join(TYPES) + "; int[4] is an array of up to four",
        )
    if not bracket:
        return kind, 0
    if not re.fullmatch(r"[1-9][0-9]{0,3}\]", size):
        raise UsageError(
            "KS015",
            f"{said!a} is not a type of a module parameter",
            cause="the size of an array is a number from 1 to 9999",
            fix=f"--param '{name}:{kind}[4]'",
        )
    return kind, int(size[:-1])


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
    if parameter.default is None:
        return
    if not parameter.count:
        _check_value(parameter, parameter.default)
        return
    if len(parameter.elements) > parameter.count:
        raise UsageError(
            "KS016",
            f"{parameter.default!a} are {len(parameter.elements)} values for {parameter.name}",
            cause=f"{parameter.shown_type} has room for {parameter.count}",
            fix=f"{parameter.name}:{parameter.type}[{len(parameter.elements)}]={parameter.default}",
        )
    for one in parameter.elements:
        _check_value(parameter, one)


def _check_value(parameter: TemplateParameter, value: str) -> None:
    kind = TYPES[parameter.type]
    if parameter.type == "charp":
        return
    what = f"{value!a} is no default for {parameter.name}, {_a(parameter.type)}"
    if kind.least is None or kind.most is None:
        if value not in _TRUE | _FALSE:
            raise UsageError("KS016", what, fix=f"{parameter.name}:{parameter.shown_type}=y or =n")
        return
    if not _NUMBER.fullmatch(value):
        raise UsageError(
            "KS016",
            what,
            cause="it is no whole number (decimal, 0x… or octal 0…)",
            fix=f"{parameter.name}:{parameter.shown_type}=0",
        )
    if not kind.least <= _number(value) <= kind.most:
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
