"""The workflow files of continuous integration, as text: nothing is written here."""

from collections.abc import Callable, Mapping, Sequence

from kscaffold.arch import table
from kscaffold.records import dataclass

_PACKAGES = ("ca-certificates", "gcc", "git", "kmod", "libc6-dev", "make", "python3-pip")
_KERNELS = "~/.cache/kscaffold/kernels"

_GITHUB = """\
# Tests the kernel modules of this repository on several kernels: written by `kscaffold ci github`.
name: kernel modules

on: [push, pull_request]

permissions:
  contents: read

jobs:
  test:
    runs-on: ubuntu-latest
    # Debian's packages of kernels; the user is root there, so /dev/kvm needs no udev rule.
    container:
      image: debian:bookworm
      options: --device /dev/kvm
    timeout-minutes: 60
    strategy:
      fail-fast: false
      matrix:
        kernel: [{kernels}]
        shard: [{shards}]
    steps:
      - name: Install the tools
        run: |
          apt-get update
          apt-get install --no-install-recommends -y {packages}
          pip install --break-system-packages kscaffold
      - uses: actions/checkout@v4
      # A cache is never written again: each month begins one, from that of the month before.
      - name: The month
        run: echo "month=$(date +%Y-%m)" >> "$GITHUB_ENV"
      # Only the kernel: snapshots of guests are of one machine, and made anew in seconds.
      - uses: actions/cache@v4
        with:
          path: {cache}
          key: kernel-bookworm-${{{{ runner.arch }}}}-${{{{ matrix.kernel }}}}-${{{{ env.month }}}}
          restore-keys: kernel-bookworm-${{{{ runner.arch }}}}-${{{{ matrix.kernel }}}}-
      - name: Fetch the kernel
        run: kscaffold kernel add ${{{{ matrix.kernel }}}}
      # The checkout belongs to the runner's user, who is not root: it is named.
      - name: Test
        run: >-
          KSCAFFOLD_TRUST="$GITHUB_WORKSPACE" kscaffold test --kernel ${{{{ matrix.kernel }}}}
          --shard ${{{{ matrix.shard }}}}
          --junit junit.xml
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: junit-${{{{ matrix.kernel }}}}-${{{{ strategy.job-index }}}}
          path: junit.xml
"""

_GITLAB = """\
# Tests the kernel modules of this repository on several kernels: written by `kscaffold ci gitlab`.
test-modules:
  # Debian's packages of kernels. A runner with devices = ["/dev/kvm"] in its config.toml is faster.
  image: debian:bookworm
  timeout: 1h
  parallel:
    matrix:
      - KERNEL: [{kernels}]
        SHARD: [{shards}]
  variables:
    # GitLab keeps only what is below the project's directory.
    XDG_CACHE_HOME: $CI_PROJECT_DIR/.cache
    # GitLab's runner makes a checkout that all may write to: it is named.
    KSCAFFOLD_TRUST: $CI_PROJECT_DIR
  cache:
    # Only the kernel: snapshots of guests are of one machine, and made anew in seconds.
    key: kscaffold-kernels-bookworm-$KERNEL
    paths:
      - .cache/kscaffold/kernels
  before_script:
    - apt-get update
    - apt-get install --no-install-recommends -y {packages}
    - pip install --break-system-packages kscaffold
    - kscaffold kernel add $KERNEL
  script:
    - kscaffold test --kernel $KERNEL --shard $SHARD --junit junit.xml
  artifacts:
    when: always
    reports:
      junit: junit.xml
      # Failures beside the lines of a merge request; `kscaffold test` writes the file where GitLab runs.
      codequality: gl-code-quality-report.json
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs workflows. `path`: of its file in a repository. `template`: the file's text."""

    path: str
    template: str


SERVICES: Mapping[str, Service] = {
    "github": Service(".github/workflows/kernel-modules.yml", _GITHUB),
    "gitlab": Service(".gitlab-ci.yml", _GITLAB),
}


def workflow(service: str, kernels: Sequence[str], shards: int = 1) -> str:
    """The workflow file of a service, for these kernels, the tests of each in so many parts. Its runners are
    machines as this one.
    """
    host = table.host()
    quoted: Callable[[str], str] = '"{}"'.format
    return SERVICES[service].template.format(
        kernels=", ".join(map(quoted, kernels)),
        shards=", ".join(quoted(f"{number}/{shards}") for number in range(1, shards + 1)),
        packages=" ".join((*_PACKAGES, *([host.qemu_package] if host else []))),
        cache=_KERNELS,
    )
