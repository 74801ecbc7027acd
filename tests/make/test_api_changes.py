"""The table of the kernel's interface changes: each row against the real headers of several kernels, and
what it gives for the words of compilers."""

import functools
from pathlib import Path

import pytest

from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.api_changes import ApiChange, api_changes, changes_for
from tests.support.headers import SERIES, need_headers

OLDEST = (5, 10)


@functools.cache
def shown(series: str) -> dict[str, bool | None]:
    """Of each row, whether the headers of a series have its change."""
    tree = need_headers(series)
    return {name: change.shown_by(tree) for name, change in api_changes().items()}


def test_the_table_is_large():
    assert sum(c.since > OLDEST for c in api_changes().values()) >= 120
    kinds = {c.kind for c in api_changes().values()}
    assert kinds == {"renamed", "moved", "removed", "signature", "return type", "type", "new"}


@pytest.mark.parametrize("change", api_changes().values(), ids=lambda c: c.name)
def test_a_row_says_what_to_write(change: ApiChange):
    """New names have only a way for older kernels, names that went only one for newer ones."""
    assert (change.new is None) != (change.old is None)
    if change.kind == "new":
        assert change.before and not change.use
    elif change.kind in ("renamed", "moved", "removed"):
        assert change.use and (not change.before or change.came > (0, 0))
    else:
        assert change.use


@pytest.mark.kernel
@pytest.mark.parametrize("series", SERIES)
def test_the_headers_have_what_each_row_says(series: str):
    tree = need_headers(series)
    version = int(tree.version[0]), int(tree.version[1])
    wrong = []
    for change in api_changes().values():
        told = version >= change.since or version in change.also or version < change.came
        if shown(series)[change.name] not in (told, None):
            wrong.append(f"{change.name}: since {change.since}, and {tree.release} says {not told}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.kernel
def test_each_row_is_seen_on_both_sides():
    """A row whose change no pair of these kernels shows would prove nothing; those before 5.10 can't."""
    young = [c for c in api_changes().values() if c.since > OLDEST and OLDEST not in c.also]
    unproven = []
    for change in young:
        # A header that is not there is the other side of one that is.
        if len({shown(series)[change.name] for series in SERIES}) == 1:
            unproven.append(change.name)
    assert unproven == []
    assert len(young) >= 120


@pytest.mark.kernel
def test_every_header_of_a_row_was_seen():
    """A misspelt header would be missing everywhere, as one that went long ago is."""
    trees = [need_headers(series) for series in SERIES]
    unseen = [
        change.name
        for change in api_changes().values()
        if change.since > OLDEST
        and not any(
            (t.source / "include" / h).is_file() or _elsewhere(t, h) for t in trees for h in change.headers
        )
    ]
    assert unseen == []


def _elsewhere(tree: BuildTree, header: str) -> bool:
    places = (tree.source / "arch/x86/include" / header, tree.directory / header)
    return any(place.is_file() for place in places)


def tree_of(place: Path, **headers: str) -> BuildTree:
    for name, text in {"linux_0_kernel__h": "", **headers}.items():
        path = place / "include" / name.replace("_0_", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return BuildTree(place, place, "6.1.0-99", ("6", "1", "0"), "x86", None, "", False, False, "x86", "", "")


def test_headers_at_hand_come_before_the_version(tmp_path: Path):
    """A distribution's 6.1 with the names of 6.16."""
    tree = tree_of(tmp_path, linux_0_timer__h="#define timer_container_of(var) \\\n\tcontainer_of(var)\n")
    (change,) = changes_for("from_timer", (6, 1), tree)
    assert change.advice((6, 1), tree) == "timer_container_of()"
    assert "and 6.1.0-99 has that change, too" in change.cause((6, 1), tree.release, tree)
    assert "backported" in change.fix((6, 1), tree)
    assert changes_for("from_timer", (6, 1)) == ()


def test_a_header_of_another_architecture_tells_nothing(tmp_path: Path):
    """arm64 has no asm/msr.h, and never had rdmsrl()."""
    tree = tree_of(tmp_path)
    assert api_changes()["rdmsrl"].shown_by(tree) is None
    assert changes_for("rdmsrl", (6, 1), tree) == ()


def test_what_went_is_not_found_in_a_comment(tmp_path: Path):
    tree = tree_of(tmp_path, linux_0_timer__h="/* #define from_timer(var) was here */\n")
    assert changes_for("from_timer", (6, 1), tree) != ()


@pytest.mark.parametrize(
    ("line", "version", "name", "advice"),
    [
        (
            "x.c:1:2: error: implicit declaration of function 'from_timer'; did you mean 'mod_timer'?",
            (6, 16),
            "from_timer",
            "timer_container_of()",
        ),
        (
            "x.c:1: error: call to undeclared function 'del_timer'; ISO C99",
            (6, 15),
            "del_timer",
            "timer_delete()",
        ),
        ("x.c:1: error: ‘no_llseek’ undeclared here (not in a function)", (6, 12), "no_llseek", "no .llseek"),
        (
            "fatal error: asm/unaligned.h: No such file or directory",
            (6, 12),
            "asm/unaligned.h",
            "linux/unaligned.h",
        ),
        ("x.c:3:10: fatal error: 'linux/genhd.h' file not found", (5, 18), "linux/genhd.h", "linux/blkdev.h"),
        (
            "x.c:1:2: error: too many arguments to function ‘class_create’",
            (6, 4),
            "class_create",
            "class_create(name)",
        ),
        (
            "x.c:1:2: error: too few arguments to function 'class_create'",
            (6, 3),
            "class_create",
            "THIS_MODULE",
        ),
        (
            "error: ‘struct platform_driver’ has no member named ‘remove_new’; did you mean ‘remove’?",
            (6, 13),
            "platform_driver.remove_new",
            "returns void",
        ),
        (
            "error: no member named 'iterate' in 'struct file_operations'",
            (6, 6),
            "file_operations.iterate",
            "iterate_shared",
        ),
        (
            "error: assignment of read-only member ‘vm_flags’",
            (6, 3),
            "vm_area_struct.vm_flags",
            "vm_flags_set(vma, flags)",
        ),
        (
            'ERROR: modpost: "kallsyms_lookup_name" [/x/x.ko] undefined!',
            (5, 10),
            "kallsyms_lookup_name",
            "exported",
        ),
        (
            "x.c:3:3: error: ‘struct usb_driver’ has no member named ‘drvwrap’",
            (6, 8),
            "usb_driver.drvwrap",
            ".driver.shutdown",
        ),
        ("x.c:1:9: error: unknown type name ‘make_request_fn’", (6, 1), "make_request_fn", "submit_bio"),
        (
            "x.h:4:17: error: field ‘began’ has incomplete type\n    4 |  struct timeval began;",
            (6, 1),
            "timeval",
            "struct timespec64",
        ),
        (
            "x.c:9:17: error: storage size of ‘now’ isn’t known\n    9 |  struct timeval then, now;",
            (6, 1),
            "timeval",
            "ktime_t",
        ),
        ("x: Unknown symbol prandom_u32 (err -2)", (6, 1), "prandom_u32", "get_random_u32()"),
        (
            "error: initialization of ‘void (*)(struct platform_device *)’ from incompatible pointer type "
            "‘int (*)(struct platform_device *)’ [-Werror=incompatible-pointer-types]",
            (6, 11),
            "platform_driver.remove",
            "void remove(",
        ),
        (
            "error: incompatible function pointer types initializing 'int (*)(struct i2c_client *)' with an "
            "expression of type 'int (struct i2c_client *, const struct i2c_device_id *)'",
            (6, 6),
            "i2c_driver.probe",
            "int probe(struct i2c_client *client)",
        ),
    ],
)
def test_the_words_of_a_compiler(line: str, version: tuple[int, int], name: str, advice: str):
    (change,) = changes_for(line, version)
    told = change.advice(version)
    assert change.name == name
    assert told is not None and advice in told


def test_the_types_decide_where_the_version_is_another():
    """Red Hat's 5.14 has callbacks of later kernels."""
    line = (
        "error: initialization of ‘int (*)(struct i2c_client *)’ from incompatible pointer type "
        "‘int (*)(struct i2c_client *, const struct i2c_device_id *)’"
    )
    (change,) = changes_for(line, (5, 14))
    assert change.advice((5, 14)) == change.use
    (change,) = changes_for(line, ())
    assert change.advice(()) == change.use


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("x.c:1:2: error: implicit declaration of function 'from_timer'", (6, 12)),  # its header is missing
        ("x.c:1:2: error: implicit declaration of function 'class_create'", (6, 4)),  # likewise
        ("x.c:1:2: warning: unused variable 'del_timer'", (6, 15)),
        ("x.c:1:2: error: 'from_timer_x' undeclared", (6, 16)),
        ("from_timer", (6, 15)),
    ],
)
def test_what_is_no_change(line: str, version: tuple[int, int]):
    assert changes_for(line, version) == ()


def test_an_unknown_version_gives_both_ways():
    (change,) = changes_for("class_create", ())
    told = change.advice(()) or ""
    assert "class_create(name), without THIS_MODULE (since 6.4)" in told and "until then" in told
