"""Build as the project itself does, by dkms.conf or its own Makefile, for a kernel of our choice.

Kbuild alone is not enough where a file is made first, where variables are given, or where Kbuild is led
elsewhere. The project's own make runs then, with stand-ins first on PATH: `make` sends what is meant for
Kbuild to the chosen kernel's tree, `uname -r` names that kernel, and programs that would change this machine
do nothing.
"""

import contextlib
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from kscaffold import process
from kscaffold.files import paths, reader
from kscaffold.files.temporary import temporary_directory
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.fingerprint import compare
from kscaffold.make.lock import noted_group
from kscaffold.make.request import BuildRequest
from kscaffold.make.try_run import TryRun, open_try_run, with_answers
from kscaffold.project.ask import ASK, answered, kbuild_environment, kbuild_file
from kscaffold.project.configure import configure_options, configures_modules, is_configured
from kscaffold.project.dkms_conf import configures_build, has_make, read_dkms_conf
from kscaffold.project.makefile import kernel_variables, leads_to_kbuild, more_modules, read_makefile
from kscaffold.project.project import ModuleTarget, Project
from kscaffold.records import dataclass, replace

_STAND_IN = Path(__file__).with_name("stand_in.py")
# Its path, where make echoes a recipe.
STAND_IN = re.compile(r"\S*/kscaffold-work-\w+/bin/make\b")
_CONFIGURED = "configured.json"
_HELP = 60.0  # seconds for a configure to tell its options
# Building is no reason to change this machine.
_NOT_RUN = ("sudo", "insmod", "rmmod", "modprobe", "depmod", "dkms")


@dataclass(frozen=True, slots=True)
class OwnWay:
    """`reason`: a phrase for why Kbuild alone is not enough. `configure`: its configure runs first."""

    reason: str
    dkms: bool
    configure: bool = False


@dataclass(frozen=True, slots=True)
class OwnBuild:
    """The result of the project's own make. `reached`: whether it came to Kbuild; `built`: whether each of
    its calls of Kbuild succeeded, but for those that only tried something; `status`: its own exit status;
    `exclusion`: why dkms would pass over this kernel, None where it would not; `missing`: the script of
    PRE_BUILD that is not there, None where it is.
    """

    project: Project
    reached: bool
    built: bool
    status: int
    exclusion: str | None = None
    missing: str | None = None


def own_way(directory: Path) -> OwnWay | None:
    """The project's own way, where it does more than Kbuild as far as can be read; None where it does not."""
    if reason := configures_build(directory):
        return OwnWay(reason, dkms=True)
    makefile = read_makefile(directory)
    if reason := makefile.reason or more_modules(directory, makefile):
        return OwnWay(reason, dkms=has_make(directory))
    return None


def configured_way(directory: Path) -> OwnWay | None:
    """The way of a project whose configure makes what Kbuild reads, and was run by nobody but us; None for
    any other.
    """
    if not configures_modules(directory) or has_make(directory):
        return None
    if is_configured(directory) and not (paths.project_state(directory) / _CONFIGURED).exists():
        return None
    return OwnWay("configure makes what Kbuild reads", dkms=False, configure=True)


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
    with temporary_directory() as place, noted_group(state) as note:
        answers = open_try_run(tree, toolchain, state, request.variables)
        variables = (*toolchain.variables, *request.variables)
        env = _environment(directory, place, kernel, tree, variables, request, answers)
        deadline, status = time.monotonic() + request.timeout, 0

        def call(command: str) -> int:
            take(f"$ {command}")
            argv = [process.need("bash"), "-c", command]
            left = max(1.0, deadline - time.monotonic())
            return process.stream(argv, take, timeout=left, cwd=directory, env=env, on_start=note)

        if way.configure:
            status = _configure(directory, tree, state, env, call)
            env["MAKEFLAGS"] = _make_flags(directory, tree, request)
            for name in ("answers", "tries"):  # what it tried is no build
                (place / name).write_text("")
        commands, exclusion, missing = _commands(directory, place, way, tree, kernel)
        for command in commands:
            status = status or call(command)
        # Where nothing else came to Kbuild, what hid its errors was the build.
        seen = _seen(directory, reader.read_text(place / "answers"), status)
        seen = seen if seen.reached else _seen(directory, reader.read_text(place / "tries"), status)
        if answers and seen.built:
            answers.keep()
        return replace(seen, exclusion=exclusion, missing=missing)


def _configure(
    directory: Path, tree: BuildTree, state: Path, env: Mapping[str, str], call: Callable[[str], int]
) -> int:
    """Run the project's configure for this kernel, unless that was done and is still there; its status."""
    record, wanted = state / _CONFIGURED, [str(tree.directory), compare.facts_of(f"{directory}/configure")]
    with contextlib.suppress(OSError, ValueError):
        if json.loads(reader.read_text(record)) == wanted and is_configured(directory):
            return 0
    asked = process.run(["./configure", "--help"], timeout=_HELP, cwd=directory, env=env)
    options = configure_options(asked.stdout + asked.stderr, tree.directory, tree.source)
    record.write_text("null")  # what there is from now on is ours
    if (status := call(shlex.join(["./configure", *options]))) == 0:
        record.write_text(json.dumps(wanted))
    return status


def _commands(
    directory: Path, place: Path, way: OwnWay, tree: BuildTree, kernel: Kernel
) -> tuple[list[str], str | None, str | None]:
    """The shell lines to run, in order; dkms.conf's exclusion of this kernel; its absent script."""
    if not way.dkms:
        goal = read_makefile(directory).goal
        return [f"make {goal}" if goal else "make"], None, None
    conf = read_dkms_conf(directory, place, tree.release, tree.directory, kernel.arch)
    script = (conf.before or "").partition(" ")[0]
    # A configure that only a release has: the rest may do without.
    missing = script if re.fullmatch(r"[\w./-]+", script) and not (directory / script).exists() else None
    before = [f"./{(conf.before or '').removeprefix('./')}"] if script and not missing else []
    # Unlike dkms itself we set no KERNELRELEASE: Kbuild's part of a Makefile alone would be read.
    make = conf.make or f"make -C {tree.directory} M={directory} modules"
    return [*before, make], conf.exclusion, missing


def _environment(
    directory: Path,
    place: Path,
    kernel: Kernel,
    tree: BuildTree,
    variables: tuple[str, ...],
    request: BuildRequest,
    answers: TryRun | None,
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
        "environment": with_answers({}, answers),
        "ask_environment": kbuild_environment(tree, kernel),
        "answers": str(place / "answers"),
        "answers_to_tries": str(place / "tries"),
    }
    for name in ("answers", "tries"):
        (place / name).touch()
    (place / "config.json").write_text(json.dumps(config))
    programs = place / "bin"
    programs.mkdir()
    # Said here, not in the environment, which `env -i` empties.
    config_at = f"KSCAFFOLD_STAND_IN={shlex.quote(str(place / 'config.json'))}"
    python = f"{config_at} exec {shlex.join([sys.executable, '-IS', str(_STAND_IN)])}"
    uname = process.which("uname") or "uname"
    scripts = {
        "make": f'{python} "$@"\n',
        "gmake": f'{python} "$@"\n',
        "uname": f'[ "$*" = -r ] && echo {shlex.quote(tree.release)} || exec {uname} "$@"\n',
        **{p: f'echo "kscaffold: {p} $* is not run while building"\n' for p in _NOT_RUN},
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}")
        (programs / name).chmod(0o700)
    return process.environment({
        "MAKEFLAGS": _make_flags(directory, tree, request),
        "PATH": f"{programs}:{path}",
        "PWD": str(directory),
        "kernelver": tree.release,
        "kernel_source_dir": str(tree.directory),
    })  # fmt: skip


def _make_flags(directory: Path, tree: BuildTree, request: BuildRequest) -> str:
    """Variables, as if they stood on the command line of each make, also of one that a script runs."""
    variables_of_tree = kernel_variables(directory, tree.directory, tree.source)
    found = [f"{name}={value}" for name, value in variables_of_tree.items()]
    return " ".join(["--", *(word.replace(" ", "\\ ") for word in (*found, *request.variables))])


def _seen(directory: Path, answers: str, status: int) -> OwnBuild:
    """The build, by what the stand-in wrote down."""
    kbuild = kbuild_file(directory) or directory / "Makefile"
    project = Project(directory, kbuild, ())
    calls = answers.split("@kscaffold@ kbuild ")[1:]
    for call in calls:
        asked = answered(replace(project, targets=()), call)
        done = asked if asked.targets else replace(asked, targets=_linked(Path(call.partition("\n")[0])))
        project = _joined(project, done)
    states = [line.rpartition(" ")[2] for line in answers.splitlines() if "@kscaffold@ status " in line]
    return OwnBuild(project, bool(calls), bool(calls) and all(s == "0" for s in states), status)


def _linked(directory: Path) -> tuple[ModuleTarget, ...]:
    """The modules that Kbuild says it linked there: what it makes of obj-m can rest on what only it sets."""
    order = directory / "modules.order"
    names = reader.read_text(order).split() if order.is_file() else []
    # Absolute until Linux 6.12, below the directory since; `.ko` until 6.1, `.o` since.
    kos = [ko for name in names if (ko := (directory / name).with_suffix(".ko")).is_file()]
    return tuple(ModuleTarget(ko.stem, (f"{ko.stem}.o",), ko.parent, ko) for ko in kos)


def _joined(project: Project, other: Project) -> Project:
    """Two lists of modules as one: of a .ko in both, the second list's words count."""
    targets = {t.ko: t for t in (*project.targets, *other.targets)}
    read = tuple(dict.fromkeys((*project.read, *other.read)))
    return replace(project, targets=tuple(targets.values()), read=read, flags=(*project.flags, *other.flags))
