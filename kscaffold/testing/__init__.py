"""Tests of a module: the pytest plugin, and the examination of a module that has no tests."""
