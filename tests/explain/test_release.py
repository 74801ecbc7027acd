"""Which kernel a log is of."""

import pytest

from kscaffold.explain import release


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("make[1]: Entering directory '/usr/lib/modules/6.16.0-3-MANJARO/build'", "6.16.0-3-MANJARO"),
        ("DKMS make.log for demo-0.4 for kernel 6.16.0-3-MANJARO (x86_64)", "6.16.0-3-MANJARO"),
        ("make: Entering directory '/usr/src/linux-headers-6.8.0-45-generic'", "6.8.0-45-generic"),
        ("make: Entering directory '/usr/src/kernels/5.14.0-503.el9.x86_64'", "5.14.0-503.el9.x86_64"),
        (
            "[    0.000000] Linux version 6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org)",
            "6.1.0-56-cloud-amd64",
        ),
        (
            "Linux board 6.12.20-current-demo #1 SMP Sat Mar 22 19:54:28 UTC 2025 aarch64",
            "6.12.20-current-demo",
        ),
        ("vermagic:       6.12.20-current-demo SMP mod_unload aarch64", "6.12.20-current-demo"),
        (
            "CPU: 3 PID: 2310 Comm: modprobe Tainted: G           OE     5.18.1-arch1-1 #1 aeb6",
            "5.18.1-arch1-1",
        ),
        ("make[4]: *** [/usr/src/linux-6.18/scripts/Makefile.build:287: kmod1.o] Error 255", "6.18"),
        ("hello version 6.1 of the driver", None),
        ("built with gcc 12.2.0", None),
    ],
)
def test_the_release_that_a_line_names(line, named):
    assert release.release_of_log(["something else", line.removeprefix("[    0.000000] ")]) == named
    if named:
        assert release.series(named) == tuple(int(n) for n in named.split("-")[0].split(".")[:2])
