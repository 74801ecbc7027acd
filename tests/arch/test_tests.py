"""`test` on other machines: the template's own tests, and what one that fails tells."""

import re
from pathlib import Path

import pytest

from kscaffold.arch import table
from tests.conftest import missing
from tests.support.kernels import MACHINES, need_machine

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]


@pytest.mark.parametrize("arch", MACHINES)
def test_a_chardev_on_another_machine(ks, tmp_path, monkeypatch, arch):
    kernel = need_machine(arch)
    machine = table.by_debian(arch)
    if not Path(f"/usr/{machine.triple}/lib/libc.a").exists():
        missing(f"libc6-dev-{arch}-cross", f"apt-get install libc6-dev-{arch}-cross")
    monkeypatch.chdir(tmp_path)
    assert ks("new", "dev", "--template", "chardev").status == 0
    monkeypatch.chdir(tmp_path / "dev")
    words = ("test", "--arch", arch, "--kernel", kernel.release, "-k", "written or ioctl or signal or open")
    ran = ks(*words, "--junit", "out.xml")
    assert ran.status == 0, ran.out + ran.err
    assert ran.out.splitlines()[-2:] == [
        f"Module  {table.kernel_name(kernel.release, kernel.arch)}",
        "dev     passed",
    ]
    assert 'tests="5"' in (tmp_path / "dev/out.xml").read_text()

    source = tmp_path / "dev/dev.c"
    text = source.read_text()
    assert text.count("length = kfifo_len(&mailbox);") == 1
    source.write_text(text.replace("length = kfifo_len(&mailbox);", "length = kfifo_len(&mailbox) + 1;"))
    (told,) = ks("test", "--arch", arch, "--kernel", kernel.release, "-k", "ioctl", "--json").json["tests"]
    assert (told["outcome"], told["file"]) == ("failed", "tests/test_dev.py")
    line = 1 + text[: text.index("mailbox_ioctl(")].count("\n")
    assert re.search(
        rf"last call that reached the module: mailbox_ioctl\(\) at dev.c:{line}, returned 0", told["text"]
    )
