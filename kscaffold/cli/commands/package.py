"""`kscaffold package`: dkms.conf, and modules where modprobe finds them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import build as documents
from kscaffold.errors import EXIT_NO, EXIT_YES, KscaffoldError

if TYPE_CHECKING:
    from kscaffold.package.install import InstallReport

app = typer.Typer(help="Bring modules to machines: dkms, modprobe.", no_args_is_help=True)


@app.command("dkms")
def dkms(
    name: Annotated[str | None, typer.Option("--name", help="The package; else the module's name.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="Else MODULE_VERSION, or 0.1.0.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a dkms.conf that says otherwise.")] = False,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Write a dkms.conf, by which dkms builds for each kernel."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.kernel.buildtree import read_tree  # start-up time
    from kscaffold.kernel.choose import find_kernel
    from kscaffold.package.dkms import dkms as write
    from kscaffold.package.dkms import lacking_compiler, own_dkms_conf, placeholder_fix
    from kscaffold.project.find import find_project
    from kscaffold.project.known import project_at

    chosen = find_kernel(kernel)
    where = find_project(directory or Path.cwd())
    kept = None if force else own_dkms_conf(where, name, version)
    report = kept or write(project_at(where, chosen), where, name=name, version=version, force=force)
    diff = report.change.diff(where)
    for line in diff.splitlines():
        console.out(console.printable(line))
    text = f"dkms.conf for {report.name}/{report.version}{': the project has one of its own' if kept else ''}"
    console.step("Wrote" if report.written else "Unchanged", text)
    dkms_does = f"sudo dkms add {where} && sudo dkms install {report.name}/{report.version}"
    console.step("Next", placeholder_fix(where, report.version) or dkms_does)
    if chosen and chosen.build and (compiler := lacking_compiler(read_tree(chosen.build, chosen.arch))):
        console.warn(
            f"dkms builds for {chosen.name} with {compiler}, which is not installed",
            fix=f"sudo apt-get install --no-install-recommends {compiler}",
        )
    console.emit("package dkms", True, documents.package_dkms(report, where, diff))
    return EXIT_YES


@app.command("install")
def install(
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="The machine's root directory.", show_default=False)
    ] = Path("/"),
    module: options.Module = None,
    no_build: options.NoBuild = False,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Put this project's modules where modprobe finds them. Runs depmod, too."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.cli.render.build import failed_build  # start-up time
    from kscaffold.kernel.choose import choose
    from kscaffold.make.build_project import build_project
    from kscaffold.package.install import install as put
    from kscaffold.project.find import find_project
    from kscaffold.project.known import project_at

    where = find_project(directory or Path.cwd())
    chosen = choose(kernel, offline=offline, progress=console.progress())
    if no_build:
        project = project_at(where, chosen)
    else:
        built = build_project(where, chosen, module=module, progress=console.progress())
        if not built.ok:
            return failed_build("package install", built)
        project = built.project
    meant = [target.ko for target in project.named(module)]
    _check_built(meant, chosen.release)
    report = put(meant, chosen.release, root)
    _render(report)
    if report.ok and root.resolve() == Path("/"):
        console.step("Next", f"sudo modprobe {' '.join(m.name for m in report.modules)}")
    console.emit("package install", report.ok, documents.package_install(report, chosen.arch))
    return EXIT_YES if report.ok else EXIT_NO


def _check_built(kos: list[Path], release: str) -> None:
    """Refuse modules that are missing, or built for another kernel."""
    from kscaffold.make.fingerprint.other_kernel import release_of  # start-up time

    for ko in kos:
        built_for = release_of(ko)
        if built_for != release:
            what = f"{ko.name} is built for {built_for}" if built_for else f"{ko.name} is not built"
            raise KscaffoldError("KS281", f"{what}, not for {release}", fix="kscaffold build")


def _render(report: "InstallReport") -> None:
    for line in report.said:
        console.detail(console.printable(line))
    for found in report.modules:
        console.out(str(found.path))
        for other in found.others:
            console.note(f"{other} has the same name")
        if not found.ok:
            output = "\n  ".join(report.said)
            console.warn(
                f"modprobe {found.name} would load {found.found or 'nothing'}"
                + (f"\n  {console.printable(output)}" if output and not found.found else ""),
                fix="kscaffold explain KS047",
            )
