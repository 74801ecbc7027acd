# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What the kernel makes of init's value. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest


{% if cookiecutter._code %}
def test_returns_minus_{{ -cookiecutter._code }}_by_itself(guest):
    refused = guest.try_load()
    assert not refused.ok
    assert refused.judgement.returned == {{ cookiecutter._code }}


{% endif %}
def test_zero_keeps_it_loaded(guest):
    guest.load(code=0)
    guest.expect_log("init returns 0")
    guest.unload()
    guest.expect_log("exit runs")


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOMEM, errno.EBUSY])
def test_an_errno_removes_it_again(guest, error):
    refused = guest.try_load(code=-error)
    assert not refused.ok
    assert refused.judgement.errno == errno.errorcode[error]
    guest.expect_log(f"init returns -{error}")
    # Init has run, and exit has not.
    assert not any("exit runs" in line for line in guest.log())


@pytest.mark.complaint("KS202")
def test_a_positive_number_is_a_mistake(guest):
    guest.load(code=5)
    guest.expect_log("suspiciously returned 5")
