"""Modules that stay registered with a part of the kernel when they go, one each, and their healthy twins.

What the kernel keeps of them is a pointer, to a function or a variable whose name begins with `lv_`; only an
algorithm has a name in a file of /proc.
"""

from tests.zoo.leavers import Leaver

_TRACE = (
    "#include <linux/tracepoint.h>\nstatic struct tracepoint *t; static void lv_seen(void *d) { }"
    " static void lv_pick(struct tracepoint *x, void *d)"
    ' { if (!strcmp(x->name, "sched_process_fork")) t = x; }'
)
_SHRINKER = (
    "#include <linux/shrinker.h>\n"
    "static unsigned long lv_count(struct shrinker *s, struct shrink_control *c) { return 0; }"
    " static unsigned long lv_scan(struct shrinker *s, struct shrink_control *c) { return SHRINK_STOP; }"
    "\n#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)"
    '\n#define lv_make() ({ s = shrinker_alloc(0, "lv"); s->count_objects = lv_count;'
    " s->scan_objects = lv_scan; shrinker_register(s); 0; })"
    "\n#define lv_end() shrinker_free(s)\nstatic struct shrinker *s;\n#else"
    "\nstatic struct shrinker lv_shrinker = { .count_objects = lv_count, .scan_objects = lv_scan,"
    " .seeks = DEFAULT_SEEKS };"
    "\n#define lv_end() unregister_shrinker(&lv_shrinker)"
    "\n#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 0, 0)"
    '\n#define lv_make() register_shrinker(&lv_shrinker, "lv")'
    "\n#else\n#define lv_make() register_shrinker(&lv_shrinker)\n#endif\n#endif\n"
)
_INPUT = (
    "#include <linux/input.h>\nstatic int lv_connect(struct input_handler *h, struct input_dev *d,"
    " const struct input_device_id *id) { return -ENODEV; }"
    " static const struct input_device_id ids[] = { { .driver_info = 1 }, { } };"
    ' static struct input_handler lv_handler = { .name = "lv", .connect = lv_connect, .id_table = ids };'
)
_BINFMT = (
    "#include <linux/binfmts.h>\nstatic int lv_load(struct linux_binprm *b) { return -ENOEXEC; }"
    " static struct linux_binfmt lv_format = { .module = THIS_MODULE, .load_binary = lv_load };"
)
_SYSRQ = (
    "#include <linux/sysrq.h>\n#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)\n#define lv_key int\n#else"
    "\n#define lv_key u8\n#endif\nstatic void lv_handle(lv_key k) { }"
    ' static const struct sysrq_key_op lv_op = { .handler = lv_handle, .help_msg = "lv(y)",'
    ' .action_msg = "lv", .enable_mask = 1 };'
)
_ALGORITHM = (
    "#include <crypto/internal/hash.h>\nstatic int first(struct shash_desc *d) { return 0; }"
    " static int more(struct shash_desc *d, const u8 *b, unsigned int n) { return 0; }"
    " static int last(struct shash_desc *d, u8 *o) { return 0; }"
    " static struct shash_alg a = { .digestsize = 4, .init = first, .update = more, .final = last,"
    ' .descsize = 4, .base = { .cra_name = "lvsum", .cra_driver_name = "lvsum-generic",'
    " .cra_blocksize = 1, .cra_module = THIS_MODULE } };"
)

REGISTRATIONS = {
    "tracepoint": Leaver(
        "callback",
        "lv_",
        _TRACE,
        "for_each_kernel_tracepoint(lv_pick, NULL); tracepoint_probe_register(t, lv_seen, NULL);",
        "tracepoint_probe_unregister(t, lv_seen, NULL); tracepoint_synchronize_unregister();",
    ),
    "shrinker": Leaver("callback", "lv_", _SHRINKER, "int error = lv_make();", "lv_end();", "return error;"),
    "input": Leaver(
        "callback",
        "lv_",
        _INPUT,
        "int error = input_register_handler(&lv_handler);",
        "input_unregister_handler(&lv_handler);",
        "return error;",
    ),
    "console": Leaver(
        "callback",
        "lv_",
        "#include <linux/console.h>\n"
        "static void lv_write(struct console *c, const char *s, unsigned int n) { }"
        ' static struct console lv_console = { .name = "lvc", .write = lv_write,'
        " .flags = CON_ENABLED, .index = -1 };",
        "register_console(&lv_console);",
        "unregister_console(&lv_console);",
    ),
    "algorithm": Leaver(
        "crypto",
        "lvsum",
        _ALGORITHM,
        "int error = crypto_register_shash(&a);",
        "crypto_unregister_shash(&a);",
        "return error;",
    ),
    "binfmt": Leaver(
        "callback", "lv_", _BINFMT, "register_binfmt(&lv_format);", "unregister_binfmt(&lv_format);"
    ),
    "protocol": Leaver(
        "callback",
        "lv_",
        "#include <net/protocol.h>\nstatic int lv_take(struct sk_buff *s) { kfree_skb(s); return 0; }"
        " static const struct net_protocol lv_protocol = { .handler = lv_take, .no_policy = 1 };",
        "int error = inet_add_protocol(&lv_protocol, 253);",
        "inet_del_protocol(&lv_protocol, 253);",
        "return error;",
    ),
    "sysrq": Leaver(
        "callback",
        "lv_",
        _SYSRQ,
        "int error = register_sysrq_key('y', &lv_op);",
        "unregister_sysrq_key('y', &lv_op);",
        "return error;",
    ),
    "kretprobe": Leaver(
        "callback",
        "lv_",
        "#include <linux/kprobes.h>\n"
        "static int lv_back(struct kretprobe_instance *i, struct pt_regs *r) { return 0; }"
        ' static struct kretprobe lv_probe = { .kp.symbol_name = "vfs_write", .handler = lv_back };',
        "int error = register_kretprobe(&lv_probe);",
        "unregister_kretprobe(&lv_probe);",
        "return error;",
    ),
    "hotplug": Leaver(
        "callback",
        "lv_",
        "#include <linux/cpuhotplug.h>\nstatic int state; static int lv_up(unsigned int c) { return 0; }",
        'state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "lv:online", lv_up, NULL);',
        "cpuhp_remove_state(state);",
        "return state < 0 ? state : 0;",
    ),
    "netlink": Leaver(
        "callback",
        "lv_",
        "#include <net/genetlink.h>\n"
        "static int lv_do(struct sk_buff *s, struct genl_info *i) { return 0; }"
        " static const struct genl_ops ops[] = { { .cmd = 1, .doit = lv_do } };"
        ' static struct genl_family lv_family = { .name = "lv_genl", .version = 1, .maxattr = 1,'
        " .module = THIS_MODULE, .ops = ops, .n_ops = 1 };",
        "int error = genl_register_family(&lv_family);",
        "genl_unregister_family(&lv_family);",
        "return error;",
    ),
}
