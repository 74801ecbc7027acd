"""The name by which the kernel knows a module."""


def normalize_name(name: str) -> str:
    """The name the kernel knows a module by: `-` and `,` become `_` (scripts/Makefile.lib, name-fix)."""
    return name.replace("-", "_").replace(",", "_")
