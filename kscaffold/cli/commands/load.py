"""`load`."""

from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold import console
from kscaffold.cli import options

if TYPE_CHECKING:
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.report import LoadReport
    from kscaffold.load.verbs.load import LoadListener
    from kscaffold.targets.target import Target


def load(
    words: options.LoadWords = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    module: options.Module = None,
    host: options.Host = False,
    no_build: options.NoBuild = False,
    no_deps: options.NoDeps = False,
    timeout: options.Timeout = 10.0,
    sanitize: options.Sanitize = False,
    cmdline: options.Cmdline = "",
    device: options.Devices = None,
    cert: options.Cert = None,
    firmware: options.Firmware = None,
    trace: options.Trace = False,
    html: options.Html = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Load this project's modules, or a .ko, in a sandbox (insmod). Builds first when needed."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.load.request import LoadRequest, TargetRequest  # start-up time
    from kscaffold.load.verbs.load import load as load_modules

    where = TargetRequest(host, kernel, cmdline, cert, offline, devices=tuple(device or ()))
    page = None
    if html is not None:
        from kscaffold.cli.render.html import LoadPage  # start-up time: few want a page

        page = LoadPage(html)
    request = LoadRequest.from_words(
        words or (), directory or Path.cwd(), module, build=not no_build, dependencies=not no_deps
    ).with_firmware(firmware or (), where)
    request = request.with_sanitizer(where) if sanitize else request

    def listen(chosen: "Kernel | None") -> "LoadListener":
        from kscaffold.cli.render import load as render  # start-up time: while the sandbox starts

        def on_load(report: "LoadReport", target: "Target") -> None:
            render.loaded(report)
            if page is not None:
                page.add_load(report, target, chosen)

        return on_load

    loads = load_modules(request, where, timeout=timeout, progress=console.progress(), listen=listen)
    from kscaffold.cli.render import load as render  # start-up time: imported by now

    if page is not None and not loads.failed_build:
        page.write()
    return render.loads("load", loads, trace)
