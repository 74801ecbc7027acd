"""What is fuzzed: each function takes bytes as others may send them, and fails where kscaffold would.

An answer or a KscaffoldError is right; any other exception, a broken promise or a loss of time is a bug.
"""

import atexit
import contextlib
import json
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from kscaffold.cli.documents import check as check_document
from kscaffold.cli.documents import explain as explain_document
from kscaffold.cli.render import explain as explain_lines
from kscaffold.diagnosis import crash, klog, trace
from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.reports import sanitizer
from kscaffold.diagnosis.residue import compare
from kscaffold.diagnosis.residue.growth import growth
from kscaffold.diagnosis.unload_verdict import UnloadEvidence, judge_unload
from kscaffold.diagnosis.verdict import judge
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.explain.explain import explain
from kscaffold.make.fingerprint.kbuild_text import unjudgeable
from kscaffold.module import modinfo_view
from kscaffold.module.check import check_module
from kscaffold.project.makefile import read_makefile
from kscaffold.project.settings import FILE as SETTINGS
from kscaffold.project.settings import read_settings
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.protocol import ChannelClosed, ChannelTimeout
from kscaffold.scaffold.kbuild import statements
from kscaffold.scaffold.metadata import answers, toml_comments
from kscaffold.targets.target import read_modules

_PLACE = Path(tempfile.mkdtemp(prefix="kscaffold-fuzz-"))
atexit.register(shutil.rmtree, _PLACE, ignore_errors=True)
_NONCE = 7


def check(data: bytes) -> None:
    """`check KO`."""
    with contextlib.suppress(KscaffoldError):
        json.dumps(check_document.check(check_module(_file("m.ko", data))))


def info(data: bytes) -> None:
    """`info KO`, and the few facts that a load asks for."""
    path = _file("m.ko", data)
    with contextlib.suppress(KscaffoldError):
        document = modinfo_view.info(path)
        json.dumps(document)
        list(modinfo_view.lines(document))
    with contextlib.suppress(KscaffoldError):
        ko = ModuleFile.open(path)
        for ask in (quick.module_name, quick.depends, quick.imports, quick.exports, quick.resident):
            ask(ko)
        quick.build_id(ko)
        quick.symbol_at(ko, ".text", 0x10)


def explain_log(data: bytes) -> None:
    """`explain -`."""
    answer = explain(log=data.decode(errors="replace"))
    json.dumps(explain_document.explain(answer))
    list(explain_lines.lines(answer))


def explain_topic(data: bytes) -> None:
    """`explain WORDS`."""
    answer = explain(data.decode(errors="replace"))
    json.dumps(explain_document.explain(answer))
    if answer.known:
        list(explain_lines.lines(answer))


def wire(data: bytes) -> None:
    """What a guest whose memory a module has written to may send: the answers to one request, and their
    parts.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            theirs.send(data)
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ChannelClosed, ChannelTimeout):
            answer = Channel(ours, most=0.0).answer(_NONCE, 0.2)
            assert -(2**31) <= answer.status < 2**31
    with contextlib.suppress(ChannelClosed):
        outcome = protocol.outcome(data)
        klog.parse_kmsg(b"\n".join(outcome.records))
        protocol.still_running(data)
    protocol.records(data)


def toml(data: bytes) -> None:
    """`.kscaffold.toml` and `kscaffold.toml`: what was read can be written, and is read as the same again."""
    _file(SETTINGS, data)
    with contextlib.suppress(KscaffoldError):
        read_settings(_PLACE)
    _file(answers.FILE, data)
    with contextlib.suppress(KscaffoldError):
        read = answers.read_answers(_PLACE)
        text = answers.text(read)
        _file(answers.FILE, text.encode())
        again = answers.read_answers(_PLACE)
        assert _unordered(again) == _unordered(read), (read, again)
        toml_comments.carried(data.decode(), text)


def _unordered(value: object) -> str:
    """A value as text; TOML writes a table's plain values before its tables."""
    if isinstance(value, answers.ProjectAnswers):
        parts = (value.template, value.given, value.base, value.kscaffold)
        return repr([_unordered(part) for part in parts])
    if isinstance(value, dict):
        return repr(sorted((repr(key), _unordered(item)) for key, item in value.items()))
    return repr([_unordered(item) for item in value]) if isinstance(value, list) else repr(value)


def kbuild(data: bytes) -> None:
    """Kbuild editing: a change adds its word and keeps every other word; else it says why not."""
    text = data.decode(errors="replace")
    unjudgeable(text)
    _file("Makefile", data)
    with contextlib.suppress(KscaffoldError):
        read_makefile(_PLACE)
    try:
        before = statements.statements(text)
    except statements.UneditableError:
        return
    with contextlib.suppress(statements.UneditableError):
        longer = statements.append(text, {"obj-m"}, "obj-m", "zz9.o")
        words = [w for s in statements.statements(longer) if s.name == "obj-m" for w in s.words]
        kept = [w for s in before if s.name == "obj-m" for w in s.words]
        assert words.count("zz9.o") == kept.count("zz9.o") + 1, longer
        assert [w for w in words if w != "zz9.o"] == [w for w in kept if w != "zz9.o"], longer
    with contextlib.suppress(statements.UneditableError):
        other = statements.replace_word(text, {"obj-m"}, "obj-m", "a.o", "zz9.o")
        words = [w for s in statements.statements(other) if s.name == "obj-m" for w in s.words]
        kept = [w for s in before if s.name == "obj-m" for w in s.words]
        assert words == ["zz9.o" if w == "a.o" else w for w in kept], other
    with contextlib.suppress(statements.UneditableError):
        statements.rename_behind(text, "a", "zz9")
    with contextlib.suppress(statements.UneditableError):
        statements.rename_variables(text, {"a-objs": "zz9-objs", "a-y": "zz9-y"})


def log(data: bytes) -> None:
    """A kernel's log, trace and photograph, and the verdicts made of them."""
    text = data.decode(errors="replace")
    first, _, second = text.partition("\f")
    records = tuple(klog.parse_kmsg(data)), tuple(klog.parse_text(first))
    timeline = trace.timeline(trace.parse_trace(second or text))
    for each in records:
        crash.complaints(each, "m")
        sanitizer.read_reports(each)
        sanitizer.notes(each)
        for attempt in (
            Attempt(0, each),
            Attempt(22, each),
            Attempt(None, each, answered=False, late=True),
            Attempt(None, each, answered=False, alive=False, reset=True),
        ):
            judge(Evidence("m", attempt, timeline=timeline))
            judge_unload(UnloadEvidence("m", attempt))
    found = compare.parts(text)
    compare.grown(found)
    compare.compare(found, (("m.c", first),))
    growth(found, found, 4)
    read_modules(text)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "check": check,
    "info": info,
    "explain-log": explain_log,
    "explain-topic": explain_topic,
    "wire": wire,
    "toml": toml,
    "kbuild": kbuild,
    "log": log,
}


def _file(name: str, data: bytes) -> Path:
    path = _PLACE / name
    path.write_bytes(data)
    return path
