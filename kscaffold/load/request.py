"""What a command was asked to load, before anything is built or started for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kscaffold.elf.quick import existing
from kscaffold.module.arguments import NO_PARAMETERS, Parameters


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What was asked for. `kos`: the .ko files that were named, none where the project's modules are meant.

    `module`: the one of the project that is meant. `build`: build first. `dependencies`: load what the
    modules need before them.
    """

    directory: Path
    kos: tuple[Path, ...] = ()
    parameters: Parameters = NO_PARAMETERS
    module: str | None = None
    build: bool = True
    dependencies: bool = True

    @classmethod
    def from_words(
        cls, words: Sequence[str], directory: Path, module: str | None, *, build: bool, dependencies: bool
    ) -> "LoadRequest":
        """Of words as they were typed: .ko files (no `=`) and `NAME=VALUE` parameters.

        Raises UsageError for a .ko that is not there, and for a parameter the kernel can't be given.
        """
        kos = tuple(existing(directory / word) for word in words if "=" not in word)
        parameters = Parameters.from_arguments([word for word in words if "=" in word])
        return cls(directory, kos, parameters, module, build, dependencies)
