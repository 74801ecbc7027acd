"""The prediction's stages are the kernel's, in its order; one file each."""

import ast
import importlib
import inspect
from dataclasses import replace
from pathlib import Path

import pytest

import kscaffold
from kscaffold.diagnosis import stages
from kscaffold.elf import kofile
from kscaffold.elf.module_name import ko_stem, module_name_of
from kscaffold.kernel.config import KernelConfig, parse_config, read_config
from kscaffold.kernel.facts import KernelFacts, read_facts
from kscaffold.load import prediction_cache
from kscaffold.module.predict import predict
from kscaffold.module.predict.finding import Finding
from kscaffold.module.predict.question import Question
from tests.support.elf import Ko, Symbol
from tests.support.worlds import World

PACKAGE = Path(kscaffold.__file__).parent
# Nobody can tell before how these end: they need the program, the memory, or what init does.
UNPREDICTABLE = {"syscall", "copy", "arguments", "live"}


@pytest.fixture
def kernel(tmp_path: Path) -> KernelFacts:
    return read_facts(World().kernel(tmp_path))


def test_the_table_has_the_kernels_stages_in_the_kernels_order():
    assert list(predict.STAGES) == [stage for stage in stages.ORDER if stage not in UNPREDICTABLE]


@pytest.mark.parametrize(("since_6_4", "first"), [(False, "layout"), (True, "list")])
def test_only_the_name_and_the_layout_change_places_with_6_4(kernel, since_6_4, first):
    order = list(predict.order(replace(kernel, since_6_4=since_6_4)))
    at = order.index(first)
    assert {order[at], order[at + 1]} == {"layout", "list"}
    assert [*order[:at], "layout", "list", *order[at + 2 :]] == list(predict.STAGES)


@pytest.mark.parametrize("stage", predict.STAGES)
def test_each_stage_has_a_file_that_answers_its_question(stage, kernel, tmp_path):
    module = importlib.import_module(f"kscaffold.module.predict.{stage}")
    assert predict.STAGES[stage] is module.findings
    parameters = list(inspect.signature(module.findings).parameters.values())
    assert [p.annotation for p in parameters] == [Question]
    assert inspect.signature(module.findings).return_annotation == list[Finding]
    ko = kofile.parse_ko(Ko().bytes(), tmp_path / "hello.ko")
    assert module.findings(Question(ko, kernel)) == []


def test_a_symbol_without_a_name_is_called_that(kernel, tmp_path):
    ko = kofile.parse_ko(Ko(more_symbols=[Symbol("")]).bytes(), tmp_path / "hello.ko")
    messages = [f.message for f in predict.predict(ko, kernel).findings]
    assert f"{kernel.release} does not export a symbol without a name" in messages


def test_all_code_that_predicts_is_part_of_what_a_prediction_is_remembered_by():
    """Else an old prediction would outlive the code that made it."""
    seen: set[str] = set()
    todo = ["kscaffold.module.predict.predict", "kscaffold.kernel.signature_check", "kscaffold.elf.kofile"]
    while todo:
        name = todo.pop()
        file = PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py")
        if name in seen or not file.is_file():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("kscaffold"):
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    files = {PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py") for name in seen}
    # These open, find and start things: they decide nothing about a module.
    ground = {"errors.py", "files/paths.py", "process.py", "progress.py", "timing.py", "packages", "files"}
    judging = {file for file in files if file.relative_to(PACKAGE).parts[0] not in ground}
    assert len(judging) > 20
    assert judging <= set(prediction_cache.code_files())


@pytest.mark.parametrize(
    ("text", "option", "has", "value"),
    [
        ("CONFIG_A=y\n", "A", True, "y"),
        ("# made\nCONFIG_A=m", "A", False, "m"),
        ('CONFIG_HASH="sha512"\n', "HASH", False, "sha512"),
        ('CONFIG_NONE=""\n', "NONE", False, ""),
        ("# CONFIG_A is not set\n", "A", False, None),
        ("CONFIG_AB=y\nXCONFIG_A=y\n", "A", False, None),
        ("", "A", None, None),
    ],
)
def test_an_option_of_a_configuration(text, option, has, value):
    assert (parse_config(text).has(option), parse_config(text).value(option)) == (has, value)


def test_a_build_tree_tells_its_configuration_in_either_file(tmp_path):
    assert read_config(tmp_path) == KernelConfig()
    made = tmp_path / "include/config/auto.conf"
    made.parent.mkdir(parents=True)
    made.write_text("CONFIG_MADE=y\n")
    assert read_config(tmp_path).has("MADE")
    (tmp_path / ".config").write_text("CONFIG_CHOSEN=y\n")
    assert (read_config(tmp_path).has("CHOSEN"), read_config(tmp_path).has("MADE")) == (True, False)
    (tmp_path / ".config").write_text("")
    assert read_config(tmp_path).has("MADE")


@pytest.mark.parametrize(
    ("file", "stem", "name"),
    [
        ("my-mod.ko", "my-mod", "my_mod"),
        ("my-mod.ko.xz", "my-mod", "my_mod"),
        ("hello.ko.bak", "hello", "hello"),
        ("a.kobold.ko", "a.kobold", "a.kobold"),
        ("a.kobold", "a.kobold", "a.kobold"),
        ("hello", "hello", "hello"),
        ("hello.o", "hello.o", "hello.o"),
    ],
)
def test_the_name_that_a_modules_file_gives_it(file, stem, name):
    assert ko_stem(file) == stem
    assert module_name_of(f"drivers/net/{file}") == module_name_of(file) == name
