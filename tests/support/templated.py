"""Every template as a project, built once for a kernel and a session of tests; and a guest to use it in."""

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kscaffold import process
from kscaffold.diagnosis.crash import complaints
from kscaffold.diagnosis.klog import Record, is_background
from kscaffold.elf.module_file import ModuleFile
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.config import read_config
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.dependencies import ModuleFiles, dependencies
from kscaffold.module.arguments import Parameters
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.scaffold.create.new import ProjectRequest, new
from kscaffold.scaffold.create.render import templates
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import need_program
from tests.examples.test_build import EXAMPLES, MADE, without_build_products
from tests.support.kernels import need_kernel, need_machine
from tests.support.shared import once

# Debian 12's sparse stops at the -march of 6.12.
BEYOND_SPARSE = ("riscv64",)
# What an out-of-tree module without a signature makes the kernel say.
_NORMAL = ("loading out-of-tree module taints kernel", "module verification failed")


def names(kernel: Kernel | None = None) -> list[str]:
    """Every template; with a kernel those that can be built for it."""
    if kernel is None:
        return [t.name for t in templates()]
    assert kernel.build is not None
    has = read_config(kernel.build).value
    return [t.name for t in templates() if not t.needs or has(t.needs.removeprefix("CONFIG_"))]


def module(template: str) -> str:
    """The name of the module that is made from a template here: with a dash, as people write."""
    return f"my-{template}"


@dataclass(frozen=True)
class Built:
    """One directory with a project of each template that goes with the kernel. `output`: make's, with W=1 and
    sparse's warnings.
    """

    place: Path
    status: int
    output: str
    names: tuple[str, ...]

    def ko(self, template: str, end: str = "") -> Path:
        """The module of a template."""
        return self.place / module(template) / f"{module(template)}{end}.ko"


def built(series: str, arch: str = "amd64") -> Built:
    """All templates for one kernel, by one make, and for another machine's the examples. Without sparse they
    are built all the same.
    """
    kernel = _kernel(series, arch)  # the one that is booted, too
    return built_for(kernel, tuple(names(kernel)), () if arch == "amd64" else tuple(MADE))


@functools.cache
def built_for(kernel: Kernel, names: tuple[str, ...], examples: tuple[str, ...] = ()) -> Built:
    """These templates for a kernel, and copies of these of our examples, by one make of a session."""
    which = (*names, "examples:", *examples)
    return once("templates", kernel, which, lambda place: _build(place, kernel, names, examples))


def _build(place: Path, kernel: Kernel, names: tuple[str, ...], examples: tuple[str, ...]) -> Built:
    assert kernel.build is not None
    tree = read_tree(kernel.build, kernel.arch)
    place.mkdir()
    for template in names:
        new(ProjectRequest(module(template), place, template, author="Ann Other"))
    for example in examples:
        for file in without_build_products(EXAMPLES / example):
            (place / example / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(EXAMPLES / example / file, place / example / file)
    projects = [*map(module, names), *examples]
    (place / "Kbuild").write_text("obj-m := " + " ".join(f"{name}/" for name in projects) + "\n")
    takes_sparse = kernel.arch not in BEYOND_SPARSE and shutil.which("sparse")
    sparse = ("C=2", "CF=-D__CHECK_ENDIAN__") if takes_sparse else ()
    variables = (*toolchain(tree).variables, "W=1", *sparse)
    argv = ["make", "-j2", "-C", str(kernel.build), f"M={place}", *variables, "modules"]
    done = process.run(argv, timeout=600, env={**os.environ, "LC_ALL": "C"})
    return Built(place, done.returncode, done.stdout + done.stderr, names)


def _kernel(series: str, arch: str) -> Kernel:
    return need_kernel(series) if arch == "amd64" else need_machine(arch)


class Guest:
    """A pristine guest, and what is built for its kernel."""

    def __init__(self, series: str, kernel: Kernel, target: SandboxTarget, arch: str = "amd64") -> None:
        self.series, self.kernel, self.target = series, kernel, target
        self.arch = arch
        self._before = len(target.log())
        self._files = ModuleFiles()

    @property
    def built(self) -> Built:
        """Every template for its kernel, built when a test first asks for one."""
        return built(self.series, self.arch)

    def load(self, template: str, parameters: str = "", end: str = "") -> int:
        """The errno of loading it, 0 for success."""
        self.load_classes(template)
        tried = self.target.load(
            ModuleFile.open(self.built.ko(template, end)), Parameters.parse(parameters), 20
        )
        assert tried.errno is not None, tried
        return tried.errno

    def load_classes(self, template: str) -> None:
        """Load the kernel's own modules that it needs: the class of its devices, where that is a module."""
        module = ModuleFile.open(self.built.ko(template))
        there = {listed.name for listed in self.target.modules()}
        for needed in dependencies(module, (), self.kernel, self._files):
            if needed.module not in there:
                assert self.target.load(needed, Parameters(), 20).errno == 0

    def unload(self, template: str, end: str = "") -> int:
        """The errno of unloading it, 0 for success."""
        tried = self.target.unload((module(template) + end).replace("-", "_"), 20)
        assert tried.errno is not None, tried
        return tried.errno

    @contextlib.contextmanager
    def loaded(self, template: str, parameters: str = "") -> Iterator[str]:
        """It is loaded; the kernel's name for it. Afterwards it is unloaded, and nothing is left."""
        self.load_classes(template)
        before = self.target.modules()
        assert self.load(template, parameters) == 0
        yield module(template).replace("-", "_")
        assert self.unload(template) == 0
        assert self.target.modules() == before
        assert self.quarrels() == []

    def said(self, template: str) -> list[str]:
        """What a module has said so far, without its name."""
        head = module(template).replace("-", "_") + ": "
        own = [r.text.removeprefix(head) for r in self._log() if r.text.startswith(head)]
        return [text for text in own if not text.startswith(_NORMAL)]

    def quarrels(self) -> list[str]:
        """What the kernel has complained of since the guest was restored, but for its own clock's troubles on
        a machine that is busy.
        """
        bad = [
            r.text
            for r in self._log()
            if r.level in ("emerg", "alert", "crit", "err", "warn")
            and r.facility == 0
            and not is_background(r)
            and not any(text in r.text for text in _NORMAL)
        ]
        return bad + [c.text for c in complaints(self._log())]

    def _log(self) -> list[Record]:
        return self.target.log()[self._before :]


@contextlib.contextmanager
def guest(series: str, arch: str = "amd64", devices: tuple[str, ...] = ()) -> Iterator[Guest]:
    """A pristine guest of a series and of a machine (Debian's name), or the test is skipped. `devices`: of
    its PCI bus.
    """
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = _kernel(series, arch)
    with contextlib.closing(start_guest(plan_vm(kernel, devices=devices))) as started:
        yield Guest(series, kernel, SandboxTarget.from_guest(started, ""), arch)
