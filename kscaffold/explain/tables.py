"""What explain knows beside the stages and the catalogue: return values, commands, words. Data only."""

from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class ReturnRow:
    """What a return value of init leads to."""

    value: str
    meaning: str
    insmod: str
    lsmod: str
    log: str


RETURNS = (
    ReturnRow("0", "loaded", "prints nothing, exit status 0", "shows the module", "what init printed"),
    ReturnRow(
        "negative",
        "loading failed; init did run",
        "prints the text of that errno, exit status 1",
        "does not show it",
        "what init printed, all the same",
    ),
    ReturnRow(
        "positive",
        "loaded, with a warning",
        "prints nothing, exit status 0",
        "shows the module",
        "what init printed, then 'suspiciously returned N' and a stack dump",
    ),
)

RETURNS_NOTE = (
    "A negative value is an errno with a minus: return -ENOMEM, not -1. -1 is -EPERM, so insmod says "
    "'Operation not permitted' although no permission was missing. During init the module was on the list; "
    "when init fails, the kernel takes it off again and gives its memory back, and what init had "
    "registered itself stays registered, unless init undoes it before it returns."
)


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command of the course, and the one that wraps it."""

    plain: str
    wrapped: str
    does: str


COMMANDS = (
    CommandRow("make", "kscaffold build", "compiles the module"),
    CommandRow("make clean", "kscaffold clean", "takes away what make made"),
    CommandRow("modinfo hello.ko", "kscaffold info", "shows what the .ko says about itself"),
    CommandRow("insmod hello.ko", "kscaffold load", "puts the module into the kernel"),
    CommandRow("lsmod", "kscaffold list", "lists the modules that are loaded"),
    CommandRow("rmmod hello", "kscaffold unload", "takes the module out again"),
    CommandRow("dmesg", "kscaffold logs", "shows the kernel's log"),
)

COMMANDS_NOTE = (
    "load, list, unload and logs act on the kernel of a sandbox, a small virtual machine, and need no root. "
    "With --host they run insmod, lsmod, rmmod and dmesg on this machine, with sudo where that is needed."
)

LOAD_NOTE = (
    "insmod asks for one system call, and the kernel does the rest in a fixed order. Each stage can say no; "
    "then everything before it is undone. Below are the stages of Linux 6.1. In brackets is the step of the "
    "course that tells of it; stages without one are not among the course's ten. By the course's numbers "
    "the order is 1, 2, 3, 4, 5, 6, 9, 8, 7, 10."
)

# Words of the field that have one entry.
ALIASES = {
    "vermagic": "KS210",
    "module_layout": "KS211",
    "modversions": "KS206",
    "lockdown": "KS229",
    "secure boot": "KS226",
    "blacklist": "KS230",
    "module_blacklist": "KS230",
    "initcall_blacklist": "KS231",
    "modules_disabled": "KS233",
    "gpl-only": "KS205",
    "namespace": "KS207",
    "taint": "KS290",
    "dmesg_restrict": "KS280",
    "no output": "KS278",
    "permanent": "KS304",
    "in use": "KS303",
    "btf": "KS242",
    "dkms": "KS150",
    "objtool": "KS148",
    "section mismatch": "KS127",
    "headers": "KS520",
    "probe": "KS321",
    "ubsan": "KS320",
    "kasan": "KS259",
    "scheduling while atomic": "KS256",
    "null pointer": "KS250",
    "segfault": "KS250",
    "segmentation fault": "KS289",
    "killed": "KS289",
}

# What insmod of kmod says for an errno; where it is not here, it says strerror's words.
INSMOD_SAYS = {
    "ENOEXEC": "Invalid module format",
    "ENOENT": "Unknown symbol in module",
    "ESRCH": "Module has wrong symbol version",
    "EINVAL": "Invalid parameters",
}

# Other names that a first course gives to a thing, and the topic that answers.
COURSE_NAMES = {
    "add module to kernel list": "add module to module list",
    "allocate kernel memory": "offset generation",
    "allocate memory": "offset generation",
    "argument": "module arguments",
    "check valid elf module": "ELF verification",
    "copy .ko from user space to kernel space": "copy_from_user",
    "copy module args": "copy module arguments",
    "core module loader": "load_module",
    "dmesg logs": "kernel logs",
    "elf file": "ELF verification",
    "executable and linkable format": "ELF verification",
    "execute init function": "execute module_init() function",
    "execute module_init": "execute module_init() function",
    "flow": "load",
    "functions / symbols / variables": "offset generation",
    "init_module() system call": "init_module",
    "insert module": "insmod",
    "insert": "insmod",
    "kernel entry function": "sys_init_module",
    "list modules": "lsmod",
    "load a module": "load",
    "load kernel module": "load",
    "load the kernel module": "load",
    "loading a module": "load",
    "log": "kernel logs",
    "module insertion": "load",
    "module loaded in kernel": "return",
    "module loaded successfully": "return",
    "module loading failed": "return",
    "module_init() call": "execute module_init() function",
    "module_initi() function": "module_init()",
    "only root / sudo user": "root",
    "permission": "permission check",
    "related errors": "unresolved symbols",
    "remove module": "rmmod",
    "resolve external symbols": "symbol resolution",
    "return -1": "return",
    "root or sudo user": "root",
    "sequence": "load",
    "success": "return",
    "sudo user": "root",
    "symbols variables functions": "offset generation",
    "temporarily allocated memory": "load_module",
    "to insert module": "insmod",
    "to list module": "lsmod",
    "to remove module": "rmmod",
    "unknown symbol": "unresolved symbols",
    "valid elf": "ELF verification",
    "what happens when a kernel module is loaded": "load",
    "what happens when you run insmod": "load",
}
