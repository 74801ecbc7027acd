"""The instruments' helpers build for the newest kernel whose headers can be had."""

from collections.abc import Iterator

import pytest

from kscaffold.instrument.helper_module import SOURCES, helper
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.fetch import fetch
from kscaffold.kernel.kernel import Kernel
from kscaffold.progress import SILENT
from tests.support.headers import NEWER, need_headers

HELPERS = sorted(place.name for place in SOURCES.iterdir() if place.is_dir())


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """The kernel, in a world without any other cache; fetched anew where it was fetched by a kscaffold that
    did not bring a compiler with it.
    """
    tree = need_headers("7")
    kernel = Kernel(tree.release, "fetched", tree.directory, None, None, None, "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield fetch("7", NEWER["7"][0], SILENT).kernel if build_problem(kernel) else kernel


@pytest.mark.kernel
@pytest.mark.parametrize("name", HELPERS)
def test_a_helper_builds_for_the_newest_kernel(name: str, newest: Kernel):
    assert newest.build is not None
    assert helper(name, newest, SILENT).ko.stat().st_size > 0


def test_there_are_helpers():
    assert HELPERS == ["coverage", "faults", "sanitize"]
