"""Each template compiles on each kernel without a word from gcc, sparse or checkpatch."""

import shutil
import subprocess

import pytest

from tests.conftest import need_program
from tests.scaffold.test_build import checkpatch, warnings
from tests.support import templated
from tests.support.kdirs import SERIES, Tree
from tests.support.kernels import need_kernel

pytestmark = pytest.mark.kernel


@pytest.fixture(params=SERIES)
def built(request: pytest.FixtureRequest) -> templated.Built:
    return templated.built(request.param)


def test_no_warning_at_w1_and_under_sparse(built):
    assert built.status == 0, built.output
    assert [w for w in warnings(built.output) if str(built.place) in w or "my-" in w] == []
    modules = {ko.name for ko in built.place.rglob("*.ko")}
    assert modules == {f"{templated.module(t)}.ko" for t in built.names} | {"my-exporter-user.ko"}
    assert set(templated.names()) - set(built.names) == {"i2c", "spi", "usb"}  # test_own_tests.py builds them
    need_program("sparse", "sparse")
    checked = [line for line in built.output.splitlines() if line.strip().startswith("CHECK")]
    assert len(checked) >= len(modules)


def test_clean_under_checkpatch(tmp_path, ks):
    command = checkpatch()
    for template in templated.names():
        assert ks("new", templated.module(template), "-t", template, "-C", tmp_path).status == 0
    files = [p for p in tmp_path.rglob("*") if p.suffix in (".c", ".h") or p.name in ("Kbuild", "Makefile")]
    assert len(files) > 3 * len(templated.names())
    ran = subprocess.run([*command, *files], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("template", ["exporter", "block"])
def test_plain_make_builds_it(ks, tmp_path, tree_61: Tree, template):
    assert ks("new", "ram", "-t", template, "-C", tmp_path).status == 0
    project = tmp_path / "ram"
    before = set(project.iterdir())
    made = tree_61.make(project, "W=1")
    assert made.returncode == 0, made.stdout
    assert warnings(made.stdout) == []
    assert (project / "ram.ko").exists()
    assert (project / "ram-user.ko").exists() == (template == "exporter")
    assert tree_61.make(project, "clean").returncode == 0
    assert set(project.iterdir()) == before


def test_a_further_module_has_a_name_that_can_be(ks, tmp_path):
    refused = ks("new", "m" * 51, "-t", "exporter", "-C", tmp_path)
    assert (refused.status, list(tmp_path.iterdir())) == (2, [])
    assert "KS010" in refused.err
    assert ks("new", "m" * 50, "-t", "exporter", "-C", tmp_path).status == 0


def test_any_name_will_do(ks, tmp_path, tree_61: Tree):
    """Names the headers have, as the name of each template's module: nothing in a template has them too."""
    odd = ["time", "random", "mailbox", "words", "page", "file", "end", "disk", "tally", "M", "x__y-", "init"]
    odd += ["edu", "watch", "note", "lamp", "keys"]
    lines = []
    for template, name in zip(templated.names(need_kernel("6.1")), odd, strict=True):
        assert ks("new", name, "-t", template, "-C", tmp_path).status == 0
        lines.append(f"{template}/")
        shutil.move(tmp_path / name, tmp_path / template)
    (tmp_path / "Kbuild").write_text("obj-m := " + " ".join(lines) + "\n")
    argv = ["make", "-j2", "-C", str(tree_61.kdir), f"M={tmp_path}", *tree_61.variables, "W=1", "modules"]
    made = subprocess.run(argv, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    assert warnings(made.stdout + made.stderr) == []
