"""The templates whose subject is what insmod is given: `params` and `returns`."""

import errno

import pytest

from tests.support import templated
from tests.templates.test_templates import refusal, text

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOMEM, errno.EBUSY, 1000])
def test_returns_an_errno(guest, code):
    before = guest.target.modules()
    assert guest.load("returns", f"code={-code}") == code
    assert guest.said("returns") == [f"init returns {-code}"]
    assert guest.target.modules() == before


def test_returns_what_is_no_errno(guest):
    with guest.loaded("returns"):
        pass
    assert guest.said("returns") == ["init returns 0", "exit runs"]
    assert guest.load("returns", "code=5") == 0
    assert any("suspiciously returned 5" in text for text in guest.quarrels())
    assert guest.unload("returns") == 0


DEFAULTS = {
    **{"howmany": "1", "whom": "world", "loud": "N", "quiet": "Y", "channel": "7", "offset": "-1"},
    **{"port": "80", "flags": "0x0000ff", "limit": "1000", "balance": "-5", "bytes": "4096"},
    **{"serial": "4886718345", "sizes": "1,2", "tag": "none", "percent": "50"},
}


def test_params_of_every_type(guest):
    def seen() -> dict[str, str]:
        return {p: text(guest, f"/sys/module/{name}/parameters/{p}").strip() for p in DEFAULTS}

    with guest.loaded("params") as name:
        assert seen() == DEFAULTS
        guest.target.write(f"/sys/module/{name}/parameters/percent", b"100")
        assert text(guest, f"/sys/module/{name}/parameters/percent") == "100\n"
    given = {
        **{"howmany": "-3", "whom": "all of you", "loud": "Y", "quiet": "N", "channel": "255"},
        **{"offset": "-32768", "port": "65535", "flags": "0xffffffff", "limit": "4294967295"},
        **{"balance": str(-(2**63)), "bytes": str(2**64 - 1), "serial": str(2**64 - 1)},
        **{"sizes": "4,3,2,1", "tag": "fifteen letters", "percent": "0"},
    }
    line = " ".join(f'{k}="{v}"' if " " in v else f"{k}={v}" for k, v in given.items())
    with guest.loaded("params", line) as name:
        assert seen() == given


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("channel=256", errno.ERANGE),
        ("port=-1", errno.EINVAL),
        ("howmany=many", errno.EINVAL),
        ("sizes=1,2,3,4,5", errno.EINVAL),
        ("tag=sixteen_letters_", errno.ENOSPC),
        ("percent=101", errno.ERANGE),
        ("percent=-1", errno.EINVAL),
    ],
)
def test_params_refuse(guest, line, code):
    assert guest.load("params", line) == code
    assert "hello from init" not in guest.said("params")


def test_params_refuse_a_write_too(guest):
    assert guest.load("params") == 0
    name = templated.module("params").replace("-", "_")
    assert refusal(guest, f"/sys/module/{name}/parameters/percent", "101") == errno.ERANGE
    assert text(guest, f"/sys/module/{name}/parameters/percent") == "50\n"
    assert "percent is more than 100" in guest.said("params")
