"""A driver of a class that the kernel is built without: the truth first, and the kernel that has it."""

import json
from pathlib import Path

import pytest

from kscaffold.kernel import store
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.device_classes import OPTION_OF, lacking_option
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.kernel_api import is_lacking
from tests.support.projects import HELLO, write

DRIVERS = {
    "SPI": (
        "#include <linux/spi/spi.h>",
        'static struct spi_driver d = { .driver = { .name = "d" } };',
        "spi_register_driver(&d)",
    ),
    "USB": ("#include <linux/usb.h>", 'static struct usb_driver d = { .name = "d" };', "usb_register(&d)"),
    "I2C": (
        "#include <linux/i2c.h>",
        'static struct i2c_driver d = { .driver = { .name = "d" } };',
        "i2c_add_driver(&d)",
    ),
    "IIO": ("#include <linux/iio/iio.h>", "static struct iio_dev *d;", "iio_device_register(d)"),
}


def _only(kernel: Kernel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with this kernel and no other; where its kernels are."""
    kernels = cache / "kscaffold/kernels"
    kernels.mkdir(parents=True)
    (kernels / kernel.release).symlink_to(store.root() / kernel.release)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return kernels


@pytest.mark.kernel
@pytest.mark.parametrize("option", ["SPI", "USB", "I2C", "IIO"])
def test_what_the_kernel_is_built_without(tmp_path: Path, kernel, ks, option: str, monkeypatch):
    k = kernel("6.1")
    _only(k, tmp_path / "cache", monkeypatch)
    include, data, call = DRIVERS[option]
    text = HELLO.replace("#include <linux/module.h>", f"#include <linux/module.h>\n{include}\n{data}")
    write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=text.replace("return 0;", f"return {call};"))
    ran = ks("build", "-C", tmp_path, "-k", k.release)
    assert ran.status == 1
    told = ran.err[ran.err.index("error[") :]
    assert f"kernel {k.release} is built without CONFIG_{option}" in told.splitlines()[0]
    assert "kscaffold kernel add 6.1 --flavour amd64" in told


@pytest.mark.kernel
def test_a_kernel_here_that_has_it_is_named(tmp_path: Path, kernel, ks, monkeypatch):
    k = kernel("6.1")
    full = _only(k, tmp_path / "cache", monkeypatch) / "6.1.0-99-amd64"
    made = ks("new", "alone", "-t", "usb", "-C", tmp_path)
    lack = f"it needs CONFIG_USB, which {k.release} is built without; a full kernel has it\n"
    assert (made.status, lack in made.err) == (0, True)
    assert "Next cd alone && kscaffold kernel add --flavour amd64\n" in made.err.replace(f"{tmp_path}/", "")
    full.mkdir()
    record = json.loads((store.root() / k.release / "kernel.json").read_text().replace(k.release, full.name))
    (full / "kernel.json").write_text(json.dumps(record))
    (full / record["build"] / "include/config").mkdir(parents=True)
    (full / record["build"] / "include/config/auto.conf").write_text("CONFIG_USB=m\n")
    (full / "boot").mkdir()
    (full / record["image"]).touch()
    assert ks("kernel", "default", k.release).status == 0
    made = ks("new", "plug", "-t", "usb", "-C", tmp_path)
    assert (made.status, f"kscaffold test --kernel {full.name}" in made.err) == (0, True)
    ran = ks("build", "-C", tmp_path / "plug", "-k", k.release)
    assert (ran.status, f"--kernel {full.name}" in ran.err) == (1, True)


def test_the_longest_beginning_of_a_header_decides(tmp_path: Path):
    config = tmp_path / "include/config/auto.conf"
    config.parent.mkdir(parents=True)
    config.write_text("CONFIG_USB=m\nCONFIG_MEDIA_SUPPORT=y\n")
    assert lacking_option("linux/usb.h", tmp_path) is None
    assert lacking_option("linux/usb/gadget.h", tmp_path) == "CONFIG_USB_GADGET"
    assert lacking_option("media/rc-core.h", tmp_path) is None
    assert lacking_option("media/v4l2-dev.h", tmp_path) == "CONFIG_VIDEO_DEV"
    assert lacking_option("linux/list.h", tmp_path) is None
    assert all(lacking_option(f"{name}x", tmp_path / "nowhere") is None for name in OPTION_OF)


def test_what_a_header_has_only_with_an_option(tmp_path: Path):
    """A stub for the others is one more declaration, a comment is none."""
    tree = tmp_path / "tree"
    for name, text in {
        "include/config/auto.conf": "CONFIG_MODULES=y\n",
        "include/linux/demo.h": "/* demo_add() adds\n * demo_add(x) */\n#if IS_ENABLED(CONFIG_DEMO)\n"
        "int demo_add(int x);\nint demo_find(int x);\n#else\n"
        "static inline int demo_find(int x) { return 0; }\n"
        "#endif\nint demo_plain(void);\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    found = {
        n: is_lacking(n, "linux/demo.h", read_tree(tree))
        for n in ("demo_add", "demo_find", "demo_plain", "other")
    }
    assert found == {"demo_add": True, "demo_find": False, "demo_plain": False, "other": False}
