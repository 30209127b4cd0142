"""Files are asked for in large pages, and open where there are none."""

import mmap

import pytest
from support.models import write_model

from localmix.gguf import GGUFFile, file

asks = pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="a system without the advice")


@asks
@pytest.mark.parametrize("is_refused", [False, True])
def test_large_pages_are_asked_for_and_may_be_refused(tmp_path, monkeypatch, is_refused):
    asked = []

    class Watched(mmap.mmap):
        def madvise(self, advice, *where):
            asked.append(advice)
            if is_refused:
                raise OSError("no large pages here")

    monkeypatch.setattr(file.mmap, "mmap", Watched)
    with GGUFFile.open(write_model(tmp_path / "m.gguf")) as opened:
        assert opened.tensors
    assert asked == [mmap.MADV_HUGEPAGE]
