"""Build as the project itself does, by dkms.conf or its own Makefile, for a kernel of our choice.

Kbuild alone is not enough where a file is made first, where variables are given, or where Kbuild is led
elsewhere. The project's own make runs then, with stand-ins first on PATH: `make` sends what is meant for
Kbuild to the chosen kernel's tree, `uname -r` names that kernel, and programs that would change this machine
do nothing.
"""

import json
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kscaffold import process
from kscaffold.files import reader
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.lock import noted_group
from kscaffold.make.request import BuildRequest
from kscaffold.project.ask import ASK, answered, kbuild_environment, kbuild_file
from kscaffold.project.dkms_conf import configures_build, has_make, read_dkms_conf
from kscaffold.project.makefile import kernel_variables, leads_to_kbuild, read_makefile
from kscaffold.project.project import Project
from kscaffold.records import dataclass, replace

_STAND_IN = Path(__file__).with_name("stand_in.py")
# Its path, where make echoes a recipe.
STAND_IN = re.compile(r"\S*/kscaffold-make-\w+/bin/make\b")
# Building is no reason to change this machine.
_NOT_RUN = ("sudo", "insmod", "rmmod", "modprobe", "depmod", "dkms")


@dataclass(frozen=True, slots=True)
class OwnWay:
    """`reason`: a phrase for why Kbuild alone is not enough."""

    reason: str
    dkms: bool


@dataclass(frozen=True, slots=True)
class OwnBuild:
    """The result of the project's own make. `reached`: whether it came to Kbuild; `built`: whether each of
    its calls of Kbuild succeeded; `status`: its own exit status; `exclusion`: why dkms would pass over this
    kernel, None where it would not.
    """

    project: Project
    reached: bool
    built: bool
    status: int
    exclusion: str | None = None


def own_way(directory: Path) -> OwnWay | None:
    """The project's own way, where it does more than Kbuild as far as can be read; None where it does not."""
    if reason := configures_build(directory):
        return OwnWay(reason, dkms=True)
    if reason := read_makefile(directory).reason:
        return OwnWay(reason, dkms=has_make(directory))
    return None


def last_resort(directory: Path, problem: str) -> OwnWay | None:
    """The project's own way, where Kbuild can't do it for `problem` and there is another way at all."""
    if has_make(directory):
        return OwnWay(problem, dkms=True)
    return OwnWay(problem, dkms=False) if leads_to_kbuild(directory) else None


def run_own_way(
    directory: Path,
    kernel: Kernel,
    way: OwnWay,
    take: Callable[[str], None],
    request: BuildRequest,
    tools: tuple[BuildTree, Toolchain, Path],
) -> OwnBuild:
    """Run the project's own make; `take` gets each line it says. `tools`: the kernel's tree, the compiler's
    variables, the project's state directory. Raises what `process.stream` raises."""
    tree, toolchain, state = tools
    with tempfile.TemporaryDirectory(prefix="kscaffold-make-") as name, noted_group(state) as note:
        place = Path(name)
        env = _environment(
            directory, place, kernel, tree, (*toolchain.variables, *request.variables), request
        )
        commands, exclusion = _commands(directory, place, way, tree, kernel)
        deadline, status = time.monotonic() + request.timeout, 0
        for command in commands:
            take(f"$ {command}")
            argv = [process.need("bash"), "-c", command]
            left = max(1.0, deadline - time.monotonic())
            status = process.stream(argv, take, timeout=left, cwd=directory, env=env, on_start=note)
            if status != 0:
                break
        seen = _seen(directory, reader.read_text(place / "answers"), status)
        return replace(seen, exclusion=exclusion)


def _commands(
    directory: Path, place: Path, way: OwnWay, tree: BuildTree, kernel: Kernel
) -> tuple[list[str], str | None]:
    """The shell lines to run, in order; and dkms.conf's exclusion of this kernel."""
    if not way.dkms:
        return ["make"], None
    conf = read_dkms_conf(directory, place, tree.release, tree.directory, kernel.arch)
    before = [f"./{conf.before}"] if conf.before else []
    # Unlike dkms itself we set no KERNELRELEASE: Kbuild's part of a Makefile alone would be read.
    return [*before, conf.make or f"make -C {tree.directory} M={directory} modules"], conf.exclusion


def _environment(
    directory: Path,
    place: Path,
    kernel: Kernel,
    tree: BuildTree,
    variables: tuple[str, ...],
    request: BuildRequest,
) -> dict[str, str]:
    """The environment of the project's make: the stand-ins, written to `place`, come first on PATH."""
    path = os.environ.get("PATH", os.defpath)
    jobs = request.jobs or len(os.sched_getaffinity(0))
    config = {
        "make": process.need("make"),
        "stand_in": str(place / "bin/make"),
        "project": str(directory),
        "tree": str(tree.directory),
        "variables": list(variables),
        "parallel": [*(["-O"] if jobs > 1 else []), f"-j{jobs}"],
        "path": path,
        "ask": str(ASK),
        "ask_in": None if tree.reads_kbuild_in_place else str(tree.directory),
        "ask_environment": kbuild_environment(tree, kernel),
        "answers": str(place / "answers"),
    }
    (place / "answers").touch()
    (place / "config.json").write_text(json.dumps(config))
    programs = place / "bin"
    programs.mkdir()
    python = shlex.join([sys.executable, "-IS", str(_STAND_IN)])
    uname = process.which("uname") or "uname"
    scripts = {
        "make": f'exec {python} "$@"\n',
        "gmake": f'exec {python} "$@"\n',
        "uname": f'[ "$*" = -r ] && echo {shlex.quote(tree.release)} || exec {uname} "$@"\n',
        **{p: f'echo "kscaffold: {p} $* is not run while building"\n' for p in _NOT_RUN},
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}")
        (programs / name).chmod(0o700)
    found = [f"{name}={tree.directory}" for name in kernel_variables(directory)]
    return process.environment({
        # As if they stood on the command line of each make, also of one that a script runs.
        "MAKEFLAGS": " ".join(["--", *(w.replace(" ", "\\ ") for w in (*found, *request.variables))]),
        "PATH": f"{programs}:{path}",
        "KSCAFFOLD_STAND_IN": str(place / "config.json"),
        "PWD": str(directory),
        "kernelver": tree.release,
        "kernel_source_dir": str(tree.directory),
    })  # fmt: skip


def _seen(directory: Path, answers: str, status: int) -> OwnBuild:
    """The build, by what the stand-in wrote down."""
    kbuild = kbuild_file(directory) or directory / "Makefile"
    project = Project(directory, kbuild, ())
    calls = answers.split("@kscaffold@ kbuild ")[1:]
    for call in calls:
        project = _joined(project, answered(replace(project, targets=()), call))
    states = [line.rpartition(" ")[2] for line in answers.splitlines() if "@kscaffold@ status " in line]
    return OwnBuild(project, bool(calls), bool(calls) and all(s == "0" for s in states), status)


def _joined(project: Project, other: Project) -> Project:
    """Two lists of modules as one: of a .ko in both, the second list's words count."""
    targets = {t.ko: t for t in (*project.targets, *other.targets)}
    read = tuple(dict.fromkeys((*project.read, *other.read)))
    return replace(project, targets=tuple(targets.values()), read=read, flags=(*project.flags, *other.flags))
