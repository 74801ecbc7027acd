"""What mends a command line names the directory that it named."""

import shlex
from pathlib import Path

import pytest

from kscaffold.cli import app
from kscaffold.cli.named_place import named_place, placed, placed_document


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["load", "-C", "there"], "there"),
        (["-v", "load", "-C", "there"], "there"),
        (["load", "--directory=there"], "there"),
        (["load", "-Cthere"], "there"),
        (["load", "there"], "there"),
        (["load", "there", "a=1"], "there"),
        (["list", "there"], "there"),
        (["logs", "-n", "1", "there"], "there"),
        (["new", "there"], None),
        (["load", "gone"], None),
        (["load", "-C"], None),
        ([], None),
    ],
)
def test_the_place_that_is_named(words: list[str], place: str | None, tmp_path: Path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert named_place(words) == place


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("exec -C there prog", "there"),
        ("exec --fresh --env A=1 -C there -- prog -C other", "there"),
        ("exec --fresh prog -C there", None),
        ("exec prog -C there", None),
        ("-v exec -C there prog", "there"),
    ],
)
def test_what_follows_a_program_is_the_program_s(line: str, place: str | None):
    words = line.split()
    assert named_place(app._before_program(words[: words.index("--")] if "--" in words else words)) == place


def test_each_fix_of_a_document_is_for_that_place(ks, tmp_path: Path, monkeypatch):
    (tmp_path / "there/below").mkdir(parents=True)
    (tmp_path / "there/below/Kbuild").write_text("obj-m := hello.o\n")
    monkeypatch.chdir(tmp_path)
    document = {"fix": "kscaffold reload", "results": [{"fix": "kscaffold list", "cause": "kscaffold list"}]}
    told = placed_document(document, ["load", "-C", "there"])
    assert told["fix"] == "kscaffold reload -C there"
    assert told["results"] == [{"fix": "kscaffold list -C there", "cause": "kscaffold list"}]
    assert ks("build", "-C", "there", "--json").json["error"]["fix"] == f"cd {tmp_path}/there/below"
    ran = ks("load", "-C", "there/below", "nosuch.ko", "--json")
    assert ran.json["error"]["fix"] == "kscaffold build -C there/below, or name a .ko that exists"
    assert "kscaffold load -C there/below starts one" in ks("list", "-C", "there/below").err


def test_a_fix_is_for_that_place():
    words = ["load", "-C", "a b"]
    assert placed("kscaffold reload", words) == "kscaffold reload -C 'a b'"
    assert placed("kscaffold build, or name a .ko", words) == "kscaffold build -C 'a b', or name a .ko"
    assert placed("kscaffold reload a=1; kscaffold logs -f", words) == (
        "kscaffold reload -C 'a b' a=1; kscaffold logs -C 'a b' -f"
    )
    for fix in ("kscaffold kernel add", "kscaffold load -C x", "name another", "kscaffold loads"):
        assert placed(fix, words) == fix
    assert placed("kscaffold reload", ["load"]) == "kscaffold reload"


@pytest.mark.parametrize(
    ("typed", "fix", "told"),
    [
        ("load -k 6.1", "kscaffold reload a=1", "kscaffold reload --kernel 6.1 a=1"),
        ("load -k6.1 a=1", "kscaffold reload", "kscaffold reload --kernel 6.1 a=1"),
        ("load x.ko 'a=1 2'", "kscaffold reload starts a new one",
         "kscaffold reload x.ko 'a=1 2' starts a new one"),
        ("load --module m --arch s390x", "kscaffold build", "kscaffold build --arch s390x --module m"),
        ("load -mm --host", "kscaffold reload; kscaffold list",
         "kscaffold reload --module m --host; kscaffold list --host"),
        ("load --no-build --cmdline 'a b' --html p.html -v x.ko", "kscaffold reload",
         "kscaffold reload --no-build --cmdline 'a b' x.ko"),
        # What the fix itself says of it counts.
        ("check --kernel=6.1", "kscaffold build --kernel RELEASE", "kscaffold build --kernel RELEASE"),
        ("check --module m", "kscaffold check without --module looks at all",
         "kscaffold check without --module looks at all"),
        ("load -k 6.1", "kscaffold load --host", "kscaffold load --host"),
        # The host is what fails, and the sandbox the way out.
        ("load --host", "load it in the sandbox: kscaffold load", "load it in the sandbox: kscaffold load"),
        ("unload --host hello", "kscaffold list shows what is loaded",
         "kscaffold list --host shows what is loaded"),
        ("unload --module m", "kscaffold logs", "kscaffold logs"),  # logs takes none
        ("test -k words -C d", "kscaffold build", "kscaffold build -C d"),
        ("exec -C d prog -C x", "kscaffold load", "kscaffold load -C d"),
        ("sandbox shell --kernel 6.1", "kscaffold load", "kscaffold load --kernel 6.1"),
        ("kbuild add-object -C d y.o", "kscaffold kbuild rename m N", "kscaffold kbuild rename -C d m N"),
        ("package install -C d", "kscaffold package install --root R",
         "kscaffold package install -C d --root R"),
        ("new -C d x", "cd d/x && kscaffold load", "cd d/x && kscaffold load"),
        ("load tests/x.ko", "kscaffold reload", "kscaffold reload tests/x.ko"),
        ("check -k 6.1 -C d", "kscaffold check --help", "kscaffold check --help"),
        ("run -k 6.1 a=1", "kscaffold info lists the parameters",
         "kscaffold info --kernel 6.1 lists the parameters"),
        ("run -k 6.1 x/a.ko a=1", "kscaffold info lists the parameters",
         "kscaffold info --kernel 6.1 x/a.ko lists the parameters"),
    ],
)  # fmt: skip
def test_a_fix_repeats_what_was_given(typed: str, fix: str, told: str):
    assert placed(fix, shlex.split(typed)) == told


def test_a_rebuild_is_where_the_sources_are(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "project/sub").mkdir(parents=True)
    (tmp_path / "project/Kbuild").write_text("obj-m := x.o\n")
    (tmp_path / "stray").mkdir()
    monkeypatch.chdir(tmp_path)
    assert placed("kscaffold build", ["info", "project/x.ko"]) == "kscaffold build -C project"
    assert placed("kscaffold build", ["info", "-C", "project", "x.ko"]) == "kscaffold build -C project"
    for fix in ("kscaffold build", "kscaffold clean && kscaffold build"):
        assert placed(fix, ["check", "stray/x.ko"]) == f"in the directory of its sources: {fix}"
    assert placed("kscaffold build", ["check"]) == "kscaffold build"


def test_a_rebuild_is_of_the_project_that_the_file_belongs_to(tmp_path: Path, monkeypatch):
    """Which neither -C nor the directory of the command may be."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("one", "two", "two/sub"):
        (tmp_path / name).mkdir()
    for name in ("one", "two"):
        (tmp_path / name / "Kbuild").write_text("obj-m := x.o\n")
    monkeypatch.chdir(tmp_path / "one")
    fix, there = "kscaffold clean && kscaffold build", tmp_path / "two"
    other = f"kscaffold clean -C {there} && kscaffold build -C {there}"
    assert placed(fix, ["load", "x.ko", f"{there}/y.ko"], there / "y.ko") == other
    assert placed(fix, ["load", "x.ko", f"{there}/y.ko"], tmp_path / "one/x.ko") == fix
    assert placed(fix, ["load", "-C", ".", f"{there}/y.ko"], there / "y.ko") == other
    inside = "kscaffold clean -C ../two && kscaffold build -C ../two"
    assert placed(fix, ["load", "-C", "../two", "sub/y.ko"], there / "sub/y.ko") == inside
    told = placed_document({"path": str(there / "y.ko"), "fix": fix}, ["load", "x.ko", f"{there}/y.ko"])
    assert told["fix"] == other
    # A project's own modules, wherever they were built, are of the project that was named.
    assert placed(fix, ["run", "-C", "."], there / "y.ko") == "kscaffold clean -C . && kscaffold build -C ."


def test_a_file_that_is_not_there(ks, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "some").mkdir()
    monkeypatch.chdir(tmp_path / "some")
    fix = "name a .ko that exists"
    for command in ("check", "info", "load", "run", "sign", "explain load"):
        assert ks(*command.split(), "nosuch.ko", "--json").json["error"]["fix"] == fix, command
    (tmp_path / "some/my-mod.ko").write_text("")
    for command in ("check", "info", "load", "run", "sign"):
        assert ks(command, "my_mod.ko", "--json").json["error"]["fix"] == "name my-mod.ko", command
        assert ks(command, "other.ko", "--json").json["error"]["fix"] == f"{fix}: my-mod.ko", command
    assert ks("check", "../soem/my-mod.ko", "--json").json["error"]["fix"] == "name ../some/my-mod.ko"
    (tmp_path / "some/Kbuild").write_text("obj-m := nosuch.o\n")
    assert ks("check", "nosuch.ko", "--json").json["error"]["fix"] == f"kscaffold build, or {fix}"


@pytest.mark.parametrize("command", ["adopt", "update"])
def test_a_directory_that_is_not_there_is_a_near_one(ks, tmp_path: Path, monkeypatch, command: str):
    (tmp_path / "driver").mkdir()
    monkeypatch.chdir(tmp_path)
    assert ks(command, "drivr", "--json").json["error"]["fix"] == f"kscaffold {command} driver"
    fix = "name a directory that is there: ls -d */"
    assert ks(command, "nowhere", "--json").json["error"]["fix"] == fix


def test_a_directory_too_much_is_meant_for_c(ks, tmp_path: Path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    done = ks("clean", "there")
    assert done.status == 2 and "fix: kscaffold clean -C there" in done.err
    assert "fix: kscaffold clean --help" in ks("clean", "nowhere").err
    assert "fix: kscaffold sandbox stop --help" in ks("sandbox", "stop", "nowhere").err
    assert "kscaffold load -C there starts one" in ks("logs", "-C", "there").err
