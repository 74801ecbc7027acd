"""What is planned: which imports are renamed, with which flags objects are compiled."""

from pathlib import Path

from kscaffold.instrument import plan
from kscaffold.instrument.compile import compiler_of

HOOKS = {"ks_kfree", "ks__raw_spin_lock", "ks___fentry__", "ks___x86_indirect_thunk_rax", "ks_mutex_lock"}


def test_an_import_with_a_hook_is_renamed_and_no_other():
    imports = ("kfree", "_printk", "mutex_lock")
    assert plan.renames(imports, HOOKS, hears_unlocks=True) == {
        "kfree": "ks_kfree",
        "mutex_lock": "ks_mutex_lock",
    }


def test_what_is_patched_at_run_time_is_never_renamed():
    assert plan.renames(("__fentry__", "__x86_indirect_thunk_rax"), HOOKS, hears_unlocks=True) == {}


def test_spinlocks_are_left_alone_where_their_unlock_is_inlined():
    assert plan.renames(("_raw_spin_lock", "kfree"), HOOKS, hears_unlocks=False) == {"kfree": "ks_kfree"}
    assert plan.unlocks_are_calls({"_raw_spin_unlock"})
    assert not plan.unlocks_are_calls({"_raw_spin_unlock_irqrestore"})


def test_what_the_compiler_asks_for():
    assert plan.compilers_own(["__asan_load1_noabort", "kfree", "__hwasan_memset"]) == [
        "__asan_load1_noabort",
        "__hwasan_memset",
    ]


def test_the_flags_of_both_compilers():
    rest = (
        "-fsanitize=bounds,shift,integer-divide-by-zero,bool,enum,unreachable,alignment "
        "-fno-optimize-sibling-calls{} -ffile-prefix-map=/copy=/mine -include /h.h"
    )
    lines = " -fno-crossjumping -fno-tree-tail-merge"
    assert plan.compiler_flags("gcc", ["sanitize"], Path("/h.h"), Path("/copy"), Path("/mine")) == (
        "-fsanitize=kernel-address --param asan-instrumentation-with-call-threshold=0 --param asan-stack=0 "
        f"--param asan-globals=1 {rest.format(lines)}"
    )
    assert plan.compiler_flags("clang", ["sanitize"], Path("/h.h"), Path("/copy"), Path("/mine")) == (
        "-fsanitize=kernel-address -mllvm -asan-instrumentation-with-call-threshold=0 -mllvm -asan-stack=0 "
        f"-mllvm -asan-globals=1 {rest.format('')}"
    )


def test_a_helper_is_told_what_its_kernel_exports():
    assert (
        plan.needed_symbols(["kmalloc_trace", "__kmalloc"], {"__kmalloc", "kfree"})
        == "#define HAVE___kmalloc 1\n"
    )


def test_the_compiler_is_known_by_what_make_is_given():
    for variables, compiler in (
        ((), "gcc"),
        (("CC=gcc-12",), "gcc"),
        (("CC=x86_64-linux-gnu-gcc", "LLVM=0"), "gcc"),
        (("LLVM=1",), "clang"),
        (("CC=clang-14",), "clang"),
        (("CC=ccache /usr/bin/clang",), "clang"),
        (("LLVM=1", "CC=gcc"), "gcc"),
    ):
        assert compiler_of(variables) == compiler, variables
