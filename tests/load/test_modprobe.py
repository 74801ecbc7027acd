"""A module that asks for another one (request_module) gets what modprobe would load."""

from pathlib import Path

import pytest

from kscaffold.kernel import aliases
from tests.support.projects import write

ASKS = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/dmi.h>
#include <linux/kmod.h>
#include <linux/module.h>
#include <crypto/hash.h>

static char *want;
module_param(want, charp, 0444);

static int __init asks_init(void)
{
\tstruct crypto_shash *tfm;

\tif (!strcmp(want, "hardware"))
\t\treturn dmi_name_in_vendors("nobody") ? 0 : -ENODEV;
\tif (request_module("%s", want))
\t\treturn -EIO;
\ttfm = crypto_alloc_shash("md4", 0, 0);
\tif (IS_ERR(tfm))
\t\treturn PTR_ERR(tfm);
\tcrypto_free_shash(tfm);
\treturn 0;
}

static void __exit asks_exit(void)
{
}

module_init(asks_init);
module_exit(asks_exit);
MODULE_LICENSE("GPL");
"""

# Asks in its turn, while the first one waits.
GIVEN = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/kmod.h>
#include <linux/module.h>

static int __init given_init(void)
{
\treturn request_module("deep") ? -EIO : 0;
}

static void __exit given_exit(void)
{
}

module_init(given_init);
module_exit(given_exit);
MODULE_ALIAS("given-*");
MODULE_LICENSE("GPL");
"""

DEEP = GIVEN.replace('request_module("deep") ? -EIO : 0', "0").replace('MODULE_ALIAS("given-*");\n', "")


@pytest.mark.sandbox
def test_what_init_asks_for_is_loaded_or_named(tmp_path: Path, kernel, ks):
    write(tmp_path, Kbuild="obj-m := asks.o given.o deep.o\n", asks__c=ASKS, given__c=GIVEN, deep__c=DEEP)
    where = ("-C", tmp_path, "-k", kernel("6.1").release, "--module", "asks")
    asked = [
        {"name": "given-name", "modules": ["given"]},
        {"name": "deep", "modules": ["deep"]},
        {"name": "crypto-md4", "modules": ["md4"]},
        {"name": "crypto-md4-all", "modules": None},
    ]
    sets = ("-p", "want=given-name", "-p", "want=nobody", "-p", "want=hardware")
    ran = ks("run", *where, *sets, "--json")
    assert ran.status == 1
    good, failed, without = ran.json["results"]
    assert (good["requests"], good["clean"]) == (asked, True)
    assert good["stages"][-1]["status"] == "passed"
    assert (failed["verdict"], failed["errno"], failed["code"]) == ("init-failed", "EIO", "KS299")
    assert failed["requests"] == [{"name": "nobody", "modules": None}]
    assert "had asked for nobody (request_module)" in failed["cause"]
    assert (without["verdict"], without["errno"], without["code"]) == ("init-failed", "ENODEV", "KS200")
    assert (
        "a machine of that maker (DMI) (dmi_name_in_vendors), and this machine has none" in without["cause"]
    )
    try:
        ran = ks("load", *where, "want=given-name")
        assert ran.status == 0 and "note: given loaded for given-name (request_module)" in ran.err
        listed = {m["name"] for m in ks("list", "-C", tmp_path, "--json").json["modules"]}
        assert listed == {"asks", "given", "deep"}
    finally:
        ks("sandbox", "stop", "-C", tmp_path)


ONE = """\
#include <linux/kmod.h>
#include <linux/module.h>
static int __init one_init(void) {{ {init} }}
static void __exit one_exit(void) {{ }}
module_init(one_init);
module_exit(one_exit);
MODULE_LICENSE("GPL");
{more}
"""


@pytest.mark.sandbox
def test_what_a_module_would_like_to_have_is_loaded_where_it_is_there(tmp_path: Path, kernel, ks):
    """MODULE_SOFTDEP: what is not there, or does not load, fails nothing."""
    sources = {
        "asks": ('return request_module("wanted") ? -EIO : 0;', ""),
        "wanted": ("return 0;", 'MODULE_SOFTDEP("pre: early nobody md4 post: late absent");'),
        "early": ("return 0;", 'MODULE_SOFTDEP("pre: wanted");'),
        "late": ("return -ENODEV;", ""),
    }
    texts = {f"{name}__c": ONE.format(init=init, more=more) for name, (init, more) in sources.items()}
    write(tmp_path, Kbuild=f"obj-m := {' '.join(f'{name}.o' for name in sources)}\n", **texts)
    ran = ks("run", "-C", tmp_path, "-k", kernel("6.1").release, "--module", "asks", "--json")
    assert (ran.status, ran.json["verdict"]) == (0, "loaded"), ran.err
    assert ran.json["requests"] == [{"name": "wanted", "modules": ["early", "md4", "late", "wanted"]}]


def test_an_alias_may_be_a_pattern():
    assert aliases.aliases_of(b"\0license=GPL\0alias=net-pf-38\0alias=char-major-10-*\0") == [
        "net-pf-38",
        "char-major-10-*",
    ]
    assert aliases.matches("char-major-10-*", "char_major_10_200")
    assert not aliases.matches("net-pf-38", "net_pf_3")


@pytest.mark.kernel
def test_what_is_built_in_is_no_file(kernel):
    k = kernel("6.1")
    assert "fs_ext4" in aliases.built_in(k) and "fs_btrfs" not in aliases.built_in(k)
    assert aliases.modules_of_alias("fs_btrfs", k) == ["btrfs"]
    assert "tcp_cubic" in aliases.built_in(k)
