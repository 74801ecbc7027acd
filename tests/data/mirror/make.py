"""Make the mirror beside this file again: `python -m tests.data.mirror.make` (needs dpkg-deb, gpg).

A Debian archive of two kernels of nothing, signed with a key that is thrown away: what `kernel add` meets
at a real mirror, in a few kilobytes, without a network. Its files are kept in git, so the tests need no gpg.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.images import bzimage, elf

HERE = Path(__file__).parent
DATE = "Sun, 01 Jun 2025 00:00:00 UTC"


def package(
    pool: Path,
    work: Path,
    name: str,
    version: str,
    files: dict[str, bytes],
    depends: str = "",
    breaks: str = "",
) -> str:
    root = work / name
    for path, data in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if data.startswith(b"-> "):
            file.symlink_to(data[3:].decode())
        else:
            file.write_bytes(data)
            file.chmod(0o755 if "scripts/" in path else 0o644)
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <nobody@invalid>\n"
        f"Installed-Size: 64\n{f'Depends: {depends}' + chr(10) if depends else ''}"
        f"{f'Breaks: {breaks}' + chr(10) if breaks else ''}Section: kernel\n"
        "Description: a kernel of nothing\n"
    )
    (root / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (root / "DEBIAN/control").write_text(control)
    deb = pool / f"{name}_{version}_amd64.deb"
    # The same bytes each time: what two kernels share is made twice.
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-b", root, deb],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1748736000"},
    )
    data = deb.read_bytes()
    return (
        f"{control}Filename: pool/{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    )


def kernel(pool: Path, work: Path, release: str, version: str, modules: str) -> list[str]:
    series = ".".join(release.split(".")[:2])
    common = release.removesuffix("-amd64").removesuffix("-cloud") + "-common"
    image = {
        f"boot/vmlinuz-{release}": bzimage(gzip.compress(elf(release=release), mtime=0), release=release),
        f"boot/System.map-{release}": b"nothing\n",
        f"{modules}/{release}/modules.builtin": b"kernel/nothing.ko\n",
        f"{modules}/{release}/build": f"-> /usr/src/linux-headers-{release}".encode(),
        f"{modules}/{release}/source": f"-> /usr/src/linux-headers-{common}".encode(),
        f"usr/share/doc/linux-image-{release}/changelog": b"nothing\n",
    }
    tree = f"usr/src/linux-headers-{release}"
    headers = {
        f"{tree}/Makefile": f"include /usr/src/linux-headers-{common}/Makefile\n".encode(),
        f"{tree}/Module.symvers": b"",
        f"{tree}/vmlinux": b"type information",
        f"{tree}/.config": b"",
        f"{tree}/include/config/auto.conf": b"",
        f"{tree}/include/generated/autoconf.h": b"",
        f"{tree}/include/generated/utsrelease.h": f'#define UTS_RELEASE "{release}"\n'.encode(),
        f"{tree}/scripts": f"-> ../../lib/linux-kbuild-{series}/scripts".encode(),
    }
    kbuild = f"usr/lib/linux-kbuild-{series}/scripts"
    script = b"#!/bin/sh\n"
    depends = f"linux-headers-{common} (= {version}), linux-kbuild-{series} (>= {version}), gcc-12 | gcc"
    return [
        package(pool, work, f"linux-image-{release}", version, image, "kmod, linux-base"),
        package(pool, work, f"linux-headers-{release}", version, headers, depends),
        package(
            pool,
            work,
            f"linux-headers-{common}",
            version,
            {f"usr/src/linux-headers-{common}/Makefile": b"modules:\n\t@echo made $(M)\n"},
        ),
        package(
            pool,
            work,
            f"linux-kbuild-{series}",
            version,
            {f"{kbuild}/basic/fixdep": script, f"{kbuild}/mod/modpost": script},
        ),
    ]


def in_parts(pool: Path, work: Path, release: str, version: str) -> list[str]:
    """A kernel as Debian has them from 7.1 on: the image package is empty and depends on the parts."""
    modules = f"usr/lib/modules/{release}"
    image = bzimage(gzip.compress(elf(release=release), mtime=0), release=release)
    parts = {
        "base": {f"{modules}/modules.builtin": b"kernel/nothing.ko\n", f"{modules}/config": b""},
        "binary": {f"{modules}/vmlinuz": image},
        "modules": {f"{modules}/kernel/nothing.txt": b"nothing\n"},
    }
    depends = ", ".join(f"linux-{part}-{release} (= {version})" for part in parts)
    # A name that apt knows and nobody has.
    breaks = "linux-image-7.3.9+deb13-cloud-amd64"
    _, headers, *others = kernel(pool, work, release, version, "usr/lib/modules")
    return [
        package(pool, work / "parts", f"linux-image-{release}", version, {}, f"kmod, {depends}", breaks),
        *(package(pool, work, f"linux-{p}-{release}", version, files) for p, files in parts.items()),
        headers,
        *others,
    ]


def main() -> None:
    for old in ("pool", "dists"):
        shutil.rmtree(HERE / old, ignore_errors=True)
    pool, lists = HERE / "pool", HERE / "dists/stable/main/binary-amd64"
    pool.mkdir()
    lists.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        stanzas = kernel(pool, work, "6.1.0-9-cloud-amd64", "6.1.9-1", "lib/modules")
        stanzas += kernel(pool, work, "6.12.3+deb13-cloud-amd64", "6.12.3-1", "usr/lib/modules")
        # Of another flavour; what the two share is there already.
        stanzas += kernel(pool, work, "6.1.0-9-amd64", "6.1.9-1", "lib/modules")[:2]
        stanzas += in_parts(pool, work, "7.3.4+deb13-cloud-amd64", "7.3.4-1")
        newest = "linux-image-6.1.0-9-cloud-amd64 (= 6.1.9-1)"
        stanzas += [package(pool, work, "linux-image-cloud-amd64", "6.1.9-1", {}, newest)]
        packages = "\n".join(stanzas).encode()
        (lists / "Packages").write_bytes(packages)
        digest = hashlib.sha256(packages).hexdigest()
        (work / "Release").write_text(
            f"Origin: Debian\nSuite: stable\nCodename: stable\nDate: {DATE}\nArchitectures: amd64\n"
            f"Components: main\nSHA256:\n {digest} {len(packages)} main/binary-amd64/Packages\n"
        )
        gpg = ["gpg", "--homedir", str(work), "--batch", "--yes", "--passphrase", ""]
        who = "kscaffold tests"
        subprocess.run([*gpg, "--quick-gen-key", who, "ed25519", "sign", "never"], check=True)
        subprocess.run([*gpg, "-o", HERE / "key.gpg", "--export", who], check=True)
        release = HERE / "dists/stable/InRelease"
        subprocess.run([*gpg, "-o", release, "--clearsign", work / "Release"], check=True)


if __name__ == "__main__":
    main()
