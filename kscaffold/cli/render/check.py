"""How a check looks to people, and its JSON document."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kscaffold import console
from kscaffold.arch.table import kernel_name
from kscaffold.errors import EXIT_NO, EXIT_YES

# Of more modules each has one line, and only where there are findings.
_IN_FULL = 4


def checked(found: Iterable[dict[str, Any]]) -> int:
    """Render the documents, all at once where they are few. Returns the exit status."""
    documents: list[dict[str, Any]] = []
    for document in found:
        documents.append(document)
    bad = sum(any(f["level"] == "error" for f in d["findings"]) for d in documents)
    if len(documents) <= _IN_FULL:
        for number, document in enumerate(documents):
            if number:
                console.out()
            _in_full(document)
    else:
        for document in documents:
            _in_short(document)
        console.out(f"{len(documents)} modules checked, {bad} with errors")
    for document in documents:
        # Shown to people as they named it.
        document["path"] = str(Path(document["path"]).absolute())
    console.emit("check", not bad, documents[0] if len(documents) == 1 else {"modules": documents})
    return EXIT_NO if bad else EXIT_YES


def _in_full(document: dict[str, Any]) -> None:
    console.out(console.styled(console.printable(document["path"]), "bold"))
    for label, text in _facts(document):
        console.out(console.printable(f"  {label:<11} {text}"))
    for finding in document["findings"]:
        _finding(finding, document["path"])


def _in_short(document: dict[str, Any]) -> None:
    for finding in document["findings"]:
        if finding["level"] != "info" or console.verbose:
            _finding(finding, document["path"], named=True)


def _finding(finding: dict[str, Any], path: str, *, named: bool = False) -> None:
    styles = {"error": "red", "warn": "yellow", "info": "cyan"}
    names = {"error": "error", "warn": "warning", "info": "note"}
    level = console.styled(names[finding["level"]], styles[finding["level"]])
    message = f"{path}: {finding['message']}" if named else finding["message"]
    console.out(f"{level}[{finding['code']}]: {console.printable(message)}")
    if finding["fix"] and finding["level"] != "info":
        console.out(console.fix_line(finding["fix"], Path(path)))


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
    prediction, release, kernel = document["prediction"], document["kernel"], "the kernel"
    if release:
        kernel = kernel_name(release, document["arch"])
    if prediction["loads"]:
        return f"{kernel} will take it"
    if prediction["loads"] is None:
        return "unknown" if release else "none: no kernel is at hand (kscaffold kernel add)"
    return f"{kernel} will refuse it: {prediction['errno']} at stage {prediction['stage']}"
