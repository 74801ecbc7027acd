"""package install: the .ko is where modprobe finds it; only ever below --root here."""

import os
import subprocess
from pathlib import Path

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.package.install import _subdirectory, install
from tests.conftest import need_program
from tests.support.projects import HELLO, write

KEYS = {"schema", "command", "ok", "kernel", "arch", "directory", "modules", "said", "code"}
USER = HELLO.replace('pr_info("hello\\n")', "given()").replace(
    "static int", "void given(void);\nstatic int", 1
)
GIVER = (
    HELLO.replace("hello_", "giver_")
    + "void given(void);\nvoid given(void)\n{\n}\nEXPORT_SYMBOL_GPL(given);\n"
)

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def programs() -> None:
    need_program("make", "make")
    need_program("depmod", "kmod")
    need_program("modprobe", "kmod")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return write(tmp_path / "pair", Kbuild="obj-m := my-user.o giver.o\n", my_1_user__c=USER, giver__c=GIVER)


def depends(root: Path, release: str, name: str) -> list[str]:
    ran = subprocess.run(
        ["modprobe", "-d", root, "-S", release, "--show-depends", name],
        check=True,
        capture_output=True,
        text=True,
    )
    return [line.split()[1] for line in ran.stdout.splitlines()]


def test_modprobe_finds_it_and_what_it_needs(ks, pair, tmp_path, kernel):
    k, root = kernel("6.1"), tmp_path / "root"
    root.mkdir()
    ran = ks("package", "install", "--root", root, "-C", pair, "-k", k.release, "--json")
    assert (ran.status, set(ran.json)) == (0, KEYS), ran.err
    updates = root / "lib/modules" / k.release / "updates"
    assert [(m["name"], m["path"], m["found"], m["others"]) for m in ran.json["modules"]] == [
        ("my_user", f"{updates}/my-user.ko", f"{updates}/my-user.ko", []),
        ("giver", f"{updates}/giver.ko", f"{updates}/giver.ko", []),
    ]
    assert depends(root, k.release, "my-user") == [f"{updates}/giver.ko", f"{updates}/my-user.ko"]
    assert (updates / "giver.ko").read_bytes() == (pair / "giver.ko").read_bytes()
    assert os.stat(updates / "giver.ko").st_mode & 0o777 == 0o644
    assert sorted(p.name for p in updates.iterdir()) == ["giver.ko", "my-user.ko"]
    again = ks("package", "install", "--root", root, "-C", pair, "-k", k.release, "-m", "giver")
    assert (again.status, again.out) == (0, f"{updates}/giver.ko\n")


CONFIGS = {
    "none": ({}, "updates"),
    "Debian's": ({"etc/depmod.d/a.conf": "search updates built-in\n"}, "updates"),
    "extra": ({"lib/depmod.d/a.conf": "# x\nsearch extra built-in weak-updates\n"}, "extra"),
    "both": ({"etc/depmod.d/a.conf": "search dkms extra \\\n updates built-in\n"}, "updates"),
    "another": ({"etc/depmod.d/a.conf": "search ours built-in updates\n"}, "ours"),
    "hidden by etc": (
        {
            "etc/depmod.d/a.conf": "search extra built-in\n",
            "lib/depmod.d/a.conf": "search updates built-in\n",
        },
        "extra",
    ),
    "nothing before": ({"etc/depmod.d/a.conf": "search built-in\n"}, "updates"),
    "leads out": ({"etc/depmod.d/a.conf": "search ../../../x /abs external built-in\n"}, "updates"),
}


@pytest.mark.parametrize("way", CONFIGS)
def test_the_directory_is_the_one_that_root_s_depmod_prefers(tmp_path, way):
    files, expected = CONFIGS[way]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _subdirectory(tmp_path) == expected


@pytest.mark.parametrize("search", ["search updates built-in", "search extra built-in", ""])
def test_it_wins_over_the_kernel_s_own_module_of_that_name(ks, tmp_path, kernel, search):
    k, root = kernel("6.1"), tmp_path / "root"
    project = write(tmp_path / "p", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    own = root / "lib/modules" / k.release / "kernel/drivers/hello.ko"
    own.parent.mkdir(parents=True)
    if search:
        write(root / "etc/depmod.d", a__conf=f"{search}\n")
    assert ks("build", "-C", project, "-k", k.release).status == 0
    own.write_bytes((project / "hello.ko").read_bytes())
    ran = ks("package", "install", "--root", root, "-C", project, "-k", k.release, "--json")
    assert ran.status == 0, ran.err
    (module,) = ran.json["modules"]
    assert module["others"] == [str(own)]
    assert depends(root, k.release, "hello") == [module["path"]]


def test_where_another_wins_the_answer_is_no(ks, tmp_path, kernel):
    k, root = kernel("6.1"), tmp_path / "root"
    project = write(tmp_path / "p", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    own = root / "lib/modules" / k.release / "kernel/drivers/hello.ko"
    own.parent.mkdir(parents=True)
    write(root / "etc/depmod.d", a__conf="search built-in updates\n")
    assert ks("build", "-C", project, "-k", k.release).status == 0
    own.write_bytes((project / "hello.ko").read_bytes())
    ran = ks("package", "install", "--root", root, "-C", project, "-k", k.release, "--json")
    assert (ran.status, ran.json["ok"], ran.json["code"]) == (1, False, "KS047")
    assert ran.json["modules"][0]["found"] == str(own)


def test_a_root_with_blanks_in_its_name(ks, pair, tmp_path, kernel):
    k, root = kernel("6.1"), tmp_path / "my root.ko dir"
    root.mkdir()
    ran = ks("package", "install", "--root", root, "-C", pair, "-k", k.release, "-m", "my-user", "--json")
    assert [m["found"] for m in ran.json["modules"]] == [m["path"] for m in ran.json["modules"]]
    assert ran.json["code"] is None


def test_a_root_of_somebody_else(pair, tmp_path, monkeypatch):
    root = tmp_path / "their root"
    root.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(root))
    with pytest.raises(KscaffoldError, match="can't be written to") as told:
        install([pair / "giver.ko"], "6.1.0-test", root)
    # Without both it would go into this machine's own directory, for another kernel.
    assert (told.value.fix or "").endswith(f"--kernel 6.1.0-test --root '{root}'")
    assert told.value.cause == f"{root} is not yours" and list(root.iterdir()) == []


def test_a_link_that_leads_out_of_the_root_is_not_followed(ks, pair, tmp_path, kernel):
    k, root, outside = kernel("6.1"), tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "lib").symlink_to(outside)
    ran = ks("package", "install", "--root", root, "-C", pair, "-k", k.release, "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS046")
    assert list(outside.iterdir()) == []
    (root / "lib").unlink()
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    assert ks("package", "install", "--root", root, "-C", pair, "-k", k.release).status == 0
    assert (root / "usr/lib/modules" / k.release / "updates/giver.ko").exists()


def test_what_can_t_be_installed(ks, pair, tmp_path, kernel):
    k, root = kernel("6.1"), tmp_path / "root"
    where = ["-C", pair, "-k", k.release, "--json"]
    root.mkdir()
    unbuilt = ks("package", "install", "--root", root, "--no-build", *where)
    assert (unbuilt.status, unbuilt.json["error"]["code"]) == (69, "KS281")
    nobody = ks("package", "install", "--root", root, "-m", "nobody", "--no-build", *where)
    assert (nobody.status, nobody.json["error"]["code"]) == (2, "KS109")
    assert list(root.iterdir()) == []
    nowhere = ks("package", "install", "--root", tmp_path / "none", *where)
    assert (nowhere.status, nowhere.json["error"]["code"]) == (69, "KS046")
    (pair / "giver.c").write_text("#error no\n")
    broken = ks("package", "install", "--root", root, *where)
    assert (broken.status, broken.json["ok"]) == (1, False)
    assert list(root.iterdir()) == []


def test_a_kernel_this_machine_does_not_have_is_not_installed_for(pair):
    for release in ("0.0.0-nobody-has-this", "../../tmp"):
        with pytest.raises(KscaffoldError) as refused:
            install([pair / "giver.ko"], release)
        assert refused.value.code == "KS046"
