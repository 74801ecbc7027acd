# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""Two modules, one of which calls the other. Each test has a kernel of its own: `kscaffold test`."""

EXPORTER = "{{ cookiecutter.kernel_name }}"
USER = "{{ cookiecutter.kernel_name }}_user"


def test_counts_what_its_user_adds(guest):
    guest.load(EXPORTER)
    guest.load(USER, number=42)
    guest.expect_log("the tally is 42")
    guest.unload(USER)
    guest.expect_log("the tally is 0 again")
    guest.unload(EXPORTER)
    guest.expect_log("the last tally is 0")


def test_stays_while_it_is_used(guest):
    guest.load(EXPORTER)
    guest.load(USER)
    kept = guest.try_unload(EXPORTER)
    assert not kept.ok
    assert kept.judgement.errno == "EAGAIN"
    guest.unload(USER)
    guest.unload(EXPORTER)


def test_is_loaded_before_its_user(guest):
    # As modprobe does, by the user's own `depends`; insmod would be refused.
    guest.load(USER)
    assert EXPORTER in guest.read("/proc/modules")
