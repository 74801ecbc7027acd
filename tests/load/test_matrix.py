"""`api.matrix`: each kernel and set of parameters a job, of threads or of anybody's executor."""

import pickle
from concurrent.futures import Executor, Future

import pytest

from kscaffold import api
from kscaffold.load.executor import do_jobs
from tests.conftest import missing, need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write

HOWMANY = """
#include <linux/module.h>
static int howmany = 1;
module_param(howmany, int, 0444);
static int __init it_init(void) { return howmany < 0 ? -EINVAL : 0; }
static void __exit it_exit(void) { }
module_init(it_init);
module_exit(it_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""


class Pickling(Executor):
    """Does each job at once, and lets through only what could go to another machine."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        work, words = pickle.loads(pickle.dumps((fn, args)))
        future.set_result(pickle.loads(pickle.dumps(work(*words, **kwargs))))
        return future


@pytest.fixture
def project(tmp_path):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    return write(tmp_path / "howmany", Kbuild="obj-m := howmany.o\n", howmany__c=HOWMANY)


@pytest.mark.sandbox
def test_kernels_and_sets_side_by_side(project):
    releases = [need_kernel(series).release for series in ("6.1", "6.12")]
    before = sorted(project.iterdir())
    done = api.matrix(directory=project, kernels=[*releases, "vax:6.1"], sets=[["howmany=3"], ["howmany=-1"]])
    told = [(c.kernel, c.parameters, c.ok, c.error and c.error.code) for c in done.cells]
    assert told == [
        *((release, words, words == "howmany=3", None) for release in releases
          for words in ("howmany=3", "howmany=-1")),
        ("vax:6.1", "howmany=3", False, "KS533"),
    ]  # fmt: skip
    assert not done.ok
    for cell in done.cells[:4]:
        ((loads, _),) = cell.run.tries
        assert loads[0].kernel == cell.kernel
        assert loads[0].judgement.errno == (None if cell.ok else "EINVAL")
    # Built beside the checkout, a directory for each kernel; changed there once the source is changed.
    assert sorted(project.iterdir()) == before
    (project / "howmany.c").write_text(HOWMANY.replace("howmany < 0", "howmany > 0"))
    with Pickling() as executor:
        again = api.matrix(directory=project, kernels=releases, sets=[["howmany=-1"]], executor=executor)
    assert again.ok and [cell.kernel for cell in again.cells] == releases


@pytest.mark.sandbox
def test_workers_of_dask(project):
    try:
        import distributed
    except ImportError:
        missing("distributed", "pip install 'kscaffold[dask]'")
    releases = [need_kernel(series).release for series in ("6.1", "6.12")]
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        done = api.matrix(directory=project, kernels=releases, executor=client.get_executor(retries=0))
        assert [(cell.kernel, cell.ok) for cell in done.cells] == [(r, True) for r in releases]
        done_by_each = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert sorted(done_by_each.values()) == [1, 1]


def test_jobs_follow_one_another_and_an_error_ends_them():
    begun = []

    def work(job):
        begun.append(job)
        if job == 13:
            raise ValueError(job)
        return job * 2

    done = list(do_jobs(work, [1, 2], follow=lambda job, result: [result] if result < 10 else []))
    assert sorted(done) == [(1, 2), (2, 4), (2, 4), (4, 8), (4, 8), (8, 16), (8, 16)]
    begun.clear()
    with pytest.raises(ValueError, match="13"):
        list(do_jobs(work, [13, *range(100, 200)]))
    assert len(begun) < 101
