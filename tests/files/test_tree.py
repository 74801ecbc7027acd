"""What lies below a directory, while somebody works in it."""

import shutil

from kscaffold.files.tree import below


def test_names_that_fit_at_any_depth(tmp_path):
    for place in ("a.c", "b.h", "sub/c.c", "sub/deep.c/d.c"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    found = {str(path.relative_to(tmp_path)) for path in below(tmp_path, "*.c")}
    assert found == {"a.c", "sub/c.c", "sub/deep.c", "sub/deep.c/d.c"}
    assert sorted(below(tmp_path, "*")) == sorted(tmp_path.rglob("*"))


def test_a_directory_that_goes_meanwhile_is_passed_over(tmp_path):
    """As Kbuild's .tmp_PID do, while it asks a compiler what it can."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inside").touch()
    looking = below(tmp_path, "*")
    first = next(path for path in looking if path.name == "inside")
    other = tmp_path / ("two" if first.parent.name == "one" else "one")
    shutil.rmtree(other)
    assert other / "inside" not in looking
