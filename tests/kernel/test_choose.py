"""Which kernel is meant, and what that costs."""

import subprocess
import sys

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.kernel import choose, store
from kscaffold.kernel.buildable import compiler_problem
from kscaffold.kernel.fetch import _releases
from kscaffold.progress import Progress
from tests.support.kernels import need_kernel, only
from tests.support.mirror import NEW, OLD, Mirror


def test_offline_refuses_and_names_the_way(mirror: Mirror, ks):
    with pytest.raises(KscaffoldError) as caught:
        if store.known():
            pytest.skip("the running kernel would do here")
        choose.choose(None, offline=True)
    assert (caught.value.code, caught.value.exit_code) == ("KS531", 69)
    assert caught.value.fix == "kscaffold kernel add"
    ran = ks("kernel", "add", "--offline", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS531")


def test_the_first_need_of_a_kernel_fetches_one_and_says_so(mirror: Mirror):
    if store.known():
        pytest.skip("the running kernel would do here")
    told: list[tuple[str, str]] = []
    assert choose.find_kernel(None) is None
    kernel = choose.choose(
        None, offline=False, progress=Progress(lambda verb, text: told.append((verb, text)))
    )
    assert kernel.release == OLD
    assert told[0] == ("Fetching", "a kernel of the distribution, once: there is none here yet")
    assert choose.choose(None, offline=True) == kernel


def test_beginnings_of_releases(mirror: Mirror, ks):
    ks("kernel", "add", "6.1")
    ks("kernel", "add", "6.12")
    for spec, release in (("6.1", OLD), ("6.12", NEW), ("6.1.0-9", OLD), (OLD, OLD), ("6.12.3+deb", NEW)):
        found = choose.find_kernel(spec)
        assert found and found.release == release, spec
    for spec, cause in (("6", "there are"), ("", "there are"), ("5.10", "there are"), ("6.13", "there are")):
        with pytest.raises(KscaffoldError) as caught:
            choose.find_kernel(spec)
        assert (caught.value.code, caught.value.exit_code) == ("KS530", 2)
        assert cause in caught.value.cause and OLD in caught.value.cause and NEW in caught.value.cause
    with pytest.raises(KscaffoldError) as caught:
        choose.find_kernel("5.10")
    assert caught.value.fix == "kscaffold kernel add 5.10"


def test_the_newest_is_taken_unless_another_is_the_default(mirror: Mirror, ks):
    ks("kernel", "add", "6.12")
    ks("kernel", "add", "6.1")
    assert [k.release for k in store.known() if k.source == "fetched"] == [NEW, OLD]
    assert ks("kernel", "default").out == f"{NEW}\n"
    assert ks("kernel", "default", "6.1").out == f"{OLD}\n"
    assert choose.find_kernel(None).release == OLD
    assert f"* {OLD}" in ks("kernel", "list").out
    assert ks("kernel", "default", "--clear").out == f"{NEW}\n"
    assert ks("kernel", "default", "7").status == 2


def test_a_default_that_has_gone_is_told_not_replaced(mirror: Mirror, ks):
    ks("kernel", "add")
    store.set_default("6.0.0-1-cloud-amd64")
    with pytest.raises(KscaffoldError) as caught:
        choose.find_kernel(None)
    assert caught.value.code == "KS532" and "--clear" in caught.value.fix
    listed = ks("kernel", "list")
    assert listed.status == 0 and OLD in listed.out and "6.0.0-1" in listed.err


def test_a_kernel_that_can_t_be_built_for_is_passed_over(mirror: Mirror, ks):
    ks("kernel", "add", "6.12")
    ks("kernel", "add", "6.1")
    tree = only(NEW).build
    (tree / ".kernelvariables").write_text("CC = $(CROSS_COMPILE)gcc-99\n")
    assert compiler_problem(only(NEW)).code == "KS526"
    assert choose.find_kernel(None).release == OLD
    assert choose.find_kernel("6.12").release == NEW
    for name in ("gcc-99", "gcc-100"):  # that very one, and a newer one
        mirror.program(name, "")
        assert choose.find_kernel(None).release == NEW
        mirror.honest(name)


@pytest.mark.kernel
def test_choosing_is_cheap_and_imports_nothing_heavy():
    """On the path of every command. The limit is ten times what it takes."""
    need_kernel()
    script = (
        "import sys, timeit\nfrom kscaffold.kernel.choose import choose\n"
        "print(min(timeit.repeat(lambda: choose(None, offline=True), number=1, repeat=50)))\n"
        "print([m for m in ('zstandard', 'lz4', 'kscaffold.packages.apt') if m in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, imported = ran.stdout.splitlines()
    assert float(seconds) < 0.03 and imported == "[]"


def test_which_package_names_are_kernels():
    """As in bullseye-security, beside what is no kernel of the flavour."""
    backport, own = "6.1.0-0.deb11.52-cloud-amd64", "5.10.0-46-cloud-amd64"
    images = [backport, own, "6.1-cloud-amd64", "cloud-amd64", f"{own}-dbg", f"{own}-unsigned"]
    images += ["5.10.0-46-rt-amd64", "5.10.0-45-cloud-amd64", "7.3.4+deb13-cloud-amd64"]
    headers = [backport, own, "6.1-cloud-amd64", "7.3.4+deb13-cloud-amd64", "5.10.0-46-rt-amd64"]
    names = ([f"linux-image-{r}" for r in images], [f"linux-headers-{r}" for r in headers])
    assert _releases(*names, "cloud-amd64") == [own, backport, "7.3.4+deb13-cloud-amd64"]
    assert _releases(*names, "amd64") == []
