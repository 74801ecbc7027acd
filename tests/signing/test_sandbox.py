"""Signed modules in guests that want signatures: kernels with a certificate more."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kscaffold.diagnosis.attempt import Attempt
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.kernel import store, trusted_image
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.prediction import predict_load
from kscaffold.load.request import TargetRequest
from kscaffold.load.trust import trusted_certificates
from kscaffold.module.arguments import Parameters
from kscaffold.module.check import modules_in
from kscaffold.pkcs7 import certificate
from kscaffold.sandbox.vm import snapshot
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.qemu import Machine
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.signing import key as keys
from kscaffold.signing.key import Key
from kscaffold.signing.sign import sign_module
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import REAL_CACHE, need_program
from tests.support.kernels import need_kernel
from tests.support.keys import expired, pair
from tests.support.modules import built
from tests.support.projects import HELLO
from tests.support.projects import write as write_project
from tests.zoo.patches import flipped

pytestmark = pytest.mark.sandbox
SERIES = ("5.10", "6.1", "6.12")
ENFORCED = "module.sig_enforce=1"


@pytest.fixture(scope="module", autouse=True)
def tidy() -> Iterator[None]:
    """The cache of kernels is the user's own: images and snapshots that were made for these keys go again."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    images = REAL_CACHE / "kscaffold/trusting"
    before = set(images.glob("*/*"))
    plans: list[str] = []
    key_of = snapshot.snapshot_key

    def noted(program: str, kernel: Kernel, machine: Machine, cpu: str) -> str:
        key = key_of(program, kernel, machine, cpu)
        if images in machine.vmlinux.parents:
            plans.append(key)
        return key

    snapshot.snapshot_key = noted
    yield
    snapshot.snapshot_key = key_of
    for image in set(images.glob("*/*")) - before:
        image.unlink()
    for name in set(plans):
        shutil.rmtree(REAL_CACHE / "kscaffold/snapshots" / name, ignore_errors=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def known(place: Path) -> dict[str, Key]:
    """Keys that the guests' kernels are given."""
    pairs = {name: pair(place, name, name) for name in ("rsa", "p256", "p384")}
    pairs["expired"] = expired(place)
    return {name: keys.given(*both) for name, both in pairs.items()}


@pytest.fixture(scope="module")
def stranger(place: Path) -> Key:
    """A key that no kernel knows."""
    return keys.given(*pair(place, "stranger"))


@contextlib.contextmanager
def guest(kernel: Kernel, cmdline: str, trusted: Sequence[Key]) -> Iterator[SandboxTarget]:
    raw = tuple(sorted(key.certificate.raw for key in trusted))
    plan = plan_vm(kernel, cmdline, raw)
    with contextlib.closing(start_guest(plan)) as started:
        yield SandboxTarget.from_guest(started, cmdline)


def signed(kernel: Kernel, key: Key, out: Path, hash: str = "sha256") -> Path:
    sign_module(built(kernel) / "hello.ko", key, hash=hash, out=out)
    return out


def loaded(target: SandboxTarget, ko: Path) -> Attempt:
    """One load, undone where it went well."""
    attempt = target.load(ModuleFile.open(ko), Parameters(), 10)
    if attempt.errno == 0:
        assert target.unload("hello" if ko.name.endswith("hello.ko") else ko.stem, 10).errno == 0
    return attempt


def rejected(attempt: Attempt) -> str | None:
    """What the kernel says it rejects, None where it says nothing."""
    texts = [r.text for r in attempt.records or () if r.text.startswith("Loading of ")]
    return texts[0].removeprefix("Loading of ").removesuffix(" is rejected") if texts else None


EKEYREJECTED = 129
# By series: what the kernel says of a signature with this key and hash, None where it takes it.
CRYPTO = "module with unsupported crypto"
KEY = "module with unavailable key"
MEASURED: dict[tuple[str, str], tuple[str | None, str | None, str | None]] = {
    ("rsa", "sha256"): (None, None, None),
    ("rsa", "sha1"): (None, None, None),
    ("rsa", "sha512"): (None, CRYPTO, None),
    ("rsa", "sha3-256"): (CRYPTO, CRYPTO, None),
    ("p256", "sha256"): (CRYPTO, KEY, None),
    ("p384", "sha384"): (CRYPTO, CRYPTO, None),
}


@pytest.mark.parametrize("series", SERIES)
def test_what_a_kernel_takes(series: str, known: dict[str, Key], stranger: Key, tmp_path: Path):
    """Every kind of key and hash, and each foretold: the kernel's answer is the prediction's."""
    kernel = need_kernel(series)
    # What 6.1 has room for beside its own differs from build to build: not for all of them at once.
    given = [key for name, key in known.items() if name != "expired"]
    trusted = tuple(sorted(key.certificate.raw for key in given))
    hello = tmp_path / "hello.ko"

    def foretold(ko: Path) -> tuple[bool | None, str | None]:
        found = predict_load(ModuleFile.open(ko), Parameters(), kernel, cmdline=ENFORCED, trusted=trusted)
        assert found.loads is True or found.stage == "signature"
        return found.loads, found.errno

    with guest(kernel, ENFORCED, given) as target:
        for (name, hash), answers in MEASURED.items():
            attempt = loaded(target, signed(kernel, known[name], hello, hash))
            expected = answers[SERIES.index(series)]
            assert (attempt.errno, rejected(attempt)) == (EKEYREJECTED if expected else 0, expected), name
            assert foretold(hello) == ((False, "EKEYREJECTED") if expected else (True, None)), (name, hash)
        # Tampered with: refused without a word.
        whole = signed(kernel, known["rsa"], hello).read_bytes()
        hello.write_bytes(flipped(whole))
        attempt = loaded(target, hello)
        assert (attempt.errno, rejected(attempt)) == (EKEYREJECTED, None)
        assert foretold(hello) == (False, "EKEYREJECTED")
        attempt = loaded(target, signed(kernel, stranger, hello))
        assert (attempt.errno, rejected(attempt)) == (EKEYREJECTED, KEY)
        assert foretold(hello) == (False, "EKEYREJECTED")
        plain = built(kernel) / "hello.ko"
        attempt = loaded(target, plain)
        assert (attempt.errno, rejected(attempt)) == (EKEYREJECTED, "unsigned module")
        assert foretold(plain) == (False, "EKEYREJECTED")
        # None of it tainted the kernel with E (8192); an out-of-tree module taints it with O (4096).
        assert int(target.read("/proc/sys/kernel/tainted")) == 4096


@pytest.mark.parametrize("series", SERIES)
def test_the_kernels_own_keys_stay(series: str, known: dict[str, Key], tmp_path: Path):
    """Its own modules still load where signatures are enforced, and /proc/keys lists its keys and ours, of
    which the kernel does not look at the dates.
    """
    kernel = need_kernel(series)
    assert kernel.modules
    ours = [known["rsa"], known["expired"]]
    with guest(kernel, ENFORCED, ours) as target:
        listed = target.read("/proc/keys").decode()
        own = trusted_image.own_images(kernel)
        assert own
        names = {certificate.read_certificate(raw).name for raw in own} | {"rsa", "expired"}
        for name in names:
            assert f" {name}: " in listed, listed
        path = next(p for p in modules_in([kernel.modules / "kernel"]) if p.name.startswith("dummy.ko"))
        from kscaffold.elf import content

        plain = tmp_path / "dummy.ko"
        plain.write_bytes(content.read_content(path)[0])
        assert loaded(target, plain).errno == 0
        assert int(target.read("/proc/sys/kernel/tainted")) == 0
        found = predict_load(ModuleFile.open(plain), Parameters(), kernel, cmdline=ENFORCED)
        assert found.loads is True
        late = signed(kernel, known["expired"], tmp_path / "hello.ko")
        assert loaded(target, late).errno == 0
        trusted = tuple(key.certificate.raw for key in ours)
        found = predict_load(ModuleFile.open(late), Parameters(), kernel, cmdline=ENFORCED, trusted=trusted)
        assert found.loads is True


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at = write_project(tmp_path / "hello", hello__c=HELLO, Kbuild="obj-m := hello.o\n")
    monkeypatch.chdir(at)
    return at


@pytest.mark.parametrize("series", SERIES)
def test_sign_and_run(ks, series: str, project: Path):
    """The commands of the README, one behind the other."""
    release = need_kernel(series).release
    ran = ks("run", "-k", release, "--cmdline", ENFORCED, "--json")
    assert ran.status == 1
    told = ran.json
    assert (told["stage"], told["errno"], told["code"]) == ("signature", "EKEYREJECTED", "KS226")
    assert "kscaffold sign" in told["fix"]
    assert ks("sign", "-k", release).status == 0
    document = ks("check", "-k", release, "--cmdline", ENFORCED, "--json").json
    assert document["prediction"] == {"loads": True, "stage": None, "errno": None}
    assert (document["signature"]["valid"], document["signature"]["in_kernel"]) == (True, True)
    ran = ks("run", "-k", release, "--cmdline", ENFORCED, "--json")
    assert ran.status == 0 and ran.json["verdict"] == "loaded", ran.err
    assert not any("verification failed" in line["text"] for line in ran.json["log"])


def test_a_live_sandbox_and_what_others_know(ks, project: Path):
    release = need_kernel("6.1").release
    assert ks("sign", "-k", release).status == 0
    assert ks("load", "-k", release, "--cmdline", ENFORCED).status == 0
    assert ks("unload").status == 0
    ran = ks("load", "-k", release, "--cmdline", ENFORCED)  # the same sandbox
    assert ran.status == 0 and "takes its place" not in ran.err
    # A kernel that was given no key of ours refuses, and says which it is.
    ran = ks("run", "-k", release, "--cmdline", ENFORCED, "--cert", "none", "--json")
    assert (ran.status, ran.json["code"], ran.json["errno"]) == (1, "KS269", "EKEYREJECTED")
    document = ks("check", "-k", release, "--cmdline", ENFORCED, "--cert", "none", "--json").json
    assert document["prediction"] == {"loads": False, "stage": "signature", "errno": "EKEYREJECTED"}
    assert "KS448" in [f["code"] for f in document["findings"]]
    # Without enforcement nothing is patched: the kernel does not know the key, and takes the module.
    images = set((REAL_CACHE / "kscaffold/trusting" / release).iterdir())
    ran = ks("run", "-k", release, "--json")
    assert ran.status == 0
    assert any("module verification failed" in line["text"] for line in ran.json["log"])
    assert set((REAL_CACHE / "kscaffold/trusting" / release).iterdir()) == images


def test_a_certificate_that_is_given(ks, project: Path, place: Path, stranger: Key, tmp_path: Path):
    """A module that was signed on another machine."""
    kernel = need_kernel("6.1")
    ko = signed(kernel, stranger, tmp_path / "hello.ko")
    data = Path(os.environ["HOME"]) / ".local/share/kscaffold"
    shutil.rmtree(data)
    words = ("run", "-k", kernel.release, ko, "--cmdline", ENFORCED)
    assert ks(*words).status == 1
    assert ks(*words, "--cert", stranger.file_of_certificate).status == 0
    ran = ks(*words, "--cert", tmp_path / "none.pem")
    assert ran.status == 2 and "KS082" in ran.err
    assert not data.exists()


@pytest.mark.parametrize("series", ("5.10", "6.12"))
def test_lockdown(ks, series: str, project: Path):
    release = need_kernel(series).release
    words = ("-k", release, "--cmdline", "lockdown=integrity", "--json")
    told = ks("run", *words).json
    assert (told["stage"], told["errno"], told["code"]) == ("signature", "EPERM", "KS229")
    assert ks("check", *words).json["prediction"]["errno"] == "EPERM"
    ks("sign", "-k", release)
    assert ks("check", *words).json["prediction"]["loads"] is True
    assert ks("run", *words).json["verdict"] == "loaded"


def test_host_takes_no_certificate(ks, project: Path):
    for command in ("load", "reload"):
        ran = ks(command, "--host", "--cert", "x.pem")
        assert ran.status == 2 and "KS004" in ran.err


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Kernel]:
    """copy(image): the kernel with another image, in a cache of its own."""
    kernel = need_kernel("6.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(image: bytes) -> Kernel:
        file = tmp_path / "vmlinux"
        file.write_bytes(image)
        return replace(kernel, source="path", image=file, vmlinux=None)

    return make


def test_an_image_that_is_not_understood_is_left_alone(copy, known: dict[str, Key]):
    vmlinux = need_kernel("6.1").vmlinux
    assert vmlinux
    image = vmlinux.read_bytes()
    (own,) = trusted_image.own_images(need_kernel("6.1")) or ()
    at = image.index(own)
    spoilt = {
        "no certificates": image.replace(own, bytes(len(own))),
        "another size": image.replace(own + bytes(4) + len(own).to_bytes(8, "little"), own + bytes(12)),
        "the list elsewhere": image[: at - 16] + own + image[at - 16 + len(own) :],
        "no kernel": b"\x7fELF" + bytes(5000),
    }
    for what, changed in spoilt.items():
        assert changed != image, what
        kernel = copy(changed)
        with pytest.raises(KscaffoldError) as caught:
            trusted_image.trusted_image(kernel, [known["rsa"].certificate.raw])
        assert caught.value.code == "KS540" and caught.value.cause and caught.value.fix, what
        assert trusted_image.own_images(kernel) is None, what
        assert kernel.image and kernel.image.read_bytes() == changed
        assert not trusted_image.images_dir(kernel.release).exists()


def test_the_image_is_a_copy_made_once_and_removed(copy, known: dict[str, Key]):
    vmlinux = need_kernel("6.1").vmlinux
    assert vmlinux
    image = vmlinux.read_bytes()
    kernel = copy(image)
    raw = known["rsa"].certificate.raw
    first = trusted_image.trusted_image(kernel, [raw])
    assert first != kernel.image and trusted_image.trusted_image(kernel, [raw, raw]) == first
    patched = first.read_bytes()
    assert len(patched) == len(image) and raw in patched and raw not in image
    # The instruction, the size, and the certificates: nothing else is another.
    assert sum(a != b for a, b in zip(image, patched, strict=True)) < len(raw) + 2000
    assert kernel.image and kernel.image.read_bytes() == image
    assert trusted_image.trusted_image(kernel, []) == kernel.image
    # What it has already it need not be given.
    (own,) = trusted_image.own_images(kernel) or ()
    assert trusted_image.trusted_image(kernel, [own]) == kernel.image
    # Of several there are a few, and no more than the image has room for.
    for name in ("p256", "p384", "expired"):
        trusted_image.trusted_image(kernel, [known[name].certificate.raw])
    trusted_image.trusted_image(kernel, [raw, known["p256"].certificate.raw])
    assert len(list(trusted_image.images_dir(kernel.release).iterdir())) == 4
    with pytest.raises(KscaffoldError) as caught:
        trusted_image.trusted_image(kernel, [bytes([0x30, 0x82, 0x20, 0]) + bytes(0x2000)])
    assert caught.value.code == "KS540" and "room for" in (caught.value.cause or "")
    with pytest.raises(KscaffoldError) as caught:
        trusted_image.trusted_image(kernel, [bytes([0x30, 0x81, 0x80]) + bytes(0x80)])
    assert caught.value.code == "KS540" and "256 bytes" in (caught.value.cause or "")
    store.add_path(None, kernel.image, None)
    store.remove(kernel.release)
    assert not trusted_image.images_dir(kernel.release).exists()


def test_a_kernel_that_wants_signatures_by_itself(ks, copy, tmp_path: Path):
    """CONFIG_MODULE_SIG_FORCE of a kernel of one's own: what was signed here is trusted without options."""
    vmlinux, ko = need_kernel("6.1").vmlinux, tmp_path / "hello.ko"
    assert vmlinux
    kernel = copy(vmlinux.read_bytes())
    assert kernel.build
    shutil.copy(built(need_kernel("6.1")) / "hello.ko", ko)
    assert ks("sign", ko).status == 0
    assert trusted_certificates(kernel, TargetRequest()) == ()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.config").write_text("# a kernel\nCONFIG_MODULE_SIG_FORCE=y\n")
    (raw,) = trusted_certificates(replace(kernel, build=tmp_path / "tree"), TargetRequest())
    assert certificate.read_certificate(raw).name == "kscaffold module signing key"


def test_a_kernel_that_can_not_be_given_a_key_still_answers(ks, copy, project: Path, monkeypatch):
    """Nobody asked for the certificate by name: the load goes on, and says why it is refused."""
    vmlinux = need_kernel("6.1").vmlinux
    assert vmlinux
    (own,) = trusted_image.own_images(need_kernel("6.1")) or ()
    image = vmlinux.read_bytes()
    kernel = copy(image.replace(own + bytes(4) + len(own).to_bytes(8, "little"), own + bytes(12)))
    store.add_path(kernel.build, kernel.image, kernel.modules)
    assert ks("sign", "-k", kernel.release).status == 0
    ran = ks("check", "-k", kernel.release, "--cmdline", ENFORCED)
    assert "can't be given a certificate" in ran.err
    assert "Traceback" not in ran.err
    assert snapshot.snapshots_dir() != REAL_CACHE
