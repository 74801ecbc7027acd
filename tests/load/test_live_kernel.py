"""Which kernel a load of .ko files is for, where a sandbox of another one than the default's is live."""

import fcntl
import json
from pathlib import Path

from kscaffold.load.prewarm import for_live_sandbox
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.sandbox.live.registry import sandbox_dir


def test_a_file_goes_to_the_sandbox_that_runs_its_kernel(tmp_path: Path):
    ours, other = tmp_path / "ours.ko", tmp_path / "other.ko"
    ours.write_bytes(b"\0vermagic=6.1.0-9-demo SMP mod_unload \0")
    other.write_bytes(b"\0vermagic=6.1.0-99-demo SMP mod_unload \0")
    place = sandbox_dir(tmp_path)
    place.mkdir(parents=True)
    card = {"project": str(tmp_path), "kernel": "6.1.0-9-demo", "cmdline": "", "accelerator": "tcg"}
    card |= {"keeper": 0, "qemu": 0, "started": 0.0, "key": "k"}
    (place / "card.json").write_text(json.dumps(card))

    def kernel(*kos: Path, where: TargetRequest = TargetRequest()) -> str | None:  # noqa: B008
        return for_live_sandbox(LoadRequest(tmp_path, kos), where).kernel

    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert kernel(ours) == "6.1.0-9-demo"
        assert kernel(ours, where=TargetRequest(kernel="6.12")) == "6.12"
        # Not a file for another kernel, one that is not there, nor a project, which is built for the default.
        assert kernel(other) is kernel(tmp_path / "none.ko") is kernel() is None
        assert kernel(ours, where=TargetRequest(host=True)) is None
        # What is loaded once more stays on its kernel, but for a file of another one.
        for kos, expected in (((), "6.1.0-9-demo"), ((ours,), "6.1.0-9-demo"), ((other,), None)):
            again = for_live_sandbox(LoadRequest(tmp_path, kos), TargetRequest(), again=True)
            assert again.kernel == expected
    assert kernel(ours) is None  # which has ended
