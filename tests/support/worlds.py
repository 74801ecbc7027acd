"""A small kernel on disk: what a module is held against, without a download."""

from dataclasses import dataclass, field
from pathlib import Path

from kscaffold.kernel import store
from kscaffold.kernel.kernel import Kernel
from tests.support.elf import Ko

RELEASE = "6.1.0-test"
CONFIG = {
    "MODVERSIONS",
    "KALLSYMS",
    "MODULE_FORCE_LOAD",
    "MODULE_SIG",
    "STRICT_MODULE_RWX",
    "SMP",
    "CONSTRUCTORS",
    "SECURITY_LOCKDOWN_LSM",
    "MODULE_UNLOAD",
    "PREEMPT_BUILD",
}
# CRC, module, export type, namespace.
SYMBOLS = {
    "module_layout": (0x1234, "vmlinux", "EXPORT_SYMBOL", ""),
    "_printk": (0x92997ED8, "vmlinux", "EXPORT_SYMBOL", ""),
    "debugfs_create_dir": (0x11, "vmlinux", "EXPORT_SYMBOL_GPL", ""),
    "dma_buf_get": (0x22, "vmlinux", "EXPORT_SYMBOL_GPL", "DMA_BUF"),
    "kept": (0x44, "vmlinux", "EXPORT_SYMBOL_GPL", "module:kvm,kvm-amd,vfio*"),
    "crc32c_other": (0x33, "drivers/lib-crc", "EXPORT_SYMBOL", ""),
}


@dataclass
class World:
    """A kernel to write; `kernel(directory)` writes it."""

    config: set[str] = field(default_factory=lambda: set(CONFIG))
    symbols: dict[str, tuple[int, str, str, str]] | None = field(default_factory=lambda: dict(SYMBOLS))
    since_6_4: bool = False
    reference: Ko | None = field(default_factory=lambda: Ko("dummy", info=[("intree", "Y")]))
    builtin: tuple[str, ...] = ("8250-base",)
    builtin_info: tuple[str, ...] = ("8250_base.version=1", "main.parmtype=x:int", "vt.description=x")

    def kernel(self, directory: Path) -> Kernel:
        build, modules = directory / "build", directory / "modules"
        (build / "include/linux").mkdir(parents=True)
        (build / "Makefile").write_text("")
        (build / ".config").write_text("".join(f"CONFIG_{name}=y\n" for name in sorted(self.config)))
        (build / "include/linux/module.h").write_text("struct module_memory {" if self.since_6_4 else "")
        if self.symbols is not None:
            lines = [f"{c:#010x}\t{n}\t{m}\t{k}\t{s}\n" for n, (c, m, k, s) in self.symbols.items()]
            (build / "Module.symvers").write_text("".join(lines))
        (modules / "kernel").mkdir(parents=True)
        if self.reference is not None:
            (modules / "modules.order").write_text("kernel/dummy.ko\n")
            (modules / "kernel/dummy.ko").write_bytes(self.reference.bytes())
        (modules / "modules.builtin").write_text("".join(f"kernel/x/{n}.ko\n" for n in self.builtin))
        (modules / "modules.builtin.modinfo").write_text("\0".join(self.builtin_info))
        return Kernel(RELEASE, "fetched", build, None, None, modules, "test")

    def stored(self) -> Kernel:
        """The kernel, as the only one in the cache that the environment names."""
        place = store.root() / RELEASE
        place.mkdir(parents=True)
        kernel = self.kernel(place)
        store.write_record(place, kernel, {})
        return kernel
