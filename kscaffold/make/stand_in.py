"""The `make` that a project's own Makefile finds first on PATH; a program, run by itself, not imported.

A call that is meant for Kbuild (it carries M= or SUBDIRS=, or goes to a kernel's tree) goes to the chosen
kernel's tree, and what it is about to build is asked first (ask.mk) with the same variables and environment.
Any other call is the real make's, under this program's name, so that $(MAKE) leads here again. A call whose
errors nobody is to see tries something, as a configure script does: it is noted apart. The file that
$KSCAFFOLD_STAND_IN names says which kernel, which make and which variables.
"""

import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

_TREES = re.compile(r"/lib/modules/[^/]+/(?:build|source)/?|/usr/src/(?:linux|kernels)[^/]*(?:/[^/]+)?/?")
_INSTALLS = ("modules_install", "install", "modules_sign")
_VARIABLE = re.compile(r"[A-Za-z_]\w*[:+?]?=")


def main(args: list[str]) -> int:
    """Run the right make; returns only when nothing was to be run."""
    place = os.environ["KSCAFFOLD_STAND_IN"]
    config = json.loads(Path(place).read_text())
    directory, module, rest = _parted(args)
    if not _is_for_kbuild(directory, module, config):
        os.execv(config["make"], [config["stand_in"], *_without_install(args, rest)])
    env = {**os.environ, "PATH": config["path"], "PWD": os.environ.get("PWD") or str(Path.cwd())}
    del env["KSCAFFOLD_STAND_IN"]
    env.pop("MAKE", None)
    if _is_hidden():
        config["answers"] = config["answers_to_tries"]
    goals = [a for a in rest if not a.startswith("-") and not _VARIABLE.match(a)]
    if goals and all(g in _INSTALLS for g in goals):
        sys.stdout.write(f"kscaffold: make {' '.join(goals)} is not run while building\n")
        return 0
    rest = [a for a in rest if a not in _INSTALLS or a not in goals]
    variables = config["variables"]
    where = [f"M={module}"] if module else []
    if module and not any("clean" in g or g == "help" for g in goals):
        given = [a for a in rest if _VARIABLE.match(a)]
        _ask(module, [*given, *variables], env, config)
    parallel = [] if "-j" in env.get("MAKEFLAGS", "") or not module else config["parallel"]
    argv = [config["make"], "-C", config["tree"], *where, *rest, *variables, *parallel]
    status = os.spawnve(os.P_WAIT, config["make"], argv, {**env, **config["environment"]})
    if module:
        _report(config, f"@kscaffold@ status {status}")
    return status if status >= 0 else 2


def _without_install(args: list[str], rest: list[str]) -> list[str]:
    """The words of a call by dkms.conf or a script without `install`, so that the default goal is made. What
    a Makefile's own recipe calls may put its parts together in the project. `rest`: those that name no place.
    """
    goals = [a for a in rest if not a.startswith("-") and not _VARIABLE.match(a)]
    if "MAKELEVEL" in os.environ or not goals or not all(g in _INSTALLS for g in goals):
        return args
    sys.stdout.write(f"kscaffold: make {' '.join(goals)} is not run while building: make alone is\n")
    sys.stdout.flush()
    return [a for a in args if a not in goals]


def _parted(args: list[str]) -> tuple[str | None, str | None, list[str]]:
    """-C's directory, the module's directory (absolute), and the other words."""
    directory = module = None
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word in ("-C", "--directory"):
            directory = next(words, None)
        elif word.startswith(("-C", "--directory=")):
            directory = word.removeprefix("--directory=").removeprefix("-C")
        elif word.startswith(("M=", "SUBDIRS=", "KBUILD_EXTMOD=")) and word.partition("=")[2]:
            module = os.path.realpath(word.partition("=")[2])
        elif not word.startswith("MO="):  # another place for what is made: each kernel has its own here
            rest.append(word)
    return directory, module, rest


def _is_for_kbuild(directory: str | None, module: str | None, config: dict[str, Any]) -> bool:
    if directory is None:
        return False
    if _TREES.fullmatch(directory) or os.path.realpath(directory) == config["tree"]:
        return True
    # M may be a variable of the project's own, in a make of its own below.
    inside = os.path.realpath(directory).startswith(f"{config['project']}/")
    return module is not None and not inside


def _is_hidden() -> bool:
    """Whether the errors go to no reader: to /dev/null, or to a file."""
    errors = os.fstat(2)
    to_null = stat.S_ISCHR(errors.st_mode) and errors.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
    return to_null or stat.S_ISREG(errors.st_mode)


def _ask(module: str, variables: list[str], env: dict[str, str], config: dict[str, Any]) -> None:
    argv = [config["make"], "-rR", "--no-print-directory", "-C", config["ask_in"] or module]
    argv += ["-f", config["ask"], f"M={module}", f"obj={module}", *variables]
    argv += ["kscaffold-building=y", "kscaffold-ask"]
    _report(config, f"@kscaffold@ kbuild {module}")
    answers = os.open(config["answers"], os.O_WRONLY | os.O_APPEND)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    redirected = [(os.POSIX_SPAWN_DUP2, answers, 1), (os.POSIX_SPAWN_DUP2, nowhere, 2)]
    asking = os.posix_spawn(
        config["make"], argv, {**env, **config["ask_environment"]}, file_actions=redirected
    )
    os.waitpid(asking, 0)


def _report(config: dict[str, Any], line: str) -> None:
    with Path(config["answers"]).open("a") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
