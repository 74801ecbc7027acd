"""The stages of loading a module, in the kernel's order, and what a course calls them: data only."""

from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. `course`: the steps of the course (1 to 10) it answers to, and what they are called there.

    `functions`: the kernel's own names, 6.1's first. `what`: one paragraph for a reader who has written
    one module. `course_differs`: where the course tells it otherwise, and why. `elsewhere`: what other
    kernels than 6.1 do otherwise.
    """

    id: str
    title: str
    course: tuple[int, ...]
    functions: tuple[str, ...]
    what: str
    course_differs: str = ""
    elsewhere: str = ""


STAGES = (
    Stage(
        "syscall",
        "the program asks the kernel",
        (1, 2),
        ("finit_module()", "init_module()"),
        "insmod opens the .ko and makes one system call. From here on the kernel works alone.",
        "The course names init_module() and the function behind it, sys_init_module(). That call hands "
        "over a copy of the bytes and is still there, but since 2013 insmod calls finit_module(), which "
        "hands over the open file and the parameters as one line of text. Both end in load_module().",
    ),
    Stage(
        "permission",
        "may this program load modules at all?",
        (3,),
        ("may_init_module()", "capable()"),
        "The caller needs the capability CAP_SYS_MODULE in the machine's first user namespace: root has "
        "it, root of a container does not. And nobody may load a module any more once "
        "/proc/sys/kernel/modules_disabled is 1. The answer no is EPERM, and the log stays silent.",
    ),
    Stage(
        "copy",
        "the file is read into the kernel's memory",
        (4,),
        ("kernel_read_file()", "copy_module_from_user()", "module_decompress()"),
        "The whole .ko is read into a temporary buffer of the kernel. An empty file, or one that a "
        "program still has open for writing, is refused here. Security modules (SELinux, LoadPin, IMA) "
        "may say no here too.",
        "The course puts copy_from_user() inside load_module(). The copy is made before load_module() is "
        "called: with init_module() by copying from the program, with finit_module() by reading the file.",
    ),
    Stage(
        "signature",
        "who signed this module?",
        (),
        ("module_sig_check()", "mod_verify_sig()", "security_locked_down()"),
        "Still before the file is looked into, its signature is checked. Most machines load an unsigned "
        "module all the same and mark the kernel as tainted. With Secure Boot, lockdown or "
        "module.sig_enforce they refuse it.",
        "",
        "4.19 checked it after the ELF header.",
    ),
    Stage(
        "elf",
        "is this a module, and for this machine?",
        (5,),
        ("elf_validity_check()", "setup_load_info()"),
        "The file must be an ELF file of the relocatable kind, for this processor, with every section "
        "inside the file. It must hold a symbol table and the two sections that make a module of an "
        "object file: .modinfo and .gnu.linkonce.this_module.",
        "",
        "From 6.4 on the function is elf_validity_cache_copy(), and the size of struct module must fit too. "
        "5.10 has one line in the log for every fault, 4.19 none.",
    ),
    Stage(
        "version",
        "was it built for this kernel?",
        (),
        ("blacklisted()", "check_modstruct_version()", "check_modinfo()", "same_magic()"),
        "The name is looked up in module_blacklist= of the kernel's command line. Then the checksum of "
        "struct module and the vermagic line are compared with the kernel's own. Where modules carry "
        "checksums (modversions), the release in vermagic may differ; the rest of the line may not.",
    ),
    Stage(
        "layout",
        "memory is planned, reserved and filled",
        (6,),
        ("layout_and_allocate()", "layout_sections()", "move_module()"),
        "Each section gets its offset in the memory to come: code, read-only data, data, and what only "
        "init needs. The memory is reserved and the sections are copied there.",
        "What the course calls offsets are these places. Part of the work, such as per-cpu memory, is done "
        "after the module is on the list.",
    ),
    Stage(
        "list",
        "the module is put on the list",
        (9,),
        ("add_unformed_module()", "module_patient_check_exists()"),
        "The module is linked into the kernel's list as UNFORMED: its name is taken, nobody can use it "
        "yet. If a module of that name is there already, the answer is EEXIST. '-' and '_' count as one "
        "letter in names.",
        "The course puts this after symbol resolution. It comes before, so that of two loads of one name "
        "only one gets any further.",
        "From 6.4 on the name is also looked up before any memory is reserved.",
    ),
    Stage(
        "symbols",
        "names of other code become addresses",
        (8,),
        ("simplify_symbols()", "resolve_symbol()"),
        "For each symbol that the module uses and does not define, the kernel looks through what it and "
        "the loaded modules export. The symbol must be there, its checksum must agree, its namespace must "
        "be imported, and a GPL-only symbol is shown to GPL-compatible modules only. The log names each "
        "symbol that fails.",
    ),
    Stage(
        "relocate",
        "the addresses are written into the code",
        (),
        ("apply_relocations()", "apply_relocate_add()", "module_finalize()"),
        "Now that each section and symbol has its address, the gaps which the compiler left in the code "
        "are filled in. It fails only for modules built with flags that the kernel's loader can't follow.",
    ),
    Stage(
        "arguments",
        "the parameters are copied",
        (7,),
        ("strndup_user()",),
        "The line of parameters is copied from the program into the kernel's memory, as text. Nobody has "
        "looked at the values yet.",
        "The course puts this before symbol resolution. It comes after the relocations.",
    ),
    Stage(
        "formation",
        "the module takes its final form",
        (),
        ("complete_formation()", "prepare_coming_module()"),
        "Code becomes read-only and executable, data not executable. The module may not export a symbol "
        "that is exported already. Its state is COMING now, and tracing, live patching and BTF are told.",
    ),
    Stage(
        "parameters",
        "the parameters are set",
        (7,),
        ("parse_args()",),
        "Each name=value of the line is looked up and stored by the parameter's type. A value that does "
        "not fit its type ends the load; a name that the module does not have is only warned of.",
        "The course has one step for the arguments, the kernel two: first copied, later read. Only the "
        "second notices a wrong value.",
    ),
    Stage(
        "sysfs",
        "the module appears in /sys/module",
        (),
        ("mod_sysfs_setup()",),
        "/sys/module/NAME is made, with the parameters and their permissions below it. A name that "
        "belongs to code built into the kernel is refused here.",
    ),
    Stage(
        "init",
        "your function runs",
        (10,),
        ("do_init_module()", "do_one_initcall()"),
        "The function that the source gave to module_init() is called. What it prints is in the log, "
        "whatever it returns. If it returns a negative number, all that was done above is undone and "
        "insmod gets that number as its error.",
        "The course says that module_init() is executed. module_init() is a macro: it marks your function, "
        "and the kernel calls that.",
    ),
    Stage(
        "live",
        "the module is live",
        (),
        ("do_init_module()",),
        "The state is LIVE, udev is told, and memory marked __init is given back. insmod returns 0 and "
        "lsmod shows the module.",
    ),
)  # fmt: skip

ORDER = tuple(stage.id for stage in STAGES)
BY_ID = {stage.id: stage for stage in STAGES}


def index(stage: str) -> int:
    """Where a stage is in the kernel's order, from 0."""
    return ORDER.index(stage)
