"""Finds the record of an architecture by any of its names."""

import importlib
import os
from collections.abc import Iterator
from functools import cache

from kscaffold.arch.architecture import Architecture

# The data files beside this one. A command reads as many of them as it needs to find its own, so the most
# frequent ones come first.
NAMES = ("x86_64", "arm64", "arm", "riscv64", "s390x", "ppc64le", "loongarch64", "i386")

_EM_OFFSET = 18  # of e_machine in an ELF header, whatever the class


def every() -> Iterator[Architecture]:
    """All architectures, each read when it is asked for."""
    return map(_read, NAMES)


@cache
def by_uname(machine: str) -> Architecture | None:
    """The architecture that `uname -m` calls `machine`."""
    return next((a for a in every() if machine in a.uname), None)


@cache
def by_debian(name: str) -> Architecture | None:
    """The architecture that Debian calls `name`."""
    return next((a for a in every() if a.debian == name), None)


@cache
def by_elf(machine: int, bits: int, order: str) -> Architecture | None:
    """The architecture of ELF files with this e_machine, class (32 or 64) and byte order (`<` or `>`)."""
    wanted = (machine, bits, order)
    return next((a for a in every() if (a.elf_machine, a.bits, a.order) == wanted), None)


def of_elf(header: bytes) -> Architecture | None:
    """The architecture of a file that begins with these bytes; None for one that is no ELF file, and for one
    of an architecture that is not known here.
    """
    if len(header) < _EM_OFFSET + 2 or not header.startswith(b"\x7fELF"):
        return None
    bits, order = {1: 32, 2: 64}.get(header[4], 0), {1: "<", 2: ">"}.get(header[5], "")
    number = int.from_bytes(header[_EM_OFFSET : _EM_OFFSET + 2], "little" if order == "<" else "big")
    return by_elf(number, bits, order)


def believed_ident(header: bytes) -> bytes:
    """The class and the byte order of an ELF header as its kernel reads them: two bytes of e_ident. Some
    kernels look at e_machine alone.
    """
    for architecture in every():
        number = architecture.elf_machine.to_bytes(2, "little" if architecture.order == "<" else "big")
        if header[_EM_OFFSET : _EM_OFFSET + 2] == number and architecture.ident_ignored:
            return bytes((1 if architecture.bits == 32 else 2, 1 if architecture.order == "<" else 2))
        if header[_EM_OFFSET : _EM_OFFSET + 2] == number:
            break
    return header[4:6]


def host() -> Architecture | None:
    """This machine's architecture; None where it is not known here."""
    return by_uname(os.uname().machine)


def by_word(word: str) -> Architecture | None:
    """The architecture that Debian, `uname -m` or Kbuild calls so."""
    return next((a for a in every() if word in (a.debian, *a.uname)), None) or next(
        (a for a in every() if word == a.kbuild), None
    )


def kernel_name(release: str, machine: str) -> str:
    """How a kernel is named to people, and to --kernel: by its release; where its machine (as `uname -m` says
    it) is not this one, with Debian's name of that before it: `armhf:6.1.0-50-armmp`.
    """
    architecture = by_uname(machine)
    if architecture is None or architecture is host():
        return release
    return f"{architecture.debian}:{release}"


def cross_prefix(architecture: Architecture | None) -> str:
    """The prefix, as in CROSS_COMPILE, of the programs here (`gcc`, `addr2line`) that make and read code of
    this architecture. Empty for this machine's own architecture, and for an unknown one.
    """
    return "" if architecture is None or architecture is host() else f"{architecture.triple}-"


@cache
def oops_pc() -> str:
    """A regular expression for the beginning of an oops's line that names the program counter, whatever
    machine the log is from.
    """
    return "|".join(dict.fromkeys(a.oops_pc for a in every()))


@cache
def interrupt_entry() -> str:
    """A regular expression for the functions of the kernel's that are entered by an interrupt, whatever
    machine a stack is from.
    """
    return "|".join(dict.fromkeys(a.interrupt_entry for a in every() if a.interrupt_entry))


@cache
def _read(name: str) -> Architecture:
    # start-up time: a record is read only when it is looked for; all of them would cost each command more.
    record: Architecture = importlib.import_module(f"kscaffold.arch.{name}").ARCHITECTURE
    return record
