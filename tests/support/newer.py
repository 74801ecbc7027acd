"""A kscaffold of tomorrow in a process of its own: other templates, and other code where that is edited."""

import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import kscaffold
from tests.conftest import ROOT, Ran

Main = Callable[[list[str]], int]


class Newer:
    """The templates of tomorrow. `templates` is there to be edited; call it with a command's words."""

    def __init__(self, place: Path) -> None:
        self.package = place / "kscaffold"
        self.templates = place / "templates"
        shutil.copytree(ROOT / "templates", self.templates)

    def code(self) -> Path:
        """A copy of the package to be edited, which is what runs from now on."""
        if not self.package.exists():
            shutil.copytree(ROOT / "kscaffold", self.package)
        return self.package

    def edit(self, layer: str, name: str, old: str, new: str) -> None:
        """Change a text in every file of a layer that has this name (a pattern), where it is."""
        files = [p for p in (self.templates / layer).rglob(name) if p.is_file()]
        changed = [p for p in files if old in p.read_text()]
        assert changed, (layer, name, old)
        for path in changed:
            path.write_text(path.read_text().replace(old, new))

    def within(self, layer: str) -> Path:
        """The directory of a layer that becomes the project."""
        return self.templates / layer / "{{cookiecutter.name}}"

    def version(self, version: str) -> None:
        """Call it another version."""
        (self.code() / "__init__.py").write_text(f'"""Another."""\n\n__version__ = "{version}"\n')

    def __call__(self, *words: str | Path, cwd: Path | None = None) -> Ran:
        return self.inside(lambda main: main([str(w) for w in words]), cwd)

    def inside(self, work: Callable[[Main], int], cwd: Path | None = None) -> Ran:
        """Do something with main(), in a child of this process."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                self._work(work, cwd, out.fileno(), err.fileno())
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode())
        return Ran(status, *said)

    def _work(self, work: Callable[[Main], int], cwd: Path | None, out: int, err: int) -> None:
        """What is imported is here already; a copy of kscaffold is read anew."""
        status = 71
        try:
            os.dup2(out, 1)
            os.dup2(err, 2)
            sys.stdout = os.fdopen(1, "w", encoding="utf-8", newline="")
            sys.stderr = os.fdopen(2, "w", encoding="utf-8", newline="")
            if cwd:
                os.chdir(cwd)
            if self.package.exists():
                for name in [n for n in sys.modules if n.split(".")[0] == "kscaffold"]:
                    del sys.modules[name]
                sys.path.insert(0, str(self.package.parent))
            else:  # it looks for its templates beside itself
                kscaffold.__file__ = str(self.package / "__init__.py")
            from kscaffold.cli.app import main
            from kscaffold.scaffold.create.render import templates_directory

            assert templates_directory() == self.templates
            status = work(main)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            os.write(err, traceback.format_exc().encode())
        os._exit(status)


def changes(ran: Ran) -> dict[str, str]:
    """What `update --json` says of each file."""
    return {f["path"]: f["change"] for f in json.loads(ran.out)["files"]}
