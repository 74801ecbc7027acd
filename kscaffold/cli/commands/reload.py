"""`reload`."""

from pathlib import Path

from kscaffold import console
from kscaffold.cli import options


def reload(
    words: options.LoadWords = None,
    kernel: options.KernelName = None,
    module: options.Module = None,
    host: options.Host = False,
    no_build: options.NoBuild = False,
    no_deps: options.NoDeps = False,
    timeout: options.Timeout = 10.0,
    cmdline: options.Cmdline = "",
    cert: options.Cert = None,
    trace: options.Trace = False,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Load into a pristine sandbox, in the old one's place. With --host: rmmod, then insmod."""
    # start-up time
    from kscaffold.cli.render import load as render
    from kscaffold.load.request import LoadRequest, TargetRequest
    from kscaffold.load.verbs.reload import reload as reload_modules

    where = TargetRequest(host, kernel, cmdline, cert, offline)
    request = LoadRequest.from_words(
        words or (), directory or Path.cwd(), module, build=not no_build, dependencies=not no_deps
    )
    done = reload_modules(
        request,
        where,
        timeout=timeout,
        progress=console.progress(),
        hear=lambda report, target: render.loaded(report),
        hear_unload=render.unloaded,
    )
    if done.stuck is not None:
        return render.unloads("reload", [done.stuck])
    return render.loads("reload", done.loads, trace)
