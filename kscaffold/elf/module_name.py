"""The name by which the kernel knows a module, and how module files are called."""

# A module file's endings, plain and compressed.
KO_SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")


def normalize_name(name: str) -> str:
    """The name the kernel knows a module by: `-` and `,` become `_` (scripts/Makefile.lib, name-fix)."""
    return name.replace("-", "_").replace(",", "_")


def ko_stem(file: str) -> str:
    """A file's name without `.ko` and what follows it (`.xz`, `.bak`); all of it where there is no `.ko`."""
    stem, ending, rest = file.rpartition(".ko")
    return stem if ending and (not rest or rest.startswith(".")) else file


def module_name_of(path: str) -> str:
    """The name the kernel would know a module by if its file's name were all there is."""
    return normalize_name(ko_stem(path.rpartition("/")[2]))
