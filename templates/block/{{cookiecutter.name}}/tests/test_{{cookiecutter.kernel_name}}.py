# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What programs can do with the disk /dev/{{ cookiecutter.kernel_name }}. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

DISK = "/dev/{{ cookiecutter.kernel_name }}"
MEGABYTE = 1 << 20


def forget(guest):
    """Empty the page cache, so that what is read comes from the disk."""
    guest.exec("sync", check=True)
    guest.write("/proc/sys/vm/drop_caches", "3")


def test_is_as_big_as_told(guest):
    guest.load(megabytes=2)
    assert guest.read("/sys/block/{{ cookiecutter.kernel_name }}/size") == f"{2 * MEGABYTE // 512}\n"
    guest.expect_log(f"see {DISK}, 2 MB")


def test_keeps_what_was_written(guest):
    guest.load(megabytes=1)
    assert guest.read_bytes(DISK) == bytes(MEGABYTE)
    # No whole sectors: the page cache reads, changes and writes those.
    words = bytes(range(256)) * 12
    guest.write(DISK, words)
    forget(guest)
    assert guest.read_bytes(DISK) == words + bytes(MEGABYTE - len(words))


def test_ends_where_it_ends(guest):
    guest.load(megabytes=1)
    with pytest.raises(OSError) as refused:
        guest.write(DISK, bytes(MEGABYTE + 1))
    assert refused.value.errno == errno.ENOSPC


def test_forgets_when_it_is_unloaded(guest):
    guest.load(megabytes=1)
    guest.write(DISK, "secret")
    guest.unload()
    guest.load(megabytes=1)
    assert guest.read_bytes(DISK) == bytes(MEGABYTE)


@pytest.mark.parametrize("megabytes", [0, 1025])
def test_refuses_sizes_that_make_no_sense(guest, megabytes):
    assert guest.try_load(megabytes=megabytes).judgement.errno == "EINVAL"
