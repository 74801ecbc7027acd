"""Templates of others, written for the tests, and the real cookiecutter program to compare with."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, need_program

Files = Mapping[str, str | bytes | Path | None]
# What a project keeps of its making, beside what the template gives.
KEPT = {".kscaffold.base", ".kscaffold.toml"}
TOP = "{{cookiecutter.project_slug}}"


def write_template(where: Path, variables: Any, files: Files) -> Path:
    """A template: its cookiecutter.json (text, or what is written as JSON) and its files. A Path is a link,
    None a directory; what begins with `#!` is executable."""
    where.mkdir(parents=True, exist_ok=True)
    text = variables if isinstance(variables, str) else json.dumps(variables, indent=1)
    if variables is not None:
        (where / "cookiecutter.json").write_text(text)
    for name, content in files.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        elif isinstance(content, Path):
            path.symlink_to(content)
        else:
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data)
            if data.startswith(b"#!"):
                path.chmod(0o755)
    return where


def tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below: mode and content."""
    found = {}
    for path in sorted(directory.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(directory))] = (stat.S_IMODE(path.lstat().st_mode), content)
    return found


def cookiecutter(template: str, out: Path, *words: str, hooks: bool = False) -> Path:
    """What the cookiecutter program makes of a template without asking: the project's directory."""
    yes = "yes" if hooks else "no"
    ran = subprocess.run(
        [
            "cookiecutter",
            "--no-input",
            "--default-config",
            "--accept-hooks",
            yes,
            "-o",
            out,
            template,
            *words,
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    (made,) = out.iterdir()
    return made


def git(where: Path, *words: str) -> str:
    """Run git there, as somebody; what it printed."""
    who = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        [need_program("git", "git"), *who, *words], cwd=where, check=True, capture_output=True, text=True
    ).stdout.strip()


def repository(where: Path, branch: str = "main") -> str:
    """Make a directory a repository with one commit of all in it; the commit."""
    git(where, "init", "-q", "-b", branch)
    git(where, "add", "-A", "-f")
    git(where, "commit", "-q", "-m", "all")
    return git(where, "rev-parse", "HEAD")


def child(words: Sequence[str], cwd: Path, **more: Any) -> "subprocess.Popen[str]":
    """Start the command in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "kscaffold", *words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )
