"""One .ko, opened once for all that a command wants to know of it."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.elf import content, quick

if TYPE_CHECKING:
    from kscaffold.elf.model import Compression, KoFile


class ModuleFile:
    """A .ko as it was when it was opened. `path`: where that was; `raw`: the file's bytes; `home`: the
    directory that its sources are named from: its project's, else that of the file. `beside`: the directory
    that it was built in, another than the file's for a copy.

    All else is worked out of these bytes when somebody asks first, and kept. Several threads may ask: two
    that are first together find the same.
    """

    __slots__ = ("_digest", "_kofile", "_name", "_unpacked", "beside", "home", "path", "raw")

    def __init__(self, path: Path, raw: bytes, home: Path | None = None, beside: Path | None = None) -> None:
        self.path = path
        self.raw = raw
        place = path.absolute().parent
        # A copy lies elsewhere.
        self.beside = beside or (home if home and not place.is_relative_to(home) else place)
        self.home = home if home and self.beside.is_relative_to(home) else self.beside
        self._name: str | None = None
        self._unpacked: tuple[bytes, Compression | None] | None = None
        self._kofile: KoFile | None = None
        self._digest: bytes | None = None

    def __reduce__(self) -> "tuple[type[ModuleFile], tuple[Path, bytes, Path, Path]]":
        """The paths and the bytes: all else is worked out again."""
        return ModuleFile, (self.path, self.raw, self.home, self.beside)

    @classmethod
    def open(cls, path: Path, home: Path | None = None, beside: Path | None = None) -> "ModuleFile":
        """Read the file at `path`; `home` counts where the file is below it, `beside` is for a copy. Raises
        UsageError KS401 where there is none, KscaffoldError KS402 where it can't be read or is far larger
        than any module.
        """
        return cls(path, content.read_raw(path), home, beside)

    @property
    def name(self) -> str:
        """The file's own name: `hello.ko`."""
        return self.path.name

    @property
    def module(self) -> str:
        """The name that the kernel knows this module by."""
        if self._name is None:
            self._name = quick.module_name(self)
        return self._name

    @property
    def is_signed(self) -> bool:
        """Whether the file ends as a signed module does."""
        return self.raw.endswith(quick.SIGNED)

    def read_bytes(self) -> bytes:
        """The module's bytes as a kernel takes them: decompressed. Raises DamagedModule KS411 where the
        compression is broken.
        """
        return self._content()[0]

    def kofile(self) -> "KoFile":
        """The whole .ko, as pyelftools and our readers see it. Raises DamagedModule where its bytes are no
        module.
        """
        if self._kofile is None:
            from kscaffold.elf import kofile  # start-up time: a load that went well does not need it

            raw, compression = self._content()
            content.refuse_empty(raw, self.path)
            self._kofile = kofile.parse_ko(raw, self.path, compression)
        return self._kofile

    def place(self, symbol: str, size: int = 0) -> tuple[str, int] | None:
        """The section that a function of the module is in, and its offset there in bytes; None where the
        module has none of that name. `size` says which, where it has several. Raises DamagedModule where the
        bytes are no module.
        """
        from kscaffold.elf import kofile  # start-up time: only a crash needs it

        return kofile.place_in(self.read_bytes(), self.path, symbol, size)

    def digest(self) -> bytes:
        """SHA-256 of the file's bytes."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.raw).digest()
        return self._digest

    def _content(self) -> "tuple[bytes, Compression | None]":
        if self._unpacked is None:
            self._unpacked = content.unpacked(self.raw, self.path)
        return self._unpacked
