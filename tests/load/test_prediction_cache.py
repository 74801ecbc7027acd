"""A prediction is remembered for exactly what it was made of."""

from dataclasses import replace
from pathlib import Path

import pytest

from kscaffold.kernel.kernel import Kernel
from kscaffold.load import prediction, prediction_cache
from kscaffold.module.predict.finding import Finding, Prediction
from tests.support.elf import Ko


def write_ko(directory: Path, ko: Ko) -> Path:
    file = directory / f"{ko.name}.ko"
    file.write_bytes(ko.bytes())
    return file


@pytest.fixture
def kernel(tmp_path, monkeypatch) -> Kernel:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build = tmp_path / "build"
    build.mkdir()
    (build / "Module.symvers").write_text("0x1\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n")
    return Kernel("6.1.0-1", "path", build, None, None, None, "here")


def test_the_key_changes_with_all_that_a_prediction_is_made_of(kernel, tmp_path):
    ko = write_ko(tmp_path, Ko())
    first = prediction_cache.prediction_key(ko, "", kernel, "", None)
    assert first == prediction_cache.prediction_key(ko, "", kernel, "", None)
    others = [
        prediction_cache.prediction_key(ko, "n=1", kernel, "", None),
        prediction_cache.prediction_key(ko, "", kernel, "module.sig_enforce=1", None),
        prediction_cache.prediction_key(ko, "", kernel, "", []),
        prediction_cache.prediction_key(ko, "", kernel, "", ["hello"]),
        prediction_cache.prediction_key(ko, "", replace(kernel, release="6.1.0-2"), "", None),
        prediction_cache.prediction_key(write_ko(tmp_path, Ko(init=None)), "", kernel, "", None),
    ]
    assert kernel.build is not None
    (kernel.build / "Module.symvers").write_text("0x2\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n0")
    others.append(prediction_cache.prediction_key(ko, "", kernel, "", None))
    (tmp_path / "Module.symvers").write_text("")
    others.append(prediction_cache.prediction_key(ko, "", kernel, "", None))
    assert len({first, *others}) == len(others) + 1


def test_what_was_predicted_comes_back_and_damage_is_forgotten(kernel, tmp_path):
    found = Prediction(False, "symbols", "ENOENT", (Finding("KS1", "error", "symbols", "é", None, "ENOENT"),))
    prediction_cache.remember_prediction("abc", found)
    assert prediction_cache.recall_prediction("abc") == found
    (file,) = [p for p in (tmp_path / "cache/kscaffold/forecasts").iterdir() if p.name == "abc"]
    for text in (
        "",
        "{",
        "[]",
        '{"loads": true, "findings": [1]}',
        '{"loads": true, "more": 1, "findings": []}',
    ):
        file.write_text(text)
        assert prediction_cache.recall_prediction("abc") is None
    assert prediction_cache.recall_prediction("never") is None


def test_a_forecast_is_made_once_and_the_same(kernel, tmp_path, monkeypatch):
    ko = write_ko(tmp_path, Ko())
    first = prediction.predict_load(ko, "", kernel)
    monkeypatch.setattr(prediction, "_predict", lambda *_: pytest.fail("predicted again"))
    assert prediction.predict_load(ko, "", kernel) == first
    with pytest.raises(BaseException, match="predicted again"):
        prediction.predict_load(ko, "n=1", kernel)


def test_a_file_that_is_not_there_has_no_key(kernel):
    assert prediction_cache.prediction_key(Path("/nothing.ko"), "", kernel, "", None) is None
