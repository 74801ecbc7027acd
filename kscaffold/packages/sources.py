"""Where the host's own apt gets packages from, and the private list of sources we make of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.files import reader
from kscaffold.records import dataclass, replace

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class AptSource:
    """One suite of one mirror. `signed_by`: a keyring's path or an embedded key, None for apt's own."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None = None


def configured() -> list[AptSource]:
    """The binary package sources of this machine's apt, in its order; suites of flat repositories left out.

    Read from the files themselves: `apt-get indextargets` is silent until the first `apt-get update`.
    """
    # apt-config knows where they are, whatever apt.conf says.
    shell = process.run(
        ["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"],
        timeout=_TIMEOUT,
    )
    places = dict(line.split("=", 1) for line in shell.stdout.splitlines() if "=" in line)
    main = Path(places.get("LIST", "/etc/apt/sources.list").strip("'"))
    parts = Path(places.get("PARTS", "/etc/apt/sources.list.d").strip("'"))
    files = [main, *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    found: list[AptSource] = []
    for file in files:
        try:
            text = reader.read_text(file)
        except OSError:
            continue
        found += parse_deb822(text) if file.suffix == ".sources" else parse_one_line(text)
    return list(dict.fromkeys(found))


def parse_one_line(text: str) -> Iterator[AptSource]:
    """Sources of a `sources.list` (sources.list(5), "one-line-style format")."""
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        if not line.startswith(("deb ", "deb\t")):
            continue
        rest, options = line[3:].strip(), ""
        if rest.startswith("["):
            options, _, rest = rest[1:].partition("]")
        words = rest.split()
        if len(words) < 3:  # a flat repository has no components
            continue
        signed = [o.split("=", 1)[1] for o in options.split() if o.lower().startswith("signed-by=")]
        yield AptSource(words[0].rstrip("/"), words[1], tuple(words[2:]), signed[0] if signed else None)


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Sources of a `.sources` file (sources.list(5), "deb822-style format")."""
    for stanza in text.replace("\r", "").split("\n\n"):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in _NO:
            continue
        components = tuple(fields.get("components", "").split())
        signed = fields.get("signed-by", "").strip() or None
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                if components:
                    yield AptSource(uri.rstrip("/"), suite, components, signed)


_NO = ("no", "false", "without", "off", "disable", "0")  # apt's StringToBool


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] = fields.get(name, "") + "\n" + line
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def wanted(host: list[AptSource], suite: str | None, codename: str, keyring: Path | None) -> list[AptSource]:
    """The sources to fetch a kernel or tool of the distribution from.

    Without `suite` the host's own of the running release; with one, that suite of the host's mirrors, with
    the security and update suites beside it (which may turn out not to exist). Pure.
    """
    ours = [s for s in host if "main" in s.components and _is_own(s, codename, keyring)]
    signed = [replace(s, components=("main",), signed_by=_signed(s, keyring)) for s in ours]
    if suite is None:
        return list(dict.fromkeys(signed))
    mirrors = [s for s in signed if not _is_security(s)]
    security = [s for s in signed if _is_security(s)]
    made = [replace(s, suite=suite) for s in (security if suite.endswith("-security") else mirrors)]
    if "-" not in suite:
        made += [replace(s, suite=f"{suite}-updates") for s in mirrors]
        made += [replace(s, suite=f"{suite}-security") for s in security]
    return list(dict.fromkeys(made))


def _is_own(source: AptSource, codename: str, keyring: Path | None) -> bool:
    """Whether a source is the distribution's, not somebody's beside it."""
    if source.signed_by and keyring and "\n" not in source.signed_by:
        theirs = Path(source.signed_by.split(",")[0])
        if theirs.parent == keyring.parent and not theirs.name.startswith(keyring.stem.split("-archive")[0]):
            return False
    names = {codename, "stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"}
    return source.suite in names or source.suite.rsplit("-", 1)[0] in names


def _is_security(source: AptSource) -> bool:
    return source.suite.endswith("-security") or "security" in source.uri


def _signed(source: AptSource, keyring: Path | None) -> str | None:
    return source.signed_by or (str(keyring) if keyring else None)


def stanzas(sources: list[AptSource], architectures: Sequence[str]) -> str:
    """The private sources file: nothing but the package lists of these architectures. Pure."""
    return "\n".join(
        "Types: deb\n"
        f"URIs: {s.uri}\n"
        f"Suites: {s.suite}\n"
        f"Components: {' '.join(s.components)}\n"
        f"Architectures: {' '.join(architectures)}\n"
        "Targets: Packages\n" + (f"Signed-By: {s.signed_by}\n" if s.signed_by else "")
        for s in sources
    )
