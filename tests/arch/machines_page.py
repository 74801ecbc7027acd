"""docs/machines.md: its tables, made from tests/arch/kernels.toml and the records of architectures.

`python -m tests.arch.machines_page` writes them into the page.
"""

import contextlib
import re
import tomllib
from pathlib import Path
from typing import Any

from kscaffold.arch import table
from kscaffold.elf.module_file import ModuleFile
from kscaffold.kernel.config import read_config
from kscaffold.kernel.facts import read_facts
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.load import load
from kscaffold.module.arguments import NO_PARAMETERS
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import ROOT
from tests.zoo.sources import built

PAGE = ROOT / "docs/machines.md"
_DATA = Path(__file__).with_name("kernels.toml")
_COLUMNS = (
    ("kernel", "release"),
    ("from", "suite"),
    ("symbol versions", "modversions"),
    ("modules", "modules"),
    ("BTF in modules", "btf"),
    ("headers name", "headers"),
    ("image", "image"),
    ("vermagic ends", "vermagic"),
    ("struct module", "struct_module"),
    ("stages that can be probed", "probed"),
    ("restores live", "restores"),
)


def data() -> list[dict[str, Any]]:
    """The kernels that were looked at, each with what was found."""
    found: list[dict[str, Any]] = tomllib.loads(_DATA.read_text())["kernel"]
    return found


def measured(kernel: Kernel) -> dict[str, Any]:
    """The same of a kernel that is here, read from its files."""
    assert kernel.build and kernel.image and kernel.modules
    config, facts = read_config(kernel.build), read_facts(kernel)
    names = [p.name for p in kernel.modules.rglob("*.ko*")]
    makefile = (kernel.build / "Makefile").read_text()
    words = (facts.vermagic or "").split()
    return {
        "modversions": config.has("MODVERSIONS") is True,
        "modules": f".ko{names[0].partition('.ko')[2]}",
        "btf": config.has("DEBUG_INFO_BTF_MODULES") is True,
        "headers": ", ".join(re.findall(r"^(include|KBUILD_OUTPUT)\b", makefile, re.M)),
        "image": "lib/modules" if kernel.image.is_relative_to(kernel.modules) else "/boot",
        "vermagic": " ".join(w for w in words[1:] if w not in _EVERYWHERE),
        "struct_module": facts.struct_size,
    }


def observed(kernel: Kernel) -> dict[str, Any]:
    """What guests show of it: the stages of a load that have a time of their own, since something of them can
    be probed, and whether a guest from a snapshot lives.
    """
    plan = plan_vm(kernel)
    for _ in range(2):  # the first one makes the snapshot, where there is none
        with contextlib.closing(start_guest(plan)) as guest:
            restored = guest.restored
            target = SandboxTarget.from_guest(guest, plan.machine.cmdline)
            place = built(kernel, frozenset({"hello"}))
            report = load(ModuleFile.open(place / "hello.ko"), NO_PARAMETERS, target, timeout=20)
    stages = report.judgement.stages
    assert {stage.status for stage in stages} == {"passed"}
    probed = [stage.id for stage in stages if stage.microseconds is not None]
    return {"probed": "all" if len(probed) == len(stages) else ", ".join(probed), "restores": restored}


# Words of a vermagic that options of every machine bring (include/linux/vermagic.h).
_EVERYWHERE = ("SMP", "preempt", "mod_unload", "modversions")


def tables() -> str:
    """Both tables, in Markdown."""
    kernels = [[_cell(row.get(key)) for _, key in _COLUMNS] for row in data()]
    machines = [
        [
            a.debian,
            f"{a.qemu} -M {','.join((a.machine, *a.machine_options))}",
            a.image,
            a.agent_device,
            f"{a.bits}, {'little' if a.order == '<' else 'big'}",
            "RELA" if a.rela else "REL",
            ", ".join(f"`{s}`" for s in a.loader_sections) or "none",
            f"`{a.compiler_package()}`",
        ]
        for a in table.every()
        if a.flavours
    ]
    heads = ("machine", "QEMU", "image", "port", "bits, order", "relocations", "loader fills", "compiler")
    return f"{_markdown([h for h, _ in _COLUMNS], kernels)}\n{_markdown(heads, machines)}"


def _cell(value: object) -> str:
    if value is None:
        return "not tried"
    return (
        {True: "yes", False: "no", "": "–"}.get(value, str(value))
        if isinstance(value, (bool, str))
        else str(value)
    )


def _markdown(heads: Any, rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


BEGIN, END = "<!-- tables: python -m tests.arch.machines_page -->\n", "<!-- end -->\n"


def whole(text: str) -> str:
    """The page with the tables of today."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{tables()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(whole(PAGE.read_text()))
