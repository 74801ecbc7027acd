"""What the tests of templates share."""

from collections.abc import Iterator

import pytest

from tests.support import templated
from tests.support.kdirs import SERIES
from tests.support.templated import Guest


@pytest.fixture(params=SERIES)
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A guest of each kernel series, with every template's modules."""
    with templated.guest(request.param) as one:
        yield one
