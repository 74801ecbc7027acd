"""apt without root and without a trace: whose mirrors, whose keys, and what is said when it fails."""

import os
import shutil
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.errors import KscaffoldError
from kscaffold.files.scratch import scratch_directory
from kscaffold.packages import apt, sources
from kscaffold.packages.sources import AptSource
from kscaffold.progress import SILENT, Progress
from tests.support.mirror import OLD, Mirror

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MAIN, SECURITY = "http://mirror.example/debian", "http://mirror.example/debian-security"


def test_one_line_sources_are_read():
    text = """
# deb http://commented.out/debian bookworm main
deb http://mirror.example/debian/ bookworm main contrib  # with a remark
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/x.gpg] https://example.org/apt bookworm main
deb [ trusted=yes ] http://flat.example.org/ ./
"""
    assert list(sources.parse_one_line(text)) == [
        AptSource(MAIN, "bookworm", ("main", "contrib")),
        AptSource("https://example.org/apt", "bookworm", ("main",), "/etc/apt/keyrings/x.gpg"),
    ]


def test_deb822_sources_are_read():
    text = f"""Types: deb deb-src
# a remark between fields
URIs: {MAIN}
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: {KEYRING}

Enabled: no
Types: deb
URIs: http://off.example.org
Suites: bookworm
Components: main

Types: deb
URIs: {SECURITY}
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8B
 -----END PGP PUBLIC KEY BLOCK-----
"""
    first, second, third = sources.parse_deb822(text)
    assert first == AptSource(MAIN, "bookworm", ("main",), str(KEYRING))
    assert second == AptSource(MAIN, "bookworm-updates", ("main",), str(KEYRING))
    assert (third.uri, third.suite) == (SECURITY, "bookworm-security")
    assert third.signed_by.startswith("-----BEGIN") and " mDMEY865UxYJKwYBBAHaRw8B" in third.signed_by


HOST = [
    AptSource(MAIN, "bookworm", ("main", "contrib")),
    AptSource(SECURITY, "bookworm-security", ("main",), str(KEYRING)),
    AptSource("https://packages.example.org/apt", "bookworm", ("main",), "/usr/share/keyrings/example.gpg"),
    AptSource("https://download.example.org/debian", "bookworm", ("stable",)),
    AptSource("https://deb.example.org/node", "nodistro", ("main",)),
]


def test_the_hosts_own_suites_are_taken_and_nobody_elses():
    assert sources.wanted(HOST, None, "bookworm", KEYRING) == [
        AptSource(MAIN, "bookworm", ("main",), str(KEYRING)),
        AptSource(SECURITY, "bookworm-security", ("main",), str(KEYRING)),
    ]


def test_another_release_comes_with_its_security_suite():
    assert sources.wanted(HOST, "bullseye", "bookworm", KEYRING) == [
        AptSource(MAIN, "bullseye", ("main",), str(KEYRING)),
        AptSource(MAIN, "bullseye-updates", ("main",), str(KEYRING)),
        AptSource(SECURITY, "bullseye-security", ("main",), str(KEYRING)),
    ]


def test_backports_come_alone():
    assert sources.wanted(HOST, "bookworm-backports", "bookworm", KEYRING) == [
        AptSource(MAIN, "bookworm-backports", ("main",), str(KEYRING))
    ]


def test_a_mirror_signed_by_a_key_of_its_own_keeps_that_key():
    host = [AptSource("http://mirror.corp/debian", "stable", ("main",), "/etc/apt/keyrings/corp.gpg")]
    assert sources.wanted(host, "trixie", "bookworm", KEYRING)[0].signed_by == "/etc/apt/keyrings/corp.gpg"


def test_the_private_sources_file():
    assert sources.stanzas([AptSource(MAIN, "bookworm", ("main",), str(KEYRING))], ["s390x", "amd64"]) == (
        f"Types: deb\nURIs: {MAIN}\nSuites: bookworm\nComponents: main\nArchitectures: s390x amd64\n"
        f"Targets: Packages\nSigned-By: {KEYRING}\n"
    )


def test_sources_are_found_where_aptconf_says(mirror: Mirror, tmp_path: Path):
    (tmp_path / "parts/more.sources").write_text(f"Types: deb\nURIs: {MAIN}\nSuites: sid\nComponents: main\n")
    assert sources.configured() == [
        AptSource(f"file:{mirror.directory}", "stable", ("main",), f"{mirror.directory}/key.gpg"),
        AptSource(MAIN, "sid", ("main",)),
    ]


def said(told: list[tuple[str, str]]) -> Progress:
    return Progress(lambda verb, text: told.append((verb, text)))


def test_any_package_can_be_fetched_and_unpacked(mirror: Mirror, tmp_path: Path):
    told: list[tuple[str, str]] = []
    with scratch_directory() as place:
        (package,) = apt.fetch(["linux-kbuild-6.1"], None, tmp_path / "into", place, said(told))
    assert (package.name, package.version, package.installed) == ("linux-kbuild-6.1", "6.1.9-1", 65536)
    assert (tmp_path / "into/usr/lib/linux-kbuild-6.1/scripts/basic/fixdep").exists()
    assert [verb for verb, _ in told] == ["Updating", "Fetching"]
    assert mirror.left() == []


def test_the_hosts_hooks_and_its_lax_ways_do_not_count(mirror: Mirror, ks):
    with mirror.configuration.open("a") as file:
        file.write(
            f'APT::Update::Post-Invoke {{ "touch {mirror.cache}.hook"; }};\n'
            f'APT::Update::Post-Invoke-Success {{ "touch {mirror.cache}.hook"; }};\n'
            'APT::Get::AllowUnauthenticated "true";\nAcquire::AllowInsecureRepositories "true";\n'
            'APT::Default-Release "nosuch";\nDir::Cache::pkgcache "";\n'
        )
    assert ks("kernel", "add").status == 0
    assert not Path(f"{mirror.cache}.hook").exists()
    release = mirror.directory / "dists/stable/InRelease"
    signed = release.read_text()
    release.unlink()  # unsigned: apt of this host would take it
    release.with_name("Release").write_text(signed.split("\n\n", 1)[1].split("-----BEGIN", 1)[0])
    ran = ks("kernel", "add", "6.12")
    assert (ran.status, mirror.left()) == (69, [f"kernels/{OLD}"])
    assert "KS504" in ran.err


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "file",
    [
        "dists/stable/InRelease",
        "dists/stable/main/binary-amd64/Packages",
        f"pool/linux-image-{OLD}_6.1.9-1_amd64.deb",
        "pool/linux-kbuild-6.1_6.1.9-1_amd64.deb",
    ],
)
def test_a_byte_changed_on_the_mirror_is_found(mirror: Mirror, ks, file: str):
    damage(mirror.directory / file)
    ran = ks("kernel", "add", "--json")
    assert ran.status == 69
    assert ran.json["error"]["code"] == "KS504", ran.err
    assert mirror.left() == []


def test_a_stranger_s_key_is_refused(mirror: Mirror, ks):
    if not KEYRING.exists():
        pytest.skip("no keyring of Debian here")
    mirror.use(f"deb [signed-by={KEYRING}] file:{mirror.directory} stable main")
    ran = ks("kernel", "add", "--json")
    assert ran.json["error"]["code"] == "KS504"
    # As apt 2 says it, with gpgv, and apt 3, with sqv.
    words = ("NO_PUBKEY", "not signed", "Missing key")
    assert any(word in ran.json["error"]["cause"] for word in words), ran.json["error"]["cause"]


@pytest.mark.parametrize(
    ("line", "argv", "code"),
    [
        ("deb [signed-by=KEY] http://127.0.0.1:9/debian stable main", (), "KS503"),
        ("deb [signed-by=KEY] file:MIRROR stable main", ("--suite", "nosuch"), "KS503"),
        ("deb [signed-by=KEY] file:MIRROR stable main", ("--suite", "no such"), "KS503"),
        ("deb [signed-by=KEY] file:MIRROR stable main", ("--suite", "../x"), "KS503"),
        ("deb [signed-by=KEY] file:MIRROR stable main", ("9.9",), "KS502"),
        ("deb [signed-by=KEY] file:MIRROR stable contrib", (), "KS503"),
        ("# nothing", (), "KS503"),
    ],
)
def test_what_can_t_be_had_is_told_with_a_fix(mirror: Mirror, ks, line, argv, code):
    mirror.use(line.replace("KEY", f"{mirror.directory}/key.gpg").replace("MIRROR", str(mirror.directory)))
    ran = ks("kernel", "add", *argv, "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, code), ran.err
    assert ran.json["error"]["message"] and ran.json["error"]["fix"]
    assert mirror.left() == []


@pytest.mark.parametrize(
    ("version", "fix"),
    [
        ("9.9", "kscaffold kernel add --suite sid; or kscaffold kernel add 7.3"),
        ("5.15", "kscaffold kernel add 5.10 --suite bullseye; or kscaffold kernel add 6.1"),
        ("5.10.9", "kscaffold kernel add 5.10 --suite bullseye"),
    ],
)
def test_where_another_kernel_is(mirror: Mirror, ks, version: str, fix: str):
    ran = ks("kernel", "add", version, "--json")
    assert (ran.status, ran.json["error"]["code"], ran.json["error"]["fix"]) == (69, "KS502", fix)
    assert "sid the newest" in ran.json["error"]["cause"]


def test_a_package_missing_on_the_mirror_leaves_nothing(mirror: Mirror, ks):
    (mirror.directory / "pool/linux-kbuild-6.1_6.1.9-1_amd64.deb").unlink()
    ran = ks("kernel", "add")
    assert ran.status == 69 and "KS50" in ran.err
    assert mirror.left() == []


def test_apt_that_fails_half_way_leaves_nothing(mirror: Mirror, ks):
    mirror.program(
        "apt-get",
        'if [ "$1" = download ]; then\n'
        '  eval "last=\\${$#}"; "$REAL" download -c "$3" "$last" >/dev/null || exit\n'
        "  echo 'E: Failed to fetch http://x/y.deb  Connection reset by peer' >&2; exit 100\n"
        "fi\n"
        'exec "$REAL" "$@"',
    )
    ran = ks("kernel", "add", "--json")
    assert ran.status == 69
    assert ran.json["error"]["code"] == "KS503"
    assert "Connection reset by peer" in ran.json["error"]["cause"]
    assert mirror.left() == []
    mirror.honest("apt-get")
    assert ks("kernel", "add").status == 0


def test_what_a_killed_apt_leaves_is_in_a_place_of_ours(mirror: Mirror, ks, monkeypatch, tmp_path: Path):
    """Its methods keep a key ring for a moment in TMPDIR, and leave it there when a signal ends them."""
    (tmp_path / "usual").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "usual"))
    mirror.program("apt-get", 'mktemp -p "$TMPDIR" apt.sig.XXXXXX >/dev/null\nexec "$REAL" "$@"')
    mirror.program("apt-cache", 'mktemp -p "$TMPDIR" apt.data.XXXXXX >/dev/null\nexec "$REAL" "$@"')
    assert ks("kernel", "add").status == 0
    assert list((tmp_path / "usual").iterdir()) == []


def test_elsewhere_than_on_debian_it_is_an_honest_no(mirror: Mirror, ks):
    here = mirror.programs
    for name in ("sh", "make", "gcc"):
        (here / name).symlink_to(shutil.which(name) or "/bin/true")
    path, os.environ["PATH"] = os.environ["PATH"], str(here)
    try:
        ran = ks("kernel", "add", "--json")
    finally:
        os.environ["PATH"] = path
    assert ran.status == 69
    assert ran.json["error"]["code"] == "KS501"
    assert "kernel add --build" in ran.json["error"]["fix"]


@pytest.mark.network
def test_a_suite_that_the_host_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The real mirror of this machine: another release's lists, signed, from the mirror apt already uses."""
    if problem := apt.why_not():
        pytest.skip(problem.what)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with scratch_directory() as place:
        archive = apt.open_archive("bookworm-backports", place, SILENT)
        names = archive.names("linux-image-6.12.")
        assert any(name.endswith("-cloud-amd64") for name in names)
        assert archive.show([min(names)])[0].size > 1_000_000
        with pytest.raises(KscaffoldError) as caught:
            archive.show(["no-such-package"])
        assert caught.value.code == "KS502"


_APT_CACHE = """#!/bin/sh
# As apt's, where packages are of riscv64: one of all architectures has no other name.
for word in "$@"; do
	case $word in
	gcc-14:amd64) printf 'Package: gcc-14\\nVersion: 14\\nArchitecture: amd64\\nDepends: libgcc-14\\n\\n' ;;
	libgcc-14) printf 'Package: libgcc-14\\nVersion: 14\\nArchitecture: all\\n\\n' ;;
	libc6) printf 'Package: libc6\\nVersion: 2\\nArchitecture: riscv64\\n\\n' ;;
	esac
done
"""


def test_a_package_of_all_architectures_runs_on_this_machine_too(tmp_path: Path, monkeypatch):
    (tmp_path / "apt-cache").write_text(_APT_CACHE)
    (tmp_path / "apt-cache").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    machine = table.by_debian("riscv64")
    assert machine is not None
    archive = apt.Archive(tmp_path, apt.Distribution((), machine, "amd64"), "trixie")
    found = archive.show([archive.runs_here("gcc-14"), archive.runs_here("libgcc-14")])
    assert [(package.name, package.arch) for package in found] == [("gcc-14", "amd64"), ("libgcc-14", "all")]
    with pytest.raises(KscaffoldError) as raised:  # one of riscv64 alone does not
        archive.show([archive.runs_here("libc6")])
    assert raised.value.code == "KS502" and "libc6:amd64" in raised.value.what
