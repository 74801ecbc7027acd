"""Tasks that wait for ever, as khungtaskd tells of them each second again."""

from kscaffold.diagnosis.crash import complaints
from kscaffold.diagnosis.klog import parse_text

# Linux 6.12: a work item took its mutex twice, the second time in its last call; the ioctl waits for its end.
WORKER = """\
[ 12.10] INFO: task kworker/0:2:41 blocked for more than {seconds} seconds.
[ 12.11]       Tainted: G           OE      6.12.117+deb12-cloud-amd64 #1 Debian 6.12.117-1~deb12u1
[ 12.12] "echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
[ 12.13] task:kworker/0:2     state:D stack:0     pid:41    tgid:41    ppid:2      flags:0x00004000
[ 12.14] Workqueue: events work_fn [hang]
[ 12.15] Call Trace:
[ 12.16]  <TASK>
[ 12.17]  __schedule+0x4e0/0xbf0
[ 12.18]  schedule+0x27/0xc0
[ 12.19]  schedule_preempt_disabled+0x15/0x30
[ 12.20]  __mutex_lock.constprop.0+0x37d/0x6f0
[ 12.21]  process_one_work+0x18d/0x3a0
[ 12.22]  worker_thread+0x191/0x2f0
[ 12.23]  </TASK>
"""
CALL = """\
[ 12.30] INFO: task call:121 blocked for more than {seconds} seconds.
[ 12.31]       Tainted: G           OE      6.12.117+deb12-cloud-amd64 #1 Debian 6.12.117-1~deb12u1
[ 12.32] "echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
[ 12.33] task:call            state:D stack:0     pid:121   tgid:121   ppid:1      flags:0x00004002
[ 12.34] Call Trace:
[ 12.35]  <TASK>
[ 12.36]  __schedule+0x4e0/0xbf0
[ 12.37]  __flush_work+0x2d0/0x3a0
[ 12.38]  hang_ioctl+0x1f8/0x480 [hang]
[ 12.39]  __x64_sys_ioctl+0x94/0xc0
[ 12.40]  </TASK>
"""


def test_each_task_is_told_once_and_at_its_own_place() -> None:
    log = "".join(text.format(seconds=n) for n in (4, 5, 6) for text in (WORKER, CALL))
    found = complaints(parse_text(log), "hang")
    assert [(c.text.split()[2], c.where, c.module) for c in found] == [
        ("kworker/0:2:41", "work_fn [hang]", "hang"),
        ("call:121", "hang_ioctl+0x1f8/0x480 [hang]", "hang"),
    ]
    assert [c.callee for c in found] == ["__mutex_lock.constprop.0", None]


def test_a_worker_of_another_module_is_where_it_waits() -> None:
    (found,) = complaints(parse_text(WORKER.format(seconds=4)), "other")
    assert (found.where, found.module) == ("__mutex_lock.constprop.0+0x37d/0x6f0", None)
