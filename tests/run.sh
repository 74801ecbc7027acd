#!/bin/sh
# All tests: the same preparation as the quickstart, then linters, types and every test, the sandbox ones
# included. Arguments go to pytest: sh tests/run.sh -k scaffold
set -eu
cd "$(dirname "$0")/.."
. examples/prepare.sh
prepare "[dev]" tests libc6-dev git openssl binutils sparse perl clang-format clangd dkms chromium
# The kernel's own style checker, once per machine; without a network its tests are skipped.
python -m tests.support.checkpatch || [ -z "${KSCAFFOLD_REQUIRE:-}" ]

set -x
ruff check kscaffold tests
ruff format --check kscaffold tests
mypy
# A file's tests stay together: they share what they build.
exec python -m pytest -n auto --dist loadfile "$@"
