"""Several threads read a capture as one does: the same sessions in every column, the same notes."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest

from netexfil import read

ROOT = Path(__file__).parent.parent
CORPUS = Path(os.environ.get("NETEXFIL_CORPUS", ROOT.parent / "shared" / "corpus"))
# All of the corpus takes a minute; of its captures every so many are read unless all are asked for.
EVERY = 1 if os.environ.get("NETEXFIL_ALL") else 16
LARGEST = 3_000_000

pytestmark = pytest.mark.skipif(not read.core_available(), reason="the core is not built")


def told(paths, **more):
    """Rows in an order of their own, and notes; or why nothing can be read."""
    from netexfil import _core

    try:
        stream = _core.capture([str(path) for path in paths], networks=(["10.0.0.0/8"], []), **more)
    except (_core.CaptureError, OSError) as error:
        return str(error)
    with duckdb.connect() as con:
        con.register("c", stream)
        rows = con.execute("SELECT * FROM c").fetchall()
    return sorted(rows, key=repr), stream.notes


def captures():
    found = sorted(path for folder in ("network", "lab") for path in (CORPUS / folder).rglob("*") if ".pcap" in path.name or ".cap" in path.name)
    return [path for path in found if path.is_file() and (EVERY == 1 or path.stat().st_size < LARGEST)][::EVERY]


@pytest.mark.skipif(not captures(), reason=f"no corpus at {CORPUS}")
@pytest.mark.parametrize("threads", [2, 3])
def test_the_corpus_is_read_the_same(threads):
    for path in captures():
        assert told([path], threads=threads, least=0, portion=50) == told([path]), path


@pytest.mark.skipif(not captures(), reason=f"no corpus at {CORPUS}")
def test_several_captures_are_read_the_same():
    paths = captures()[:20]
    for some in zip(paths, paths[1:], paths[2:], strict=False):
        assert told(some, threads=2, least=0, portion=50) == told(some), some
