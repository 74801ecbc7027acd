"""Firmware: a project's own and what is named are in the guest; what is missing is told with its name."""

import time

import pytest

from kscaffold import api
from kscaffold.diagnosis.klog import parse_text
from kscaffold.errors import UsageError
from kscaffold.load.firmware import firmware_files, missing_firmware
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write

ASKS = """
#include <linux/firmware.h>
#include <linux/module.h>
#include <linux/platform_device.h>
static struct platform_device *device;
static bool soft;
module_param(soft, bool, 0444);
static int __init asks_init(void)
{
	const struct firmware *fw;
	int err;

	device = platform_device_register_simple("asks", -1, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	err = request_firmware(&fw, "acme/fw.bin", &device->dev);
	if (err && !soft)
		platform_device_unregister(device);
	if (err)
		return soft ? 0 : err;
	pr_info("asks: got %.*s\\n", (int)fw->size, fw->data);
	release_firmware(fw);
	return 0;
}
static void __exit asks_exit(void) { platform_device_unregister(device); }
module_init(asks_init);
module_exit(asks_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""


@pytest.mark.sandbox
def test_a_driver_gets_what_it_asks_for(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    monkeypatch.chdir(write(tmp_path, Kbuild="obj-m := asks.o\n", asks__c=ASKS, blob="named"))
    kernel = need_kernel("6.1")
    assert ks("kernel", "default", kernel.release).status == 0
    give = "put it into firmware/acme/fw.bin of the project, or add --firmware FILE:acme/fw.bin"
    ran = ks("run")
    assert ran.status == 1 and "asked for the firmware acme/fw.bin, which is not there" in ran.out
    assert f"fix: {give}" in ran.out
    soft = ks("run", "soft=1")
    assert soft.status == 0 and "which is not there" in soft.err and give in soft.err
    document = ks("run", "--firmware", "blob:acme/fw.bin", "--json").json
    assert "asks: got named" in [line["text"] for line in document["log"]]
    with api.Sandbox(kernel) as sandbox:
        sandbox.firmware("acme/fw.bin", b"a script's")
        assert "asks: got a script's" in [record.text for record in sandbox.load("asks.ko").log]
    write(tmp_path, firmware_0_acme_0_fw__bin="the project's")
    loaded = ks("load", "--json").json
    assert "asks: got the project's" in [line["text"] for line in loaded["log"]]


def test_which_files_are_given(tmp_path):
    write(tmp_path, firmware_0_a__bin="1", firmware_0_b_0_c__bin="2", x__bin="3")
    found = firmware_files(["x.bin", "x.bin:acme/y.bin"], tmp_path, [tmp_path, tmp_path / "none"])
    assert {name: file.read_text() for name, file in found.items()} == {
        "a.bin": "1", "b/c.bin": "2", "x.bin": "3", "acme/y.bin": "3",
    }  # fmt: skip
    for word in ("none", "x.bin:", "x.bin:../y", "firmware"):
        with pytest.raises(UsageError) as error:
            firmware_files([word], tmp_path, ())
        assert error.value.code == "KS646"


def test_a_link_to_everything_is_no_project_s_firmware(tmp_path):
    write(tmp_path, mine_0_firmware_0_a__bin="1")
    (tmp_path / "firmware").symlink_to("/")
    (tmp_path / "mine/firmware/loop").symlink_to(tmp_path / "mine")
    (tmp_path / "mine/firmware/pipe").symlink_to("/dev/zero")
    began = time.process_time()
    assert set(firmware_files([], tmp_path, [tmp_path, tmp_path / "mine"])) == {"a.bin"}
    assert time.process_time() - began < 5


def test_the_host_s_firmware_is_its_owner_s(ks, tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, Kbuild="obj-m := asks.o\n", blob="1"))
    ran = ks("load", "--host", "--firmware", "blob", "--json")
    assert ran.status == 2 and ran.json["error"]["code"] == "KS004"


def test_names_in_a_log():
    text = """
    [1.0] asks asks: Direct firmware load for acme/fw.bin failed with error -2
    [1.1] asks asks: Direct firmware load for acme/fw.bin failed with error -2
    [1.2] asks asks: Direct firmware load for acme/big.bin failed with error -12
    [1.3] platform regulatory.0: Direct firmware load for regulatory.db failed with error -2
    """
    lines = parse_text("\n".join(line.strip() for line in text.splitlines()))
    assert missing_firmware(lines) == ("acme/fw.bin",)
