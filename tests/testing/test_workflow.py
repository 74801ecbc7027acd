"""Workflow files: valid by the services' own schemas, and each command in them is one that kscaffold has."""

import json
import os
import shlex
import subprocess
import sys

import pytest
import yaml

from kscaffold.cli.registry import commands
from kscaffold.testing.workflow import SERVICES, workflow
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write

SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


def scripts(service: str, text: str) -> list[str]:
    """The lines that a runner's shell gets."""
    document = yaml.safe_load(text)
    if service == "github":
        steps = document["jobs"]["test"]["steps"]
        return [line for step in steps if "run" in step for line in step["run"].splitlines()]
    job = document["test-modules"]
    return [*job["before_script"], *job["script"]]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("shards", [1, 3])
def test_the_schema_of_the_service_takes_it(service, shards, tmp_path):
    file = tmp_path / "workflow.yml"
    file.write_text(workflow(service, ["6.1", "6.12"], shards))
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[service], str(file)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_matrix_has_each_kernel_and_shard():
    github = yaml.safe_load(workflow("github", ["5.10", "6.1"], 2))["jobs"]["test"]["strategy"]["matrix"]
    (gitlab,) = yaml.safe_load(workflow("gitlab", ["5.10", "6.1"], 2))["test-modules"]["parallel"]["matrix"]
    assert github == {"kernel": ["5.10", "6.1"], "shard": ["1/2", "2/2"]}
    assert gitlab == {"KERNEL": ["5.10", "6.1"], "SHARD": ["1/2", "2/2"]}


@pytest.mark.parametrize("service", SERVICES)
def test_the_commands_are_there_with_their_options(service):
    app = commands()
    found = 0
    for line in scripts(service, workflow(service, ["6.1"])):
        words = [word for word in shlex.split(line) if not word.startswith("KSCAFFOLD_TRUST=")]
        if words[0] != "kscaffold":
            assert words[0] in ("apt-get", "pip", "echo")
            continue
        found += 1
        names = {c.name: c.callback for c in app.registered_commands}
        if words[1] in names:
            options = {p.removeprefix("--") for p in words if p.startswith("--")}
            assert options <= set(names[words[1]].__annotations__)
    assert found == 2


@pytest.mark.parametrize("service", SERVICES)
def test_the_steps_run_as_a_shell_would(service, tmp_path):
    """With stand-ins for the programs, which write down how they were called."""
    for name in ("apt-get", "pip", "kscaffold"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{tmp_path}/calls"\n')
        program.chmod(0o755)
    text = "\n".join(scripts(service, workflow(service, ["6.1"])))
    for name, value in (("matrix.kernel", "6.1"), ("matrix.shard", "1/1")):
        text = text.replace("${{ " + name + " }}", value)
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "KERNEL": "6.1",
        "SHARD": "1/1",
        "GITHUB_ENV": str(tmp_path / "output"),
        "GITHUB_WORKSPACE": str(tmp_path),
    }
    subprocess.run(["sh", "-euc", text], env=env, check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["apt-get", "apt-get", "pip", "kscaffold", "kscaffold"]
    assert calls[-2] == "kscaffold kernel add 6.1"
    assert calls[-1] == "kscaffold test --kernel 6.1 --shard 1/1 --junit junit.xml"


@pytest.mark.sandbox
@pytest.mark.parametrize("service", SERVICES)
def test_the_test_step_tells_the_service_of_a_failure(service, tmp_path, monkeypatch):
    """With kscaffold itself, in a checkout of somebody else's, where root runs it."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    release = need_kernel("6.1").release
    project = write(tmp_path / "driver", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    write(project, tests_0_test_it__py="def test_it(guest):\n    guest.load('hello', nonsense=1)\n")
    if os.geteuid() == 0:
        for path in (project, *project.rglob("*")):
            os.chown(path, 1001, 1001)
    program = tmp_path / "kscaffold"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kscaffold "$@"\n')
    program.chmod(0o755)
    text = scripts(service, workflow(service, [release]))[-1]
    text = text.replace("${{ matrix.kernel }}", release).replace("${{ matrix.shard }}", "1/1")
    variables = yaml.safe_load(workflow(service, [release])).get("test-modules", {}).get("variables", {})
    where = {"GITHUB_WORKSPACE": str(project), "CI_PROJECT_DIR": str(project)}
    where["GITHUB_ACTIONS" if service == "github" else "GITLAB_CI"] = "true"
    trust = {k: v.replace("$CI_PROJECT_DIR", str(project)) for k, v in variables.items() if "TRUST" in k}
    env = {**os.environ, "PYTHONPATH": str(ROOT), "KERNEL": release, "SHARD": "1/1", **where, **trust}
    env["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-euc", text], env=env, cwd=project, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "hello has no parameter nonsense" in (project / "junit.xml").read_text()
    if service == "github":
        assert f"::error file=tests/test_it.py,line=1,title=test_it on {release}::not clean" in done.stdout
    else:
        (issue,) = json.loads((project / "gl-code-quality-report.json").read_text())
        assert issue["location"] == {"path": "tests/test_it.py", "lines": {"begin": 1}}


def test_it_is_written_once(ks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for service, made in SERVICES.items():
        assert ks("ci", service, "--write").status == 0
        assert (
            (tmp_path / made.path).read_text() == ks("ci", service).out == workflow(service, ["6.1", "6.12"])
        )
        assert ks("ci", service, "--write").status == 2
