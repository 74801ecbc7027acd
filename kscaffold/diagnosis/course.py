"""The course's ten steps of loading a module, in its words; stages.py says which stage is which step."""

COURSE = {
    1: "init_module()",
    2: "sys_init_module()",
    3: "permission check",
    4: "load_module(), copy_from_user()",
    5: "ELF verification",
    6: "offset generation",
    7: "copy module arguments",
    8: "symbol resolution",
    9: "add module to module list",
    10: "execute module_init() function",
}
