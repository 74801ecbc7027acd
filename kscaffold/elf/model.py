"""What a .ko says, in the field's own names. The facts; `kofile.py` reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from kscaffold.errors import EXIT_NO, KscaffoldError
from kscaffold.records import dataclass

Compression = Literal["xz", "gzip", "zstd"]
# Flags of a section (elf(5)).
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 0x1, 0x2, 0x4
# What the loader stumbles over in relocations. `outside`: one writes, or reads its symbol, beyond the end.
# `taken`: there is something already; `overlaps`: another one has written there before. `far`: the address
# does not fit.
Flaw = Literal["outside", "taken", "overlaps", "far"]


class DamagedModule(KscaffoldError):
    """The file is no module that a kernel would take: the answer is no.

    `refusal`: the stage where the kernel would refuse the file, and the errno; None where that can't be
    known (a file we don't read, which a kernel might). `words`: what a kernel that looks for this flaw would
    say; one that does not know these words reads on.
    """

    exit_code: ClassVar[int] = EXIT_NO

    def __init__(
        self,
        code: str,
        what: str,
        *,
        cause: str | None = None,
        fix: str | None = None,
        refusal: tuple[str, str] | None = ("elf", "ENOEXEC"),
        words: str | None = None,
    ) -> None:
        super().__init__(code, what, cause=cause, fix=fix)
        self.stage = refusal[0] if refusal else None
        self.errno = refusal[1] if refusal else None
        self.words = words


@dataclass(frozen=True, slots=True)
class Section:
    """One section header. `type` as pyelftools names it (`SHT_PROGBITS`, or the number as text).

    `name` is what the section name table says, "" where it says nothing.
    """

    index: int
    name: str
    type: str
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    name_offset: int
    alignment: int

    @property
    def alloc(self) -> bool:
        """Whether the loader sees it: its find_sec() skips all others."""
        return bool(self.flags & SHF_ALLOC)


@dataclass(frozen=True, slots=True)
class Function:
    """The function a module starts or ends with, by its own name, and the section its code is in.

    `section` is None where the symbol is not defined in this file. `listed`: the name that the kernel
    shows for its address (kallsyms): the first of the table, where it has several.
    """

    symbol: str
    section: str | None
    listed: str


@dataclass(frozen=True, slots=True)
class ModuleParameter:
    """A module_param(). `type` and `description` are None where the module does not tell them.

    `limit`: the most elements of an array, the bytes of a `string` with its NUL; None where not known.
    """

    name: str
    type: str | None
    description: str | None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """An EXPORT_SYMBOL(). `has_crc`: its table comes with CRCs; `namespace` "" for none."""

    symbol: str
    gpl: bool
    namespace: str
    has_crc: bool


@dataclass(frozen=True, slots=True)
class Relocations:
    """A relocation section: what it applies to, and how many there are, in all and of each type (a number
    of the ABI).

    `flaw`: what the loader stumbles over first; None for nothing, or where that can't be said (other
    processors than x86-64, and the largest of modules).
    """

    section: int
    target: int
    addend: bool
    count: int
    counts: Mapping[int, int]
    flaw: Flaw | None = None

    @property
    def types(self) -> frozenset[int]:
        """The types that occur."""
        return frozenset(self.counts)


@dataclass(frozen=True, slots=True)
class Signature:
    """The trailer behind `~Module signature appended~`. `flaw` is None where the kernel can read it.

    `errno` goes with a flaw: EBADMSG and EINVAL refuse the module always, ENOPKG only where signatures are
    enforced.
    `length`: of the PKCS#7 message, bytes; `digest`: its BLAKE2b, to know it again.
    """

    length: int
    digest: str
    flaw: str | None = None
    errno: str | None = None


@dataclass(frozen=True, slots=True)
class KoFile:
    """A .ko, read. Sizes are bytes of the decompressed file.

    `name`: the kernel's name for it (.modinfo, else struct module). `struct_name`: the one in struct
    module, which decides about duplicates; None where it can't be read. `struct_size`: the size of
    `struct module` it was built with, `struct_filled` the offset of the first byte in it, but for its
    name, that is not zero as the build leaves it. `bare`: tables that the kernel follows, in which places
    have no relocation. `undefined`: undefined symbols in the table's order, which is the loader's;
    `weak_imports`: those of them it can do without. `versions`: the CRCs of `__versions`, None
    where there is no such section. `commons`: symbols that -fno-common should have prevented;
    `misplaced`: those that are said to be in a section that is not there; `misnamed`: how many have
    their name outside the string table. `doubled`: parameters that are there twice.
    """

    path: Path
    size: int
    digest: str
    compression: Compression | None
    machine: str
    arch: str
    bits: int
    name: str
    struct_name: str | None
    struct_size: int
    struct_filled: int | None
    modinfo: tuple[tuple[str, str], ...]
    init: Function | None
    exit: Function | None
    parameters: tuple[ModuleParameter, ...]
    undefined: tuple[str, ...]
    weak_imports: tuple[str, ...]
    exports: tuple[Export, ...]
    commons: tuple[str, ...]
    misplaced: tuple[str, ...]
    misnamed: int
    doubled: tuple[str, ...]
    versions: Mapping[str, int] | None
    sections: tuple[Section, ...]
    relocations: tuple[Relocations, ...]
    bare: tuple[str, ...]
    signature: Signature | None

    def info(self, key: str) -> str | None:
        """The first value of a .modinfo key, which is the one the loader looks at."""
        return next((value for k, value in self.modinfo if k == key), None)

    def infos(self, key: str) -> tuple[str, ...]:
        """Every value of a .modinfo key (`import_ns`, `alias`, `firmware`)."""
        return tuple(value for k, value in self.modinfo if k == key)

    @property
    def imports(self) -> tuple[str, ...]:
        """The symbols it needs from others; weak ones apart."""
        weak = set(self.weak_imports)
        return tuple(name for name in self.undefined if name not in weak)

    @property
    def license(self) -> str | None:
        """MODULE_LICENSE(), None where there is none."""
        return self.info("license")

    @property
    def vermagic(self) -> str | None:
        """Release and flags of the kernel it was built for."""
        return self.info("vermagic")

    @property
    def depends(self) -> tuple[str, ...]:
        """The modules whose symbols it needs, as modpost found them."""
        return tuple(name for name in (self.info("depends") or "").split(",") if name)

    @property
    def signed(self) -> bool:
        """Whether it carries a signature that can be read; whose it is, only a kernel can say."""
        return self.signature is not None and self.signature.flaw is None
