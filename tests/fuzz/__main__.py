"""Fuzz one target: `python -m tests.fuzz TARGET [SECONDS]`, with atheris (pip install -e '.[fuzz]').

What fails is kept in the directory that is printed; cut it down, mend the bug, and put it into
tests/fuzz/found/TARGET, where `test_found.py` tries it again for ever.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["kscaffold"]):
    from tests.fuzz.targets import TARGETS

from tests.fuzz.seeds import seeds


def main() -> None:
    name, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300
    place = Path(tempfile.mkdtemp(prefix=f"kscaffold-fuzz-{name}-"))
    corpus = place / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
        if number == 0:
            TARGETS[name](seed)  # patterns are compiled at their first use, which takes seconds here
    print(f"what fails is kept in {place}", flush=True)
    options = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=10", "-rss_limit_mb=2000"]
    options += ["-report_slow_units=2", f"-artifact_prefix={place}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


main()
