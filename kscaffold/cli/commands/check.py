"""`check`: what a .ko says, and whether a kernel would take it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.cli.documents import check as documents

if TYPE_CHECKING:
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.module.check import Trust
    from kscaffold.project.project import ModuleTarget

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KO]... [PARAM=VALUE]...", help="Modules, a project, or directories of .ko; values to try."
    ),
]
Cmdline = Annotated[str, typer.Option("--cmdline", metavar="TEXT", help="What the kernel is started with.")]


def check(
    words: Words = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    module: options.Module = None,
    cmdline: Cmdline = "",
    cert: options.Cert = None,
    directory: options.Directory = None,
    offline: options.Offline = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Say what a .ko is, and whether the kernel will take it. What is wrong with it is listed."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.cli.render import check as render  # start-up time
    from kscaffold.module.arguments import kernel_string, split
    from kscaffold.module.check import check_many, modules_in
    from kscaffold.project.meant import files_meant, meant

    here = directory or Path()
    given = [word for word in words or () if "=" in word and not (here / word).exists()]
    named = [word for word in words or () if word not in given]
    m = meant(named, here, module)
    arguments = split(kernel_string(given))
    if files := modules_in(files_meant(named, m)):
        from kscaffold.elf.quick import foreign_machine  # start-up time
        from kscaffold.kernel.choose import find_kernel

        # Nothing is fetched for a file that is there: without a kernel it still answers.
        machine = None if kernel else foreign_machine(files[0])
        # Its own machine's kernel where one is here; else the one that commands take, which refuses it.
        found = find_kernel(f"{machine.debian}:") if machine else None
        found = found or find_kernel(kernel)
        trust = _trust(found, cmdline, cert)
        return render.checked(check_many(files, found, documents.check, arguments, trust))
    from kscaffold.kernel.choose import choose  # start-up time
    from kscaffold.project.find import find_project
    from kscaffold.project.known import built_targets

    project = find_project(m.directory)
    chosen = choose(kernel, offline=offline, progress=console.progress())
    targets = built_targets(project, chosen, m.module)
    trust = _trust(chosen, cmdline, cert)
    return render.checked(_of_project(targets, chosen, arguments, trust))


def _trust(kernel: "Kernel | None", cmdline: str, certs: list[str] | None) -> "Trust":
    """What a sandbox with these options would trust."""
    from kscaffold.module.check import NO_TRUST  # start-up time

    if not cmdline and certs is None:
        return NO_TRUST
    from kscaffold.load.request import TargetRequest  # start-up time: few are signed
    from kscaffold.load.trust import predicted_trust

    return predicted_trust(kernel, TargetRequest(cmdline=cmdline, certs=certs), console.progress())


def _of_project(
    targets: "list[ModuleTarget]", kernel: "Kernel", arguments: list[str], trust: "Trust"
) -> Iterator[dict[str, Any]]:
    from kscaffold.module.check import check_module  # start-up time

    for target in targets:
        report = check_module(
            target.ko, expected_name=target.name, kernel=kernel, arguments=arguments, trust=trust
        )
        yield documents.check(report)
