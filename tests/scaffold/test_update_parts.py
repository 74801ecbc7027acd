"""What an update is made of: answers as TOML, the packed base, the merges, the steps."""

import tarfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kscaffold.cli.app import main
from kscaffold.files import tree
from kscaffold.files.tree import File, NotAFile
from kscaffold.scaffold.metadata import answers, base
from kscaffold.scaffold.update import diff3, plan, rerender
from kscaffold.scaffold.update.plan import is_settled_merge, plan_merge
from tests.conftest import need_program

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = st.one_of(anything, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(anything, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(anything, values, max_size=5), st.dictionaries(anything, values, max_size=3))
@example({"a": [{"b": "\x7f\0\u2028\"\\\n\r\t\U0001f600'''"}], "c": {}}, {"": [{}, {}], "d.e": [[], [1]]})
def test_what_is_written_is_what_is_read(template, given_answers):
    text = answers.text(answers.ProjectAnswers(template, given_answers, "sha256:0", "1.2.3"))
    assert tomllib.loads(text) == {
        "schema": 1,
        "kscaffold": "1.2.3",
        "base": "sha256:0",
        "template": template,
        "answers": given_answers,
    }
    assert text.startswith("# ") and all(c == "\n" or c.isprintable() for c in text)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=30)
@given(
    author=texts, description=texts, default=texts, told=texts, objs=st.sampled_from([[], ["a"], ["a", "b"]])
)
@example('"\\\n\r\t', "'''\"\"\"", "\\:=", ":\\", ["a", "b"])
@example("{{ 1/0 }}", "\x1b[31m\x7f\u2028", "\\", "\u202e", [])
def test_a_project_can_be_made_again_from_its_answers(
    tmp_path_factory, capfd, author, description, default, told, objs
):
    where = tmp_path_factory.mktemp("again")
    escaped = default.replace("\\", "\\\\").replace(":", "\\:")
    words = [f"--author={author}", f"--description={description}", f"--param=s:charp={escaped}:{told}"]
    words += [f"--param=n:hexint@0=0xff:{told}", *(f"--objs={o}" for o in objs)]
    assert main(["new", "mod", f"--directory={where}", *words]) == 0
    project = where / "mod"
    kept = answers.read_answers(project)
    assert (kept.given["author"], kept.given["description"]) == (author, description)
    assert kept.given["parameters"][0]["default"] == default
    made, again = rerender.rerender(project, kept)
    there = tree.read_tree_files(project)
    own = {name: there.pop(name) for name in (".kscaffold.base", ".kscaffold.toml")}
    assert made == there == base.read_base(project, kept.base)
    assert again == kept
    assert answers.text(again).encode() == own[".kscaffold.toml"].content
    capfd.readouterr()


def test_a_template_s_own_parameters_are_no_answers(ks, tmp_path):
    """They follow the template; given ones do not."""
    assert ks("new", "mod", "-C", tmp_path, "--template", "params").status == 0
    assert answers.read_answers(tmp_path / "mod").given["parameters"] == []
    assert "howmany" in (tmp_path / "mod/README.md").read_text()


# ---- the base ----


def test_anyone_can_look_into_a_base(ks, tmp_path):
    assert ks("new", "mod", "-C", tmp_path).status == 0
    project = tmp_path / "mod"
    with tarfile.open(project / ".kscaffold.base") as archive:
        names = archive.getnames()
    plain = [p.relative_to(project) for p in project.rglob("*") if p.is_file()]
    assert names == sorted(str(p) for p in plain if not p.name.startswith(".kscaffold"))
    assert (project / ".kscaffold.base").stat().st_size < 12_000


paths = st.from_regex(r"[a-zé.]{1,3}(/[a-z]{1,120}){0,3}", fullmatch=True).filter(tree.is_inside)
trees = st.dictionaries(paths, st.builds(File, st.binary(max_size=40), st.booleans()), max_size=5)


@given(trees)
def test_a_base_is_unpacked_as_it_was_packed(packed):
    assert base.unpack(base.pack(packed)) == packed
    assert base.pack(packed) == base.pack(dict(reversed(packed.items())))


@given(trees, trees)
def test_a_digest_names_one_base(one, other):
    assert (base.digest(one) == base.digest(other)) == (one == other)


@given(st.binary(max_size=300), st.integers(0, 200), st.integers(1, 255))
def test_a_damaged_base_is_none_and_no_trouble(noise, where, flip):
    assert base.unpack(noise) in (None, {})
    packed = bytearray(base.pack({"a": File(b"text" * 10), "b": File(b"")}))
    whole = base.unpack(bytes(packed))
    packed[where % len(packed)] ^= flip
    assert base.unpack(bytes(packed)) in (None, whole)  # a name or time in the head means nothing
    assert base.unpack(bytes(packed[: where % len(packed)])) is None


@pytest.mark.parametrize(
    "bad", ["/etc/passwd", "..", "../a", "a/../b", ".", "", "a//b", "a/", ".git/x", "a\0"]
)
def test_places_that_are_not_in_a_project(bad):
    assert not tree.is_inside(bad)


@pytest.mark.parametrize("good", ["a", ".a", "a/b", "..a", "a/..b", ".gitignore", "a/.git"])
def test_places_that_are(good):
    assert tree.is_inside(good)


# ---- merges ----

lines = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "}\n", "\xf6\x85\r\n"]), max_size=8).map(
    lambda each: "".join(each).encode("latin-1")
)
ended = st.builds(lambda text, rest: text + rest, lines, st.sampled_from([b"", b"", b"end", b"\xff"]))


@settings(max_examples=60)
@given(ended, ended)
def test_one_side_s_change_is_all_there_is(old, new):
    need_program("diff3", "diffutils")
    windows = diff3._is_windows(new) or diff3._is_windows(old)
    assert diff3.diff3(old, new, old) == diff3.Merged(new, 0) or windows
    assert diff3.diff3(old, old, new) == diff3.Merged(new, 0) or windows
    assert diff3.diff3(old, new, new) == diff3.Merged(new, 0) or windows


@settings(max_examples=60)
@given(ended, ended, ended)
def test_no_line_of_either_side_is_lost_in_a_conflict(old, mine, new):
    merged = diff3.diff3(old, mine, new)
    if merged.conflicts:
        assert merged.content.count(b"<<<<<<< yours") == merged.conflicts
        assert merged.content.count(b">>>>>>> template") == merged.conflicts
        for side in (mine, new):
            kept = set(merged.content.replace(b"\r", b"").split(b"\n"))
            changed = set(side.replace(b"\r", b"").split(b"\n")) - set(old.replace(b"\r", b"").split(b"\n"))
            assert changed <= kept


def test_a_conflict_in_a_last_line_without_newline():
    merged = diff3.diff3(b"a\nb", b"a\nmine", b"a\nnew")
    assert merged.conflicts == 1
    assert merged.content.decode().splitlines() == [
        "a",
        "<<<<<<< yours",
        "mine",
        "=======",
        "new",
        ">>>>>>> template",
    ]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
@pytest.mark.parametrize("was", [b"\n", b"\r\n"])
@pytest.mark.parametrize("new", [b"\n", b"\r\n", None])
def test_line_ends_are_the_user_s_and_no_conflict(ends, was, new):
    def text(words: str, end: bytes) -> bytes:
        return b"".join(word.encode() + end for word in words.split())

    theirs = text("a b c d new", new) if new else b"a\r\nb\nc\nd\r\nnew\n"
    merged = diff3.diff3(text("a b c d e", was), text("mine b c d e", ends), theirs)
    if new or ends == b"\r\n":  # a user's plain file leaves a template its mixed ends
        assert merged == diff3.Merged(text("mine b c d new", ends), 0)
        assert diff3.diff2(text("a b c d new", ends), theirs) == diff3.Merged(text("a b c d new", ends), 0)
    assert b"\r\r" not in merged.content
    assert diff3.is_same(text("a b", ends), text("a b", was))


def test_markers_the_user_has_already_are_not_counted():
    mine = b"<<<<<<< yours\nx\n=======\ny\n>>>>>>> template\nb\nc\nd\ne\n"
    assert diff3.diff3(b"a\nb\nc\nd\ne\n", mine, b"a\nb\nc\nd\nnew\n").conflicts == 0
    assert diff3.diff3(b"a\nb\nc\nd\ne\n", mine, b"new\nb\nc\nd\ne\n").conflicts == 1


@given(ended, ended)
def test_two_ways_show_all_of_both(mine, new):
    merged = diff3.diff2(mine, new)
    assert (merged.conflicts == 0) == (diff3.is_same(mine, new) or mine == new)
    text = diff3._unix(merged.content)
    for line in {*diff3._unix(mine).split(b"\n"), *new.replace(b"\r", b"").split(b"\n")}:
        assert line in text.replace(b"\r", b"")


def test_without_diff3_the_error_names_its_package(ks, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception) as raised:
        diff3.diff3(b"a\n", b"b\n", b"c\n")
    assert raised.value.fix.endswith(" diffutils")


# ---- steps ----

files = st.sampled_from([File(b"a\n"), File(b"b\n"), File(b"c\n"), File(b"\0"), File(b"a\n", True)])
somewhere = st.dictionaries(st.sampled_from(["p", "q"]), files)
here = st.dictionaries(
    st.sampled_from(["p", "q", "p.template"]), st.one_of(files, st.builds(NotAFile, st.just("a link")))
)


@settings(max_examples=300)
@given(st.one_of(st.none(), somewhere), here, somewhere)
def test_nothing_of_the_user_s_is_ever_lost(old, ours, new):
    steps = plan_merge(old, ours, new)
    assert len({s.path for s in steps}) == len(steps)
    for step in steps:
        if not step.target:
            continue
        mine = ours.get(step.target)
        assert step.before == mine and not isinstance(mine, NotAFile)
        if step.after is None:  # only what is still the template's own goes
            assert old and mine == old[step.path] and step.path not in new
        elif mine is not None and (old is None or mine != old.get(step.path)):
            assert step.kind in ("conflict", "merged", "changed")
            if step.kind == "changed":  # but for its mode it was untouched
                assert old and mine.content == old[step.path].content
            for line in mine.content.splitlines():
                assert step.kind == "changed" or line in step.after.content
    assert all(s.target or s.kind in ("conflict", "deleted") for s in steps)


@settings(max_examples=300)
@given(st.one_of(st.none(), somewhere), here, somewhere, st.booleans())
def test_done_once_is_done(old, ours, new, conflicts):
    """What is left after an update are the conflicts that were not to be written."""
    steps = plan_merge(old, ours, new)
    after = dict(ours)
    left = {
        s.path for s in steps if s.kind == "conflict" and not (conflicts and (s.target or s.path not in new))
    }
    for step in steps:
        if step.target and (step.kind != "conflict" or conflicts):
            after[step.target] = step.after
    again = plan_merge(
        is_settled_merge(old, new, left), {k: v for k, v in after.items() if v is not None}, new
    )
    assert {s.path for s in again} == left
    assert all(s.kind == "conflict" for s in again)


def test_modes_are_merged_too():
    plain, marked = File(b"a\n"), File(b"a\n", True)
    (step,) = plan_merge({"p": plain}, {"p": plain}, {"p": marked})
    assert (step.kind, step.after) == ("changed", marked)
    assert plan_merge({"p": plain}, {"p": marked}, {"p": marked}) == []
    (step,) = plan_merge({"p": plain}, {"p": File(b"a\nb\n", True)}, {"p": File(b"new\na\n")})
    assert step.kind in ("merged", "conflict") and step.after and step.after.executable


def test_an_update_s_path_in_the_project(tmp_path):
    from kscaffold.files.journal import look

    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "l").symlink_to("d")
    assert look(tmp_path, "d/f") == File(b"x")
    assert look(tmp_path, "l/f") == NotAFile("below a link")
    assert look(tmp_path, "l") == NotAFile("a link")
    assert look(tmp_path, "d/f/g") == NotAFile("below a file")
    assert look(tmp_path, "nothing/at/all") is None
    assert isinstance(Path("x"), Path) and plan.BESIDE == ".template"
