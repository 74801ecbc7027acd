"""A kernel's configuration: the options that it was built with."""

from pathlib import Path

from kscaffold.files import reader
from kscaffold.records import dataclass, field


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """The text of a `.config` or of an `auto.conf`, None where neither can be read."""

    text: str | None = field(default=None, repr=False)

    @property
    def known(self) -> bool:
        """Whether there is a configuration to ask."""
        return self.text is not None

    def has(self, option: str) -> bool | None:
        """Whether `CONFIG_<option>` is `y`; None where the configuration is not known."""
        return self.value(option) == "y" if self.known else None

    def value(self, option: str) -> str | None:
        """What `CONFIG_<option>` is set to, a string without its quotes; None where it is not set."""
        # One search in the text: a configuration has 10,000 lines, and a command asks for a few of them.
        text, line = self.text or "", f"\nCONFIG_{option}="
        start = text.find(line) + len(line)
        if start < len(line):
            return None
        value = text[start : text.find("\n", start)]
        return value[1:-1] if value[:1] == value[-1:] == '"' else value


UNKNOWN_CONFIG = KernelConfig()


def parse_config(text: str) -> KernelConfig:
    """The configuration that a file's text is; unknown where the text is empty."""
    return KernelConfig(f"\n{text}\n") if text else UNKNOWN_CONFIG


def read_config(build: Path) -> KernelConfig:
    """The configuration of a build tree; unknown where the tree tells none."""
    # Both files have the same lines; distributions leave out the one or the other.
    for name in (".config", "include/config/auto.conf"):
        try:
            found = parse_config(reader.read_text(build / name))
        except OSError:
            continue
        if found.known:
            return found
    return UNKNOWN_CONFIG
