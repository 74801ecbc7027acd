"""Where a kernel was that did not answer, by its last words."""

import pytest

from kscaffold.diagnosis.klog import parse_text
from kscaffold.diagnosis.nmi import stack_at_nmi, without_nmi

SAID = "[    5.721005] zoo: hello\n"
PANIC = """\
[    7.017795] {head}
[    7.027778] Kernel panic - not syncing: NMI: Not continuing
[    7.030485] Call Trace:
[    7.031795]  <NMI>
[    7.032289]  panic+0x344/0x3a0
[    7.033290]  ? _printk+0x64/0x80
[    7.033412]  end_repeat_nmi+0xf/0x53
[    7.033587] RIP: 0010:{at}
[    7.034308] Code: f3 90 <eb> fc
[    7.034517] RSP: 0018:ffffc90000607d48 EFLAGS: 00000046
[    7.041678]  ? irqs_off+0xd/0x10 [zoo]
[    7.041782]  </NMI>
[    7.041813]  <TASK>
[    7.041821]  hang+0xf4/0x100 [zoo]
[    7.041929]  __do_sys_delete_module+0x1b5/0x350
[    7.042012]  ? arch_exit_to_user_mode_prepare.constprop.0+0x75/0xa0
{end}
[    7.042494] RAX: ffffffffffffffda RBX: 000000000040b980 RCX: 0000000000403e47
[    7.045513] Kernel Offset: disabled
[    0.000000]  not_a_frame+0x1/0x2
"""


HEADS = (
    "NMI: PCI system error (SERR) for reason ff on CPU 0.",
    "NMI: IOCK error (debug interrupt?) for reason 71 on CPU 0.",
    "Uhhuh. NMI received for unknown reason 30 on CPU 0.",
)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("end", ("[    7.042054] RIP: 0033:0x403e47", "[    7.044758]  </TASK>"))
def test_the_stack_begins_where_the_interrupt_came(head: str, end: str) -> None:
    text = SAID + PANIC.format(head=head, at="irqs_off+0xd/0x10 [zoo]", end=end)
    said, stack = stack_at_nmi(parse_text(text))
    assert [record.text for record in said] == ["zoo: hello"]
    assert [r.text for r in without_nmi(parse_text(text))] == ["zoo: hello", " not_a_frame+0x1/0x2"]
    assert stack.splitlines() == [
        "[<0>] end_repeat_nmi+0xf/0x53",
        "[<0>] irqs_off+0xd/0x10 [zoo]",
        "[<0>] hang+0xf4/0x100 [zoo]",
        "[<0>] __do_sys_delete_module+0x1b5/0x350",
    ]


def test_an_interrupt_that_came_upon_another_one_is_told_with_what_that_came_upon() -> None:
    """A timer's function that spins on the lock which the call below it holds."""
    softirq = (
        "[    7.1]  asm_sysvec_apic_timer_interrupt+0x16/0x20\n[    7.1] RIP: 0010:ioctl+0x42/0x50 [zoo]\n"
    )
    text = PANIC.format(head=HEADS[0], at="tick+0xd/0x10 [zoo]", end=softirq + "[    7.2] RIP: 0033:0x403e47")
    _, stack = stack_at_nmi(parse_text(SAID + text))
    assert stack.splitlines()[-2:] == [
        "[<0>] asm_sysvec_apic_timer_interrupt+0x16/0x20",
        "[<0>] ioctl+0x42/0x50 [zoo]",
    ]


def test_a_panic_of_the_modules_own_is_no_interrupt_of_ours() -> None:
    records = tuple(parse_text(SAID + "[    7.02] Kernel panic - not syncing: NMI: Not continuing\n"))
    assert stack_at_nmi(records) == (records, "")
    assert tuple(without_nmi(records)) == records
