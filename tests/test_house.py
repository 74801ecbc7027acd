"""The plan of the house, read from the source: who may import whom, and how long things are."""

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from kscaffold.cli import verbs
from kscaffold.targets.absent import AbsentSandbox
from kscaffold.targets.host import HostTarget
from kscaffold.targets.sandbox import SandboxTarget
from kscaffold.targets.target import Target
from tests.conftest import ROOT

PACKAGE = ROOT / "kscaffold"

# From the top down. A room imports from rooms below its own line, and from its own room; rooms of one line
# may use each other where no circle comes of it.
FLOORS = (
    ("cli", "console", "bars", "message_colours", "fold", "__main__"),
    ("api",),
    ("explain", "testing"),
    ("scaffold", "load", "instrument", "package", "signing", "doctor", "cache"),
    ("make", "program", "targets"),
    ("sandbox",),
    ("module",),
    ("project",),
    ("kernel",),
    ("pkcs7", "elf", "packages"),
    ("diagnosis", "files"),
    ("process",),
    ("errors", "progress", "timing", "timeouts", "arch"),
    ("records", "lazy", "termination"),
)
# These have one door, by name; cookiecutter a second one for templates of others, in a process of its own.
DOORS = {
    "subprocess": {"process.py"},
    "elftools": {"elf/kofile.py"},
    "rich": {"bars.py"},
    "cookiecutter": {"scaffold/create/render.py", "scaffold/external/worker.py"},
}
NOWHERE = ("click", "asyncio")

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 7


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def imports(file: Path, *, types_too: bool = False) -> Iterator[tuple[ast.stmt, str]]:
    """Each import of a file with the full name of what is imported. Those for annotations only are no use."""
    skipped: set[int] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and not types_too:
            skipped |= {id(n) for n in ast.walk(node)}
    for node in ast.walk(tree(file)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"


def rooms_used(file: Path) -> dict[str, int]:
    """The rooms of the house a file imports from, with the line."""
    used = {}
    for node, full in imports(file):
        parts = full.split(".")
        if parts[0] == "kscaffold" and parts[1:] not in ([], ["__version__"]):
            used[parts[1]] = node.lineno
    return used


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_file_has_a_room():
    rooms = {room for line in FLOORS for room in line}
    assert {room_of(f) for f in files()} - {"__init__"} <= rooms


def test_imports_point_down():
    wrong = []
    for file in files():
        own = room_of(file)
        if own == "__init__":
            continue
        for room, line in rooms_used(file).items():
            if room != own and floor(room) < floor(own):
                wrong.append(f"{name(file)}:{line} ({own}) imports from {room}, which is above it")
    assert not wrong, "\n".join(wrong)


def test_no_circles():
    """Between files: also those that an import inside a function hides."""
    graph: dict[str, set[str]] = {}
    modules = {}
    for file in files():
        parts = file.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    for module, file in modules.items():
        graph[module] = set()
        for _, full in imports(file):
            for candidate in (full, full.rpartition(".")[0]):
                if candidate in modules and candidate != module:
                    graph[module].add(candidate)
                    break
    done: set[str] = set()

    def walk(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above[above.index(module) :], module))
        if module in done:
            return
        for needed in sorted(graph[module]):
            walk(needed, (*above, module))
        done.add(module)

    for module in graph:
        walk(module, ())


def folder_of(module: str, modules: dict[str, Path]) -> str:
    return str(modules[module].parent.relative_to(PACKAGE))


def test_no_circles_of_folders():
    """No folder is in a circle with another, nor with a folder inside it. Files at the top are no folder."""
    modules = {}
    for file in files():
        parts = file.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    arrows: dict[str, dict[str, str]] = {}
    for file in files():
        here = str(file.parent.relative_to(PACKAGE))
        for node, full in imports(file):
            needed = next((m for m in (full, full.rpartition(".")[0]) if m in modules), None)
            there = folder_of(needed, modules) if needed else here
            if "." not in (here, there) and here != there:
                arrows.setdefault(here, {}).setdefault(there, f"{name(file)}:{node.lineno}")
    done: set[str] = set()

    def walk(folder: str, above: tuple[str, ...]) -> None:
        if folder in above:
            circle = (*above[above.index(folder) :], folder)
            steps = [f"{a} -> {b} ({arrows[a][b]})" for a, b in pairwise(circle)]
            raise AssertionError(", ".join(steps))
        if folder not in done:
            for needed in sorted(arrows.get(folder, ())):
                walk(needed, (*above, folder))
            done.add(folder)

    for folder in arrows:
        walk(folder, ())


def test_no_folder_is_called_as_build_output_is():
    """Ignore-files and tools for structure pass over such folders, and all that is in them."""
    output = {
        "build",
        "target",
        "dist",
        "out",
        "bin",
        "obj",
        "lib",
        "tmp",
        "env",
        "venv",
        "vendor",
        "node_modules",
    }
    named = {part for file in files() for part in file.relative_to(ROOT).parent.parts}
    assert not named & output


def test_each_verb_has_a_file_and_knows_no_other_verb():
    """A command that needs what another one has calls the same function below both."""
    commands = PACKAGE / "cli/commands"
    there = {f.stem for f in commands.glob("*.py")} - {"__init__"}
    assert there == {*verbs.COMMANDS, *verbs.GROUPS}
    for verb, place in verbs.COMMANDS.items():
        assert place.partition(":")[0] == verb
    for file in files():
        used = [full for _, full in imports(file, types_too=True) if ".cli.commands" in full]
        assert not used, (name(file), used)


def test_no_import_hides_in_a_function():
    """An import in a function costs a reason, written on its line or above the block it stands in."""
    wrong = []
    for file in files():
        lines = file.read_text().splitlines()
        for function in functions(file):
            body = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
            for node in body:
                first = node.lineno
                # A block of imports has one comment.
                while lines[first - 2].strip().startswith(("import ", "from ", ")")) or not lines[first - 2]:
                    first -= 1
                if not any("#" in line for line in lines[first - 2 : node.end_lineno]):
                    wrong.append(f"{name(file)}:{node.lineno} {lines[node.lineno - 1].strip()}")
    assert not wrong, "\n".join(wrong)


def test_records_are_ours():
    """dataclasses takes half a millisecond for each class; records.py has the same words."""
    ours = {"dataclass", "field", "replace"}
    wrong = {name(f) for f in files() for _, full in imports(f) if full in {f"dataclasses.{w}" for w in ours}}
    assert not wrong - {"records.py"}


@pytest.mark.parametrize(("library", "door"), DOORS.items())
def test_a_library_has_one_door(library: str, door: set[str]):
    users = {name(f) for f in files() for _, full in imports(f) if full.split(".")[0] == library}
    assert users == door


# What reads files without files/reader.py: our own data and records, /proc and /sys, and what is looked at in
# a process of its own. Everything else is somebody else's, and may be a FIFO.
READS_ITSELF = {
    "console.py",
    "process.py",
    "cli/commands/explain.py",
    "diagnosis/catalogue.py",
    "elf/module_file.py",
    "elf/quick.py",
    "explain/html.py",
    "explain/kernel_symbols.py",
    "explain/subjects.py",
    "load/live_crash.py",
    "make/compile_commands.py",
    "make/api_changes.py",
    "make/kernel_api.py",
    "make/lock.py",
    "make/stand_in.py",
    "packages/busybox.py",
    "scaffold/create/render.py",
    "scaffold/kbuild/names.py",
    "targets/host.py",
    "testing/html.py",
}
READS_ITSELF_BELOW = ("files/", "kernel/", "sandbox/", "scaffold/external/")


def test_files_of_others_are_read_through_one_door():
    """Nobody else uses Path's own methods; a module's file that was opened has one of the same name."""
    wrong = []
    for file in files():
        if name(file) in READS_ITSELF or name(file).startswith(READS_ITSELF_BELOW):
            continue
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Attribute) and node.attr in ("read_text", "read_bytes"):
                reader = ast.unparse(node.value)
                if reader not in ("reader", "ko"):
                    wrong.append(f"{name(file)}:{node.lineno} {reader}.{node.attr}")
    assert not wrong, "\n".join(wrong)


def test_what_is_imported_nowhere():
    for file in files():
        for _, full in imports(file, types_too=True):
            assert full.split(".")[0] not in NOWHERE, name(file)


def test_rooms_below_the_commands_never_print():
    for file in files():
        if room_of(file) in FLOORS[0]:
            continue
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{name(file)}:{node.lineno}"


def test_a_target_is_asked_and_never_told_apart_by_its_class():
    """What sandbox and host do not share is a method of both: a third kind of target needs no other file."""
    wrong = []
    for file in files():
        for node in ast.walk(tree(file)):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
            if called in ("isinstance", "issubclass", "type") and re.search(
                r"\w*Target\b", ast.unparse(node)
            ):
                wrong.append(f"{name(file)}:{node.lineno} {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_both_targets_have_the_whole_protocol():
    wanted = {n for n in vars(Target) if not n.startswith("_")}
    assert wanted == {
        "add_firmware",
        "as_ordinary_user",
        "facts",
        "load",
        "log",
        "memory",
        "modules",
        "photograph",
        "pointers",
        "read",
        "tainted",
        "timers",
        "unload",
        "watch",
    }
    for kind in (SandboxTarget, HostTarget, AbsentSandbox):
        for method in wanted:
            ours, theirs = (inspect.signature(getattr(c, method)) for c in (Target, kind))
            assert list(ours.parameters) == list(theirs.parameters), (kind, method)


def test_sizes():
    wrong = []
    for file in files():
        lines = len(file.read_text().splitlines())
        if lines > LONGEST_FILE:
            wrong.append(f"{name(file)} has {lines} lines")
        for function in functions(file):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > LONGEST_FUNCTION:
                wrong.append(f"{name(file)}:{function.lineno} {function.name} has {length} lines")
            a = function.args
            parameters = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
            count = len([p for p in parameters if p not in ("self", "cls")])
            if count > MOST_PARAMETERS and room_of(file) != "cli":  # a command has its options
                wrong.append(f"{name(file)}:{function.lineno} {function.name} takes {count} parameters")
    assert not wrong, "\n".join(wrong)


# What a script imports by the room's own name: names, where they are, and the look-up of one.
DOORWAY = PACKAGE / "api/__init__.py"


def test_the_doorway_does_no_more_than_look_a_name_up():
    functions_there = [function.name for function in functions(DOORWAY)]
    assert functions_there == ["__getattr__"]
    assert not any(isinstance(node, ast.ClassDef | ast.For) for node in ast.walk(tree(DOORWAY)))


def test_no_room_for_odds_and_ends():
    for file in files():
        assert file.stem not in ("utils", "util", "helpers", "helper", "common", "misc", "manager")
        if file.name == "__init__.py" and file != DOORWAY:
            logic = (ast.FunctionDef, ast.ClassDef, ast.If, ast.For, ast.Import, ast.ImportFrom)
            assert not any(isinstance(node, logic) for node in ast.walk(tree(file))), name(file)


def modules_of(*words: str | Path, cwd: Path) -> tuple[int, set[str]]:
    """Run a command in a process of its own; its status and all that it imported."""
    probe = (
        "import sys, kscaffold.cli.app as app\n"
        "status = app.main(sys.argv[1:])\n"
        "print(*sys.modules, file=open('modules.txt', 'w'))\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    loaded = (cwd / "modules.txt").read_text().split()
    return done.returncode, {m.split(".")[0] for m in loaded} | set(loaded)


def test_the_version_costs_nothing(tmp_path: Path):
    status, loaded = modules_of("--version", cwd=tmp_path)
    assert status == 0
    assert not loaded & {"rich", "jinja2", "cookiecutter", "elftools", "asyncio", "pydantic", "typer"}


@pytest.mark.sandbox
def test_a_good_load_imports_no_more_than_it_needs(ks, tmp_path: Path):
    from tests.support.kernels import need_kernel
    from tests.support.projects import HELLO, write

    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    assert ks("build", "-C", tmp_path).status == 0
    for verb in ("load", "run"):
        status, loaded = modules_of(verb, cwd=tmp_path)
        assert status == 0
        # elftools may be: the .ko is read for a prediction while the guest starts.
        too_much = {"rich", "jinja2", "cookiecutter", "asyncio", "pydantic", "tomllib", "pytest"}
        assert sorted(loaded & too_much) == [], verb


# What is of one machine: its names, its numbers in ELF, its devices in QEMU.
OF_ONE_MACHINE = re.compile(
    r"x86_64|aarch64|\bEM_[A-Z0-9]|R_X86_64|R_AARCH64|ttyS\d|ttyAMA|microvm|virtio-serial-|virtio_mmio"
    r"|\bqemu-system-|\btsc_early_khz|\be_machine *[!=]= *\d"
)
# Where one of these words is no fact about a machine.
MACHINE_WORDS_ALLOWED = {
    ("kernel/compiler.py", "x86_64"): "the example of a compiler's name with a prefix",
}


def test_what_is_of_one_machine_is_in_arch():
    wrong = []
    for file in files():
        if room_of(file) == "arch":
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            for word in OF_ONE_MACHINE.findall(line):
                if (name(file), word) not in MACHINE_WORDS_ALLOWED:
                    wrong.append(f"{name(file)}:{number} {word}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_each_word_of_one_machine_that_is_allowed_is_there():
    for file, word in MACHINE_WORDS_ALLOWED:
        assert word in (PACKAGE / file).read_text(), (file, word)


# Each of these names said in a way of its own what another name says already, or said nothing to a stranger.
# Now the word is one of the kernel's documentation, kmod, Kbuild, QEMU, git or pytest: it stands behind.
GONE = {
    "told": "summary, or what it holds",
    "retold": "with_source_line",
    "talk": "prompts",
    "Tell": "RunListener",
    "Hear": "LoadListener",
    "hear": "on_load",
    "tell": "on_report",
    "habits": "deprecations",
    "Outlook": "Predictor",
    "outlook": "predictor",
    "remains": "dangling",
    "surprise": "prediction_mismatch",
    "forecast": "prediction",
    "Wish": "LoadRequest",
    "Remains": "DanglingCallbacks",
    "Restoring": "PendingRestore",
    "head_start": "begin_restore",
    "Card": "SandboxInfo",
    "Talk": "Prompts",
    "Renewal": "RerenderReport",
    "renewal": "outcome",
    "Clever": "UneditableError",
    "Odd": "NotAFile",
    "Linked": "ModuleSpec",
    "Story": "LoadWalkthrough",
    "story": "walkthrough",
    "stories": "walkthroughs",
    "Scene": "StageContext",
    "scene": "context",
    "Setting": "ParameterValue",
    "Told": "MatchedEntry",
    "Homes": "RelocationMap",
    "Walk": "TimelineBuilder",
    "holder": "enclosing_stage",
    "spoken": "matching_lines",
    "crashed_between": "blame_late_crash",
    "left_running": "watch_after_unload",
    "condemn": "mark_kvm_broken",
    "lacking": "missing",
    "starved": "cpu_wait_seconds",
    "lives": "is_running",
    "being_made": "scratch_dir",
    "keep_in_bounds": "evict",
    "of_os": "a verb",
    "of_living": "a verb",
    "of_damaged": "predict_damaged",
    "of_user": "a verb",
    "silent": "errno_causes",
    "refusals": "log_causes",
    "trusting": "trusted_image",
    "certlist": "builtin_certs",
    "codec": "decompress",
    "early": "before_symbols",
    "pasted": "unwrap",
    "settle": "validate",
    "survey": "inspect",
    "engine": "worker",
    "pace": "timing",
    "workplace": "scratch",
    "limits": "timeouts",
    "threeway": "plan",
    "keeper": "daemon",
}
# Words that are right for a value and said nothing as a file's name, or a class's.
GONE_FROM_FILES = {
    *("again", "ahead", "later", "series", "needs", "memory", "remains", "jobs", "page", "show", "session"),
    *("late", "words", "kept", "moved", "place", "taken", "habits", "chosen", "origin", "prepared"),
    *("many", "content_of", "damage", "linking", "signed", "values", "enforcement", "interface", "database"),
}


# Words that are gone from every text of the project, comments and documents too.
GONE_FROM_TEXT = {"keeper": "daemon"}
# Where such a word is frozen: what is on disk, on the wire or in a JSON document. The socket has this name.
FROZEN = {
    "keeper": {
        "kscaffold/cli/documents/machine.py": ('"keeper":',),
        "kscaffold/sandbox/live/daemon.py": ('"keeper"', '"keeper_started"', '"keeper.sock"'),
        "kscaffold/sandbox/live/registry.py": ('"keeper"', '"keeper_started"'),
        "docs/reference/json.md": ("`keeper`",),
        "tests/load/test_live_kernel.py": ('"keeper":',),
        "tests/sandbox/test_life.py": ('"keeper":', '"keeper.sock"'),
        "tests/test_contracts.py": (" accelerator keeper qemu ",),
        "tests/test_two_accounts.py": ('"keeper":', '"keeper_started":', '"keeper.sock"'),
    },
}


def names_defined(file: Path) -> Iterator[tuple[int, str]]:
    """The classes, functions, parameters, attributes and variables that a file makes, each with its line."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def test_words_that_are_gone_stay_gone():
    wrong = []
    for file in files():
        if file.stem in GONE or file.stem in GONE_FROM_FILES:
            wrong.append(f"{name(file)}: a file is called for what it has")
        for line, word in names_defined(file):
            if (plain := word.strip("_")) in GONE:
                wrong.append(f"{name(file)}:{line} {word}, now {GONE[plain]}")
    assert not wrong, "\n".join(wrong)


def test_words_that_are_gone_from_texts_stay_gone():
    wrong = []
    texts = {f for room in ("kscaffold", "tests", "docs") for f in (ROOT / room).rglob("*") if f.is_file()}
    kinds = (".py", ".c", ".h", ".md", ".toml", ".sh")
    texts = {f for f in texts if f.suffix in kinds} | set(ROOT.glob("*.md"))
    for file in sorted(texts - {Path(__file__)}):
        path, text = str(file.relative_to(ROOT)), file.read_text(errors="replace")
        for word, now in GONE_FROM_TEXT.items():
            for frozen in FROZEN[word].get(path, ()):
                assert frozen in text, (path, frozen)
                text = text.replace(frozen, "")
            if word in text.lower() or word in path:
                wrong.append(f"{path}: {word}, now {now}")
    assert not wrong, "\n".join(wrong)


def test_a_commit_that_is_cited_has_its_number_and_its_subject():
    for file in files():
        text = file.read_text()
        joined = re.sub(r"\s*\n\s*(?:# )?", " ", text)
        for at in re.finditer("Linux kernel commit", joined):
            cited = joined[at.start() : at.start() + 260]
            assert re.match(r'Linux kernel commit [0-9a-f]{12} "[^"]+" \(in v\d\.\d+\)', cited), (
                name(file),
                cited,
            )


def test_the_linter_reads_every_file_of_ours():
    """A pattern without a slash leaves out each folder of that name, at any depth."""
    listed = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", "."],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    read = {str(Path(line).relative_to(ROOT)) for line in listed.stdout.splitlines()}
    tracked = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours = {name for name in tracked.stdout.splitlines() if not name.startswith("templates/")}
    assert ours and ours <= read, sorted(ours - read)


def test_git_ignores_a_virtual_environment_that_is_a_link():
    rules = (ROOT / ".gitignore").read_text().splitlines()
    assert ".venv" in rules and ".venv/" not in rules
