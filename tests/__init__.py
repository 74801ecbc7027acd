"""Tests of kscaffold."""

import pytest

# What their helpers assert is told with its values, too.
pytest.register_assert_rewrite("tests.support")
