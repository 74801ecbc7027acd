"""`test` on kernels that are not here: fetched side by side, from a mirror in a directory."""

import pytest

from tests.support.mirror import NEW, OLD, Mirror
from tests.support.projects import HELLO, write

# A kernel is unpacked when the other one is at that, too; after a minute alone the unpacking fails.
MEETING = """
case "$2" in *linux-image-*)
	touch "{here}/$(basename "$2")"
	tries=0
	while [ "$(ls "{here}" | wc -l)" -lt 2 ]; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || exit 1
		sleep 0.1
	done
esac
exec "$REAL" "$@"
"""


@pytest.mark.parametrize("words", [(), ("-n", "1")])
def test_two_missing_kernels_are_fetched_side_by_side(mirror: Mirror, ks, tmp_path, words):
    here = write(tmp_path / "hello", hello__c=HELLO, Kbuild="obj-m := hello.o\n")
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    mirror.program("dpkg-deb", MEETING.format(here=meeting))
    assert mirror.left() == []
    ran = ks("test", "--kernel", "6.1", "--kernel", "6.12", "-C", here, "-k", "builds", "--json", *words)
    # Kernels of nothing: no module builds for them.
    assert ran.status == 1
    assert ran.json["kernels"] == [OLD, NEW] and ran.json["errors"] == []
    assert mirror.left() == [f"kernels/{OLD}", f"kernels/{NEW}"]
    assert len(list(meeting.iterdir())) == 2


def test_one_that_can_not_be_fetched_takes_no_other_along(mirror: Mirror, ks, tmp_path):
    here = write(tmp_path / "hello", hello__c=HELLO, Kbuild="obj-m := hello.o\n")
    ran = ks("test", "--kernel", "6.1", "--kernel", "3.2", "-C", here, "-k", "builds", "--json")
    assert ran.status == 1
    assert ran.json["kernels"] == [OLD, "3.2"]
    assert [(e["kernel"], e["code"]) for e in ran.json["errors"]] == [("3.2", "KS502")]
    assert mirror.left() == [f"kernels/{OLD}"]
