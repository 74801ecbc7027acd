"""Failing calls: the list that a guest gives, and which of them are tried."""

from kscaffold.instrument import fault_calls
from kscaffold.instrument.fault_rows import Call, chosen, read_calls

LISTED = """\
1 kmalloc_trace 0 bug_init+0x2b/0x1000 [bug]
2 __class_create 0 helper+0x40/0x90 [other_bug]
3 __kmalloc 1 bug_init+0x60/0x1000 [bug]
no such line
5 calls
"""


def test_calls_are_read_with_the_names_of_the_source():
    calls, count = read_calls(LISTED)
    assert count == 5
    assert [(c.number, c.name, c.module, c.spare, c.failed_with) for c in calls] == [
        (1, "kmalloc", "bug", False, None),
        (2, "class_create", "other_bug", False, "ENOMEM"),
        (3, "kmalloc", "bug", True, None),
    ]


def test_of_a_long_loop_the_first_and_the_last_calls_are_tried():
    loop = [Call(n, "kmalloc_trace", False, "f+0x1/0x9 [m]") for n in range(1, 101)]
    other = Call(101, "kmalloc_trace", False, "f+0x5/0x9 [m]")
    numbers = [c.number for c in chosen([*loop, other])]
    assert numbers == [*range(1, 13), 97, 98, 99, 100, 101]
    assert chosen(loop[:16]) == loop[:16]


def test_each_failing_function_has_an_entry_of_its_kind():
    header = fault_calls.calls_header(
        {"kmalloc_trace", "misc_register", "_copy_to_user", "device_register", "printk"}
    )
    assert header == (
        "KS_CALL(_copy_to_user, 0, 2, -1, NULL)\n"
        "KS_CALL(device_register, -ENOMEM, -1, -1, begin_device)\n"
        "KS_CALL(kmalloc_trace, 0, -1, 1, NULL)\n"
        "KS_CALL(misc_register, -EBUSY, -1, -1, NULL)\n"
    )


def test_no_function_stands_twice_in_the_table():
    text = fault_calls._TABLE.read_text().partition("[source]")[0]
    words = [w for part in text.split('names = """')[1:] for w in part.partition('"""')[0].split()]
    words += [
        w for part in text.split('names = "')[1:] if part[:2] != '""' for w in part.partition('"')[0].split()
    ]
    assert len(words) == len(set(words)) == len(fault_calls.failures())
