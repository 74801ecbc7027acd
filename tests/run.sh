#!/bin/sh
# All tests: the same preparation as the quickstart, then linters, types and every test, the sandbox ones
# included. Arguments go to pytest: sh tests/run.sh -k scaffold
set -eu
cd "$(dirname "$0")/.."
. examples/prepare.sh
# Machines that are tried always; KSCAFFOLD_REQUIRE=armhf,riscv64,ppc64el asks for the others.
machines="qemu-system-arm gcc-aarch64-linux-gnu qemu-system-misc gcc-s390x-linux-gnu"
case ${KSCAFFOLD_REQUIRE:-} in *armhf*) machines="$machines gcc-arm-linux-gnueabihf libc6-dev-armhf-cross" ;; esac
case ${KSCAFFOLD_REQUIRE:-} in *riscv64*) machines="$machines gcc-riscv64-linux-gnu libc6-dev-riscv64-cross" ;; esac
case ${KSCAFFOLD_REQUIRE:-} in *ppc64el*) machines="$machines qemu-system-ppc gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross" ;; esac
case ${KSCAFFOLD_REQUIRE:-} in *i386*) machines="$machines gcc-i686-linux-gnu libc6-dev-i386-cross" ;; esac
# shellcheck disable=SC2086 # a list of names
prepare "[dev]" tests libc6-dev libc6-dev-arm64-cross libc6-dev-s390x-cross man-db passwd zsh fish git openssl binutils sparse perl clang-format clangd dkms chromium iperf3 $machines
# The kernel's own style checker, once per machine; without a network its tests are skipped.
python -m tests.support.checkpatch || [ -z "${KSCAFFOLD_REQUIRE:-}" ]

# Each of thousands of processes would compile all of its modules again.
unset PYTHONDONTWRITEBYTECODE

set -x
ruff check kscaffold tests
ruff format --check kscaffold tests
mypy
# A file's tests stay together: they share what they build. A quarter of the time of all is spent waiting (for
# deadlines, downloads and the one guest of a test), so there are two workers more than processors.
exec python -m pytest -n $(($(nproc) + 2)) --dist loadfile "$@"
