"""`reload`."""

from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold import console
from kscaffold.cli import options

if TYPE_CHECKING:
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.report import LoadReport
    from kscaffold.targets.target import Target


def reload(
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
    """Load into a pristine sandbox, in the old one's place. With --host: rmmod, then insmod."""
    kernel = options.spec_of(kernel, arch)
    # start-up time
    from kscaffold.cli.render import load as render
    from kscaffold.load.request import LoadRequest, TargetRequest
    from kscaffold.load.verbs.reload import reload as reload_modules

    page = None
    if html is not None:
        from kscaffold.cli.render.html import LoadPage  # start-up time: few want a page

        page = LoadPage(html)

    def on_load(report: "LoadReport", target: "Target", kernel: "Kernel | None") -> None:
        render.loaded(report)
        if page is not None:
            page.add_load(report, target, kernel)

    where = TargetRequest(host, kernel, cmdline, cert, offline, devices=tuple(device or ()))
    request = LoadRequest.from_words(
        words or (), directory or Path.cwd(), module, build=not no_build, dependencies=not no_deps
    ).with_firmware(firmware or (), where)
    request = request.with_sanitizer(where) if sanitize else request
    done = reload_modules(
        request,
        where,
        timeout=timeout,
        progress=console.progress(),
        on_load=on_load,
        on_unload=render.unloaded,
    )
    if done.stuck is not None:
        return render.unloads("reload", [done.stuck])
    if page is not None and not done.loads.failed_build:
        page.write()
    return render.loads("reload", done.loads, trace)
