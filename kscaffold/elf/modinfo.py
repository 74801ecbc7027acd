"""The .modinfo section: NUL-separated `key=value`, and what its values mean."""

from collections.abc import Mapping

from kscaffold.elf.model import ModuleParameter

# Exactly the strings of include/linux/license.h; anything else taints and gets no GPL-only symbol.
_GPL = frozenset(
    {
        "GPL",
        "GPL v2",
        "GPL and additional rights",
        "Dual BSD/GPL",
        "Dual MIT/GPL",
        "Dual MPL/GPL",
    }
)


def pairs(section: bytes) -> tuple[tuple[str, str], ...]:
    """The pairs in the file's order. Bytes that are no UTF-8 are shown as `\\xNN`."""
    found = []
    for entry in section.split(b"\0"):
        key, equals, value = entry.partition(b"=")
        if equals:
            found.append((text(key), text(value)))
    return tuple(found)


def text(raw: bytes) -> str:
    """Bytes of a module as text that can be printed and put into JSON."""
    return raw.decode("utf-8", "backslashreplace")


def gpl_compatible(license: str | None) -> bool:
    """The kernel's license_is_gpl_compatible()."""
    return license in _GPL


def parameters(
    info: tuple[tuple[str, str], ...], present: tuple[str, ...], bounds: Mapping[str, int]
) -> tuple[ModuleParameter, ...]:
    """The parameters in the order of .modinfo: `parm=name:description` and `parmtype=name:type` of
    .modinfo, and those that are `present` without a word there. What is only described is none
    (MODULE_PARM_DESC() of another name). `bounds` as in Parameter, by name."""
    types: dict[str, str] = {}
    descriptions: dict[str, str] = {}
    for key, value in info:
        name, colon, rest = value.partition(":")
        if colon and key == "parmtype":
            types.setdefault(name, rest)
        elif colon and key == "parm":
            descriptions.setdefault(name, rest)
    described = [name for name in descriptions if name in types or name in present]
    names = dict.fromkeys([*types, *described, *present])
    return tuple(ModuleParameter(n, types.get(n), descriptions.get(n), bounds.get(n)) for n in names)
