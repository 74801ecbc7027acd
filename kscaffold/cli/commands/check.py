"""`check` and `info`: what a .ko says, and whether a kernel would take it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import check as documents
from kscaffold.errors import EXIT_NO, EXIT_YES, KscaffoldError

if TYPE_CHECKING:
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.module.check import Trust
    from kscaffold.project.project import ModuleTarget

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KO]... [PARAM=VALUE]...", help="Modules, or directories of them; values to try."
    ),
]
Kos = Annotated[list[Path] | None, typer.Argument(metavar="[KO]...", help="Modules, or directories of them.")]

# More are told in one line each, and only those with something to tell.
_IN_FULL = 4
Cmdline = Annotated[str, typer.Option("--cmdline", metavar="TEXT", help="What the kernel is started with.")]


def check(
    words: Words = None,
    kernel: options.KernelName = None,
    module: options.Module = None,
    cmdline: Cmdline = "",
    cert: options.Cert = None,
    directory: options.Directory = None,
    offline: options.Offline = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Say what a .ko is, and whether the kernel will take it. What is wrong with it is listed."""
    from kscaffold.module.arguments import kernel_string, split  # start-up time
    from kscaffold.module.check import check_many, modules_in

    here = directory or Path()
    given = [word for word in words or () if "=" in word and not (here / word).exists()]
    paths = [here / word for word in words or () if word not in given]
    arguments = split(kernel_string(given))
    if paths:
        chosen = _at_hand(kernel)
        checked = check_many(
            modules_in(paths), chosen, documents.check, arguments, _trust(chosen, cmdline, cert)
        )
    else:
        targets, chosen = _targets(here, kernel, module, offline)
        checked = _of_project(targets, chosen, arguments, _trust(chosen, cmdline, cert))
    return _tell(checked)


def info(
    kos: Kos = None,
    kernel: options.KernelName = None,
    module: options.Module = None,
    directory: options.Directory = None,
    offline: options.Offline = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Show what a .ko carries about itself, as modinfo does."""
    from kscaffold.module import modinfo_view as room  # start-up time
    from kscaffold.module.check import modules_in

    here = directory or Path()
    if kos:
        paths = modules_in([here / ko for ko in kos])
    else:
        paths = [target.ko for target in _targets(here, kernel, module, offline)[0]]
    told = []
    for path in paths:
        try:
            told.append(room.info(path))
        except KscaffoldError as error:
            if len(paths) == 1:
                raise
            # The others shall have their answer.
            console.warn(console.printable(f"{error.what}: {error.cause}" if error.cause else error.what))
    for number, document in enumerate(told):
        if number:
            console.out()
        for key, value in room.lines(document):
            console.out(console.printable_lines(f"{key + ':':<15} {value}" if key else f"\t\t{value}"))
    ok = len(told) == len(paths)
    console.emit("info", ok, told[0] if len(paths) == 1 else {"modules": told})
    return EXIT_YES if ok else EXIT_NO


def _at_hand(spec: str | None) -> "Kernel | None":
    """The kernel to hold a given .ko against. Nothing is fetched: without one the file still answers."""
    from kscaffold.kernel.choose import find_kernel  # start-up time

    return find_kernel(spec)


def _targets(
    here: Path, spec: str | None, only: str | None, offline: bool
) -> tuple[list["ModuleTarget"], "Kernel"]:
    """The project's modules, built, and the kernel they are for."""
    from kscaffold.kernel.choose import choose  # start-up time
    from kscaffold.project.find import find_project
    from kscaffold.project.known import project_at

    where = find_project(here)
    kernel = choose(spec, offline=offline, say=console.step)
    targets = list(project_at(where, kernel).named(only))
    for target in targets:
        if not target.ko.exists():
            raise KscaffoldError("KS418", f"{target.ko.name} is not built yet", fix="kscaffold build")
    return targets, kernel


def _trust(kernel: "Kernel | None", cmdline: str, certs: list[str] | None) -> "Trust":
    """What a sandbox with these options would trust, and so what the prediction is for."""
    from kscaffold.module.check import NO_TRUST, Trust  # start-up time

    if not cmdline and certs is None:
        return NO_TRUST
    from kscaffold.cli import prewarm  # start-up time
    from kscaffold.pkcs7 import keyring

    given = tuple(keyring.read_keyring(Path(c)) for c in certs or () if c != "none")
    try:
        trusted = (
            prewarm.trusted_certificates(kernel, cmdline, certs)
            if kernel and kernel.source != "running"
            else ()
        )
    except KscaffoldError as error:  # no image, or one that can't be given a certificate
        console.note(f"{error.what}: {error.cause}" if error.cause else error.what)
        trusted = ()
    return Trust(cmdline, trusted, given)


def _of_project(
    targets: "list[ModuleTarget]", kernel: "Kernel", arguments: list[str], trust: "Trust"
) -> Iterator[dict[str, Any]]:
    from kscaffold.module.check import check  # start-up time

    for target in targets:
        report = check(target.ko, expected_name=target.name, kernel=kernel, arguments=arguments, trust=trust)
        yield documents.check(report)


def _tell(checked: Iterable[dict[str, Any]]) -> int:
    """Render the documents, all at once where they are few. Returns the exit status."""
    told: list[dict[str, Any]] = []
    for document in checked:
        told.append(document)
    bad = sum(any(f["level"] == "error" for f in d["findings"]) for d in told)
    if len(told) <= _IN_FULL:
        for number, document in enumerate(told):
            if number:
                console.out()
            _in_full(document)
    else:
        for document in told:
            _in_short(document)
        console.out(f"{len(told)} modules checked, {bad} with errors")
    for document in told:
        # Shown to people as they named it.
        document["path"] = str(Path(document["path"]).absolute())
    console.emit("check", not bad, told[0] if len(told) == 1 else {"modules": told})
    return EXIT_NO if bad else EXIT_YES


def _in_full(document: dict[str, Any]) -> None:
    console.out(console.styled(console.printable(document["path"]), "bold"))
    for label, text in _facts(document):
        console.out(console.printable(f"  {label:<11} {text}"))
    for finding in document["findings"]:
        _finding(finding, "")


def _in_short(document: dict[str, Any]) -> None:
    for finding in document["findings"]:
        if finding["level"] != "info" or console.verbose:
            _finding(finding, f"{document['path']}: ")


def _finding(finding: dict[str, Any], where: str) -> None:
    styles = {"error": "red", "warn": "yellow", "info": "cyan"}
    names = {"error": "error", "warn": "warning", "info": "note"}
    level = console.styled(names[finding["level"]], styles[finding["level"]])
    console.out(f"{level}[{finding['code']}]: {console.printable(where + finding['message'])}")
    if finding["fix"] and finding["level"] != "info":
        console.out(f"    {console.styled('fix', 'cyan')}: {console.printable(finding['fix'])}")


def _facts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of one module, as (label, text)."""
    facts = []
    if document["module"] is not None:
        facts = [
            ("name", document["module"]),
            ("init", _place(document["init"])),
            ("exit", _place(document["exit"])),
            ("licence", document["license"] or "none"),
            ("built for", (document["vermagic"] or "unknown").strip()),
            ("depends on", ", ".join(document["depends"]) or "nothing"),
            *_signature(document),
        ]
        for parameter in document["parameters"]:
            text = f"{parameter['name']} ({parameter['type'] or 'type unknown'})"
            facts.append(
                ("parameter", text + (f": {parameter['description']}" if parameter["description"] else ""))
            )
    facts.append(("prediction", _prediction(document)))
    return facts


def _signature(document: dict[str, Any]) -> list[tuple[str, str]]:
    found = document["signature"]
    if found is None:
        return [("signature", "can't be read" if document["signed"] else "none")]
    how = " ".join(word for word in (found["key"], found["hash"]) if word)
    valid = {True: "right", False: "WRONG, the file was changed", None: "not checked"}[found["valid"]]
    unknown = " (its certificate is not known: --cert FILE)" if found["valid"] is None else ""
    return [
        ("signature", f"{valid}: {how}{unknown}"),
        ("signer", f"{found['signer'] or 'no name'}, key {found['serial'] or found['key_id']}"),
    ]


def _place(function: dict[str, str] | None) -> str:
    if function is None:
        return "none"
    return (
        f"{function['symbol']} in {function['section']}"
        if function["section"]
        else f"{function['symbol']}, missing"
    )


def _prediction(document: dict[str, Any]) -> str:
    prediction, kernel = document["prediction"], document["kernel"] or "the kernel"
    if prediction["loads"]:
        return f"{kernel} will take it"
    if prediction["loads"] is None:
        return "unknown" if document["kernel"] else "none: no kernel is at hand (kscaffold kernel add)"
    return f"{kernel} will refuse it: {prediction['errno']} at stage {prediction['stage']}"
