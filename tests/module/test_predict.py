"""Will this kernel take it? One case a question of the loader, in its order."""

import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kscaffold.cli.documents import check as documents
from kscaffold.elf import kofile
from kscaffold.elf.model import KoFile
from kscaffold.kernel.facts import KernelFacts, read_facts
from kscaffold.kernel.symvers import Symvers, beside
from kscaffold.module.check import check_many, modules_in
from kscaffold.module.predict.finding import Prediction
from kscaffold.module.predict.predict import predict
from tests.conftest import ROOT
from tests.support.elf import ALLOC, EXEC, RELA, WRITE, Ko, Section, Symbol
from tests.support.worlds import RELEASE, World

PRINTK = {"_printk": 0x92997ED8}
CLEAN = (True, None, None)
DATA = ROOT / "tests/data"
LOOKS = DATA / "quoted-lines.toml"  # has the messages that such a kernel's image has


def read(ko: Ko) -> KoFile:
    return kofile.parse_ko(ko.bytes(), Path("hello.ko"))


@pytest.fixture
def facts(tmp_path: Path):
    """facts(World(...), loaded=...): what is known of that kernel."""
    made = []

    def make(world: World | None = None, **changes: object) -> KernelFacts:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(directory)
        return replace(read_facts((world or World()).kernel(directory)), **changes)

    return make


def answer(prediction: Prediction) -> tuple[bool | None, str | None, str | None]:
    return prediction.loads, prediction.stage, prediction.errno


def codes(prediction: Prediction) -> set[str]:
    return {finding.code for finding in prediction.findings}


def without(*options: str) -> World:
    world = World()
    world.config -= set(options)
    return world


def test_a_good_module_loads_without_a_word(facts):
    prediction = predict(read(Ko()), facts())
    assert answer(prediction) == CLEAN
    assert prediction.findings == ()


def test_what_is_known_of_a_kernel(facts):
    known = facts()
    assert known.vermagic == "6.1.0-test SMP preempt mod_unload modversions "
    assert known.struct_size == 896
    assert known.has("MODVERSIONS") and known.has("LIVEPATCH") is False
    assert known.builtin == {"8250_base"}
    # `kernel` is there on every kernel: the core parameters, as panic.
    assert known.in_sysfs == {"8250_base", "kernel"} and known.perhaps_in_sysfs == {"main"}


ELF_CASES = [
    # (module, what differs of the kernel, the answer, code)
    (Ko(machine=183), {}, (False, "elf", "ENOEXEC"), "KS407"),
    (Ko(struct_size=960), {}, CLEAN, "KS421"),
    (Ko(struct_size=960), {"since_6_4": True}, (False, "elf", "ENOEXEC"), "KS421"),
    (Ko(sections=[Section(".modinfo", b"a=b\0")]), {}, CLEAN, None),
    (Ko(sections=[Section(".modinfo", b"a=b\0")]), {"since_6_4": True}, (False, "elf", "ENOEXEC"), "KS442"),
]
VERSION_CASES = [
    (Ko(layout_crc=1), {}, (False, "version", "ENOEXEC"), "KS422"),
    (Ko(layout_crc=None), {}, (False, "version", "ENOEXEC"), "KS446"),
    (Ko(vermagic="6.1.0-other SMP preempt mod_unload modversions "), {}, CLEAN, None),
    (
        Ko(vermagic="6.1.0-test SMP preemptX mod_unload modversions "),
        {},
        (False, "version", "ENOEXEC"),
        "KS423",
    ),
    (Ko(vermagic=""), {}, (False, "version", "ENOEXEC"), "KS423"),
    (Ko(vermagic=None), {}, CLEAN, "KS424"),
    (Ko(versions=False), {}, CLEAN, "KS424"),
    # Without versions the release counts again.
    (
        Ko(versions=False, vermagic="6.1.0-other SMP preempt mod_unload modversions "),
        {},
        (False, "version", "ENOEXEC"),
        "KS423",
    ),
    (Ko(info=[("livepatch", "Y")]), {}, (False, "version", "ENOEXEC"), "KS444"),
    (Ko(), {"cmdline": "quiet module_blacklist=a,hello"}, (False, "version", "EPERM"), "KS443"),
    # The last one of a name counts, and only whole names, with '_', up to `--`.
    (Ko(), {"cmdline": "module_blacklist=hello module_blacklist=b"}, CLEAN, None),
    (Ko(), {"cmdline": 'module-blacklist="a,hello"'}, (False, "version", "EPERM"), "KS443"),
    (Ko(), {"cmdline": "quiet -- module_blacklist=hello"}, CLEAN, None),
    (Ko("my_mod"), {"cmdline": "module_blacklist=my-mod,my_mo"}, CLEAN, None),
    (Ko(), {"cmdline": "initcall_blacklist=a,hello_init"}, (False, "init", "EPERM"), "KS443"),
    (
        Ko(),
        {"cmdline": "initcall_blacklist=hello_init initcall_blacklist="},
        (False, "init", "EPERM"),
        "KS443",
    ),
    (Ko(), {"cmdline": "initcall_blacklist=init_module,hello"}, CLEAN, None),
    (Ko(init=None), {"cmdline": "initcall_blacklist=hello_init"}, CLEAN, None),
    (Ko(), {"cmdline": "nomodule"}, (False, "permission", "EPERM"), "KS443"),
    (Ko(), {"cmdline": "sysctl.kernel.modules_disabled=1"}, (False, "permission", "EPERM"), "KS443"),
    (Ko(), {"cmdline": "sysctl.kernel.modules_disabled=0"}, CLEAN, None),
    (Ko(), {"cmdline": "module.sig_enforce=1"}, (False, "signature", "EKEYREJECTED"), "KS441"),
    (Ko(), {"cmdline": "module.sig_enforce"}, (False, "signature", "EKEYREJECTED"), "KS441"),
    (Ko(), {"cmdline": "module.sig_enforce=0"}, CLEAN, None),
    (Ko(), {"cmdline": "lockdown=integrity"}, (False, "signature", "EPERM"), "KS441"),
]
SYMBOL_CASES = [
    (Ko(imports={**PRINTK, "nosuch": None}), {}, (False, "symbols", "ENOENT"), "KS425"),
    (Ko(weak=["nosuch"]), {}, CLEAN, None),
    (Ko(imports={"_printk": 7}), {}, (False, "symbols", "EINVAL"), "KS427"),
    (Ko(imports={"_printk": None}), {}, (False, "symbols", "EINVAL"), "KS446"),
    (Ko(weak=["_printk"], imports={}), {}, (False, "symbols", "EINVAL"), "KS446"),
    # Whether a kernel looks for that, its image tells; one that does not reads where nothing is.
    (Ko(more_symbols=[Symbol("far", 0xFF00)]), {}, (None, None, None), "KS406"),
    (Ko(more_symbols=[Symbol("far", 0xFF00)]), {"image": LOOKS}, (False, "symbols", "ENOEXEC"), "KS406"),
    (
        Ko(more_symbols=[Symbol("far", 0xFF00)]),
        {"image": DATA / "healthy-5.10.txt"},
        (None, None, None),
        "KS406",
    ),
    (Ko(more_symbols=[Symbol("absolute", 0xFFF1)]), {}, CLEAN, None),
    (Ko(imports={"debugfs_create_dir": 0x11}), {}, CLEAN, None),
    (
        Ko(imports={"debugfs_create_dir": 0x11}, license="XXX"),
        {},
        (False, "symbols", "ENOENT"),
        "KS428",
    ),
    (Ko(license="Proprietary"), {}, CLEAN, None),
    (Ko(license="XXX", weak=["debugfs_create_dir"]), {}, CLEAN, None),
    (Ko(imports={"dma_buf_get": 0x22}), {}, (False, "symbols", "EINVAL"), "KS429"),
    (Ko(imports={"dma_buf_get": 0x22}, info=[("import_ns", "DMA_BUF")]), {}, CLEAN, None),
    # What MODULE_IMPORT_NS("DMA_BUF") leaves before 6.13.
    (
        Ko(imports={"dma_buf_get": 0x22}, info=[("import_ns", '"DMA_BUF"')]),
        {},
        (False, "symbols", "EINVAL"),
        "KS429",
    ),
    # EXPORT_SYMBOL_FOR_MODULES() of 6.16 and later: for the modules it names.
    (Ko(imports={"kept": 0x44}), {}, (False, "symbols", "EINVAL"), "KS429"),
    (Ko("kvm", imports={"kept": 0x44}), {}, CLEAN, None),
    (Ko("kvm_amd", imports={"kept": 0x44}), {}, CLEAN, None),
    (Ko("vfio_pci", imports={"kept": 0x44}), {}, CLEAN, None),
    (Ko("kvm_am", imports={"kept": 0x44}), {}, (False, "symbols", "EINVAL"), "KS429"),
    (Ko(info=[("import_ns", "module:kvm")]), {}, (False, "layout", "EPERM"), "KS459"),
    (Ko(imports={"crc32c_other": 0x33}), {}, CLEAN, "KS426"),
    (Ko(imports={"crc32c_other": 0x33}), {"loaded": frozenset()}, (False, "symbols", "ENOENT"), "KS426"),
    (Ko(imports={"crc32c_other": 0x33}), {"loaded": frozenset({"lib_crc"})}, CLEAN, None),
    (Ko(more_symbols=[Symbol("shared", 0xFFF2)]), {}, (False, "symbols", "ENOEXEC"), "KS437"),
    # The last symbol of the table that fails decides.
    (Ko(imports={"nosuch": None, "_printk": 7}), {}, (False, "symbols", "EINVAL"), "KS425"),
    (Ko(imports={"_printk": 7, "nosuch": None}), {}, (False, "symbols", "ENOENT"), "KS427"),
]
OTHER_CASES = [
    (
        Ko(sections=[Section(".wx", b"x", flags=ALLOC | WRITE | EXEC)]),
        {},
        (False, "layout", "ENOEXEC"),
        "KS430",
    ),
    (
        Ko(sections=[Section(".ctors", b"x"), Section(".init_array", b"x")]),
        {},
        (False, "layout", "EINVAL"),
        "KS439",
    ),
    (Ko(exports={"x": ""}, export_crcs=False), {}, CLEAN, "KS438"),
    (Ko(), {"loaded": frozenset({"hello"})}, (False, "list", "EEXIST"), "KS435"),
    (Ko(exports={"_printk": ""}, imports={}), {}, (False, "formation", "ENOEXEC"), "KS431"),
    (Ko(exports={"crc32c_other": ""}), {}, CLEAN, "KS431"),
    (
        Ko(exports={"crc32c_other": ""}),
        {"loaded": frozenset({"lib_crc"})},
        (False, "formation", "ENOEXEC"),
        "KS431",
    ),
    (Ko("lib_crc", exports={"crc32c_other": ""}), {}, CLEAN, None),
    (Ko(relocation=9), {}, (False, "relocate", "ENOEXEC"), "KS432"),
    (Ko("8250_base"), {}, (False, "sysfs", "EINVAL"), "KS436"),
    (Ko("main"), {}, (None, None, None), "KS436"),
    (Ko("vt"), {}, CLEAN, None),
]


@pytest.mark.parametrize(
    ("ko", "changes", "expected", "code"), ELF_CASES + VERSION_CASES + SYMBOL_CASES + OTHER_CASES
)
def test_predictions(facts, ko: Ko, changes: dict, expected: tuple, code: str | None):
    prediction = predict(read(ko), facts(**changes))
    assert answer(prediction) == expected
    assert codes(prediction) >= {code} if code else not codes(prediction)


@pytest.mark.parametrize(
    ("ko", "options", "expected"),
    [
        (Ko(vermagic=None), ["MODULE_FORCE_LOAD"], (False, "version", "ENOEXEC")),
        (Ko(versions=False), ["MODULE_FORCE_LOAD"], (False, "version", "ENOEXEC")),
        (Ko(exports={"x": ""}, export_crcs=False), ["MODULE_FORCE_LOAD"], (False, "layout", "ENOEXEC")),
        (Ko(sections=[Section(".wx", b"x", flags=ALLOC | WRITE | EXEC)]), ["STRICT_MODULE_RWX"], CLEAN),
        (Ko(imports={"_printk": 7}, layout_crc=8), ["MODVERSIONS"], CLEAN),
        # Without MODVERSIONS the release counts, __versions or not.
        (
            Ko(vermagic="6.1.0-other SMP preempt mod_unload modversions "),
            ["MODVERSIONS"],
            (False, "version", "ENOEXEC"),
        ),
    ],
)
def test_what_the_configuration_decides(facts, ko: Ko, options: list[str], expected: tuple):
    assert answer(predict(read(ko), facts(without(*options)))) == expected


def test_what_is_not_known_is_unknown(facts):
    world = World(symbols=None)
    assert answer(predict(read(Ko()), facts(world))) == (None, None, None)
    # A refusal that needs no Module.symvers is one all the same.
    bad = Ko(vermagic="6.1.0 SMP mod_unload modversions ")
    assert answer(predict(read(bad), facts(world))) == (False, "version", "ENOEXEC")


def test_the_vermagic_of_a_tree_without_modules(facts, tmp_path: Path):
    known = facts(World(reference=None))
    assert known.vermagic is None  # nothing says its release
    kernel_ = World(reference=None).kernel(tmp_path / "tree")
    assert kernel_.build
    (kernel_.build / "include/generated").mkdir()
    (kernel_.build / "include/generated/utsrelease.h").write_text(f'#define UTS_RELEASE "{RELEASE}"\n')
    assert read_facts(kernel_).vermagic == "6.1.0-test SMP preempt mod_unload modversions "


def test_the_first_question_decides_and_all_are_told(facts):
    ko = Ko(vermagic="x SMP ", imports={"nosuch": None}, exports={"_printk": ""})
    prediction = predict(read(ko), facts())
    assert answer(prediction) == (False, "version", "ENOEXEC")
    assert codes(prediction) == {"KS423", "KS425", "KS431"}


def test_64_looks_for_the_name_before_it_looks_at_sections(facts):
    ko = read(Ko(sections=[Section(".wx", b"x", flags=ALLOC | WRITE | EXEC)]))
    loaded = frozenset({"hello"})
    assert predict(ko, facts(loaded=loaded)).stage == "layout"
    assert predict(ko, facts(loaded=loaded, since_6_4=True)).stage == "list"


def test_a_name_outside_the_names_is_anyones_guess(facts):
    content = bytearray(Ko().bytes())
    table = next(
        s for s in kofile.parse_ko(bytes(content), Path("hello.ko")).sections if s.type == "SHT_SYMTAB"
    )
    content[table.offset + 5 * 24 + 2] = 0xFF  # st_name of the last symbol, the import
    prediction = predict(kofile.parse_ko(bytes(content), Path("hello.ko")), facts())
    assert codes(prediction) >= {"KS406"}


def test_relocations_that_are_never_applied_do_not_count(facts):
    debug = Section(".debug_info", b"\0" * 8, flags=0)
    number = 1 + len(Ko()._content())  # where the generator puts the first section of ours
    ko = Ko(sections=[debug, Section(".rela.debug_info", struct.pack("<QQq", 0, 42, 0), RELA, 0, 0, number)])
    assert answer(predict(read(ko), facts())) == CLEAN


@pytest.mark.parametrize(
    ("arguments", "expected", "code"),
    [
        (["n=1"], CLEAN, None),
        (["n=abc"], (False, "parameters", "EINVAL"), "KS433"),
        (["n=99999999999"], (False, "parameters", "ERANGE"), "KS433"),
        (["n"], (False, "parameters", "EINVAL"), "KS433"),
        (["zzz=1"], CLEAN, "KS434"),
        (["my-name=1"], CLEAN, None),
        (['s="a b"'], CLEAN, None),
        (["dyndbg=+p"], CLEAN, None),
        (["n=abc", "n=99999999999"], (False, "parameters", "ERANGE"), "KS433"),
        (["n=99999999999", "n=abc"], (False, "parameters", "EINVAL"), "KS433"),
        (["--", "n=abc"], CLEAN, None),
        (["cb=1"], (None, None, None), "KS433"),
        (["l=1,2,3"], (False, "parameters", "EINVAL"), "KS433"),
    ],
)
def test_arguments(facts, arguments: list[str], expected: tuple, code: str | None):
    parameters = {"n": "int", "my_name": "int", "s": "charp", "cb": None, "l": "array of int"}
    prediction = predict(read(Ko(parameters=parameters, limits={"l": 2})), facts(), arguments)
    assert answer(prediction) == expected
    assert codes(prediction) == ({code} if code else set())


def test_symbols_of_the_same_project(facts, tmp_path: Path):
    (tmp_path / "Module.symvers").write_text("0x00000044\tshared\t/home/me/p/a-b\tEXPORT_SYMBOL_GPL\t\n")
    (tmp_path / "sub").mkdir()
    project = beside(tmp_path / "sub" / "hello.ko")
    ko = read(Ko(imports={"shared": 0x44}))
    assert project is not None
    prediction = predict(ko, facts(), (), project)
    assert answer(prediction) == CLEAN
    assert [f.message for f in prediction.findings] == ["it needs a_b loaded before it"]
    assert predict(ko, facts(loaded=frozenset()), (), project).errno == "ENOENT"
    assert predict(ko, facts()).errno == "ENOENT"


def test_a_circle_of_two_modules(facts, tmp_path: Path):
    (tmp_path / "Module.symvers").write_text("0x44\tshared\t/p/other\tEXPORT_SYMBOL\t\n")
    hello = tmp_path / "hello.ko"
    hello.write_bytes(Ko(imports={"shared": 0x44}, depends="other").bytes())
    ko, project = kofile.read_ko(hello), beside(hello)
    for depends, expected in (("", CLEAN), ("hello", (False, "symbols", "ENOENT"))):
        (tmp_path / "other.ko").write_bytes(Ko("other", depends=depends).bytes())
        assert answer(predict(ko, facts(), (), project)) == expected
    assert "KS462" in codes(predict(ko, facts(), (), project))
    # One that is loaded is no obstacle, however it came there.
    there = facts(loaded=frozenset({"other"}))
    assert answer(predict(ko, there, (), project)) == CLEAN


def test_a_module_of_the_project_s_comes_in_the_place_of_the_kernel_s_of_that_name(facts):
    exports = "0x{crc}\tshared\t{place}/core-a\tEXPORT_SYMBOL\t\n"
    theirs, ours = exports.format(crc=1, place="drivers/media"), exports.format(crc=2, place="core-a")
    kernel = facts(loaded=frozenset({"core_a"}))
    kernel = replace(kernel, exports=Symvers(theirs).followed_by([kernel.exports]))
    ko = read(Ko(imports={"shared": 2}, depends="core-a"))
    assert answer(predict(ko, kernel, (), Symvers(ours))) == CLEAN
    assert answer(predict(ko, kernel, (), Symvers(ours.replace("core-a", "b")))) == (
        False,
        "symbols",
        "EINVAL",
    )
    assert answer(predict(ko, kernel)) == (False, "symbols", "EINVAL")


def test_symvers_of_the_years():
    lines = [
        "0x1\ta\tvmlinux\tEXPORT_SYMBOL",
        "0x2\tb\tns\tvmlinux\tEXPORT_SYMBOL_GPL",
        "x\tc\tvmlinux\tEXPORT_SYMBOL\t",
    ]
    symvers = Symvers("\n".join(lines))
    a, b = symvers.find_export("a"), symvers.find_export("b")
    assert a and (a.crc, a.module, a.gpl, a.namespace) == (1, None, False, "")
    assert b and (b.crc, b.module, b.gpl, b.namespace) == (2, None, True, "ns")
    assert symvers.find_export("c") is None and symvers.find_export("d") is None


@pytest.mark.kernel
@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_no_false_finding_on_the_kernels_own_modules(kernel, series: str):
    """Every module that came with a kernel loads into it, and there is nothing to warn of."""
    own = kernel(series)
    paths = modules_in([own.modules / "kernel"])
    assert len(paths) > 500
    checked = list(check_many(paths, own, documents.check))
    assert Counter(d["prediction"]["loads"] for d in checked) == {True: len(paths)}
    told = [(d["path"], f) for d in checked for f in d["findings"] if f["code"] != "KS426"]
    assert told == []


@pytest.mark.kernel
def test_another_kernels_modules_are_refused_by_another(kernel):
    old, new = kernel("5.10"), kernel("6.1")
    path = next(p for p in modules_in([old.modules / "kernel"]) if p.name.startswith("dummy.ko"))
    (document,) = check_many([path], new, documents.check)
    assert document["prediction"] == {"loads": False, "stage": "version", "errno": "ENOEXEC"}


@pytest.mark.kernel
def test_a_changed_module_of_the_kernels_own(kernel, tmp_path: Path):
    own = kernel("6.1")
    path = next(p for p in modules_in([own.modules / "kernel"]) if p.name.startswith("dummy.ko"))
    content = bytearray(path.read_bytes())
    if not kofile.read_ko(path).signed:
        pytest.skip("this kernel's modules are not signed; mend it with: kscaffold kernel add 6.1")
    copy = tmp_path / path.name
    copy.write_bytes(content)
    assert next(check_many([copy], own, documents.check))["prediction"]["loads"] is True
    content[300] ^= 1
    copy.write_bytes(content)
    assert next(check_many([copy], own, documents.check))["prediction"] == {
        "loads": False,
        "stage": "signature",
        "errno": "EKEYREJECTED",
    }


def test_a_namespace_in_quotes_is_told_apart_from_none(facts):
    imports = {"dma_buf_get": 0x22}
    told = {
        value: finding
        for value, info in (("none", []), ("quoted", [("import_ns", '"DMA_BUF"')]))
        for finding in predict(read(Ko(imports=imports, info=info)), facts()).findings
        if finding.code == "KS429"
    }
    assert "quotes in it" in told["quoted"].message and "without the quotes" in told["quoted"].fix
    assert "does not import" in told["none"].message and "in quotes from 6.13 on" in told["none"].fix


def test_a_symbol_is_found_whether_it_is_searched_or_looked_up():
    lines = [
        "0x1\tvmlinux_end\tvmlinux\tEXPORT_SYMBOL\t",
        "0x2\tvmlinux\tdrivers/a\tEXPORT_SYMBOL\tEXPORTED",
        "0x3\ttwice\tdrivers/a\tEXPORT_SYMBOL\t",
        "0x4\ttwice\tdrivers/b\tEXPORT_SYMBOL_GPL\t",
        "no columns",
    ]
    other = Symvers("0x9\ttwice\tc\tEXPORT_SYMBOL\t\n0x8\tcee\tc\tEXPORT_SYMBOL\t\n")
    asked = ["vmlinux", "vmlinux_end", "twice", "cee", "drivers/a", "EXPORTED", "", "a\nb", "no columns"]
    searched = Symvers("\n".join(lines)).followed_by([other])
    first = [(searched.find_export(symbol), searched.all_of(symbol)) for symbol in asked]
    for _ in range(40):
        searched.find_export("twice")
    assert [(searched.find_export(symbol), searched.all_of(symbol)) for symbol in asked] == first
    crcs = {symbol: [e.crc for e in found] for symbol, (_, found) in zip(asked, first, strict=True) if found}
    assert crcs == {"vmlinux": [2], "vmlinux_end": [1], "twice": [3, 4], "cee": [8]}
    assert searched.find_export("twice") == searched.all_of("twice")[-1]
