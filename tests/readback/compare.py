#!/usr/bin/env python3
"""Compares indexes of ours with those that stock Faiss makes of the same trained index and the same rows.

usage: compare.py DIRECTORY

Every subdirectory holds one case: `trained.index` (no rows), `ours.index`, `rows.f32`, `queries.f32` (little-endian,
as the index sees them), `ids.i64` (in the order of the rows) and `case.json` with `name` and `idMap`, which tells
whether ids are in a map around the index. Prints a line per case that differs, then "N cases agree". Exits with 1 when
one differs.
"""

import contextlib
import json
import sys
from pathlib import Path

import faiss
import numpy

NEIGHBOURS = 10
# Single precision, summed in another order by another kernel.
TOLERANCE = 1e-4
# Rows whose code falls to the other side of a rounding boundary, because another kernel encoded them.
MOST_OTHERS = 0.002


def stock_index(case: Path, with_id_map: bool) -> faiss.Index:
    index = faiss.read_index(str(case / "trained.index"))
    if with_id_map:
        index = faiss.IndexIDMap(index)
    rows = numpy.fromfile(case / "rows.f32", dtype="<f4").reshape(-1, index.d)
    index.add_with_ids(rows, numpy.fromfile(case / "ids.i64", dtype="<i8"))
    return index


def search(index: faiss.Index, queries: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    parameters = faiss.ParameterSpace()
    for name, value in (("nprobe", 8), ("efSearch", 64)):
        # A family without lists, or without a graph, has no such parameter.
        with contextlib.suppress(RuntimeError):
            parameters.set_index_parameter(index, name, value)
    return index.search(queries, NEIGHBOURS)


def differences(case: Path) -> str | None:
    facts = json.loads((case / "case.json").read_text())
    ours = faiss.read_index(str(case / "ours.index"))
    stock = stock_index(case, facts["idMap"])
    if ours.ntotal != stock.ntotal:
        return f"{facts['name']}: {ours.ntotal} rows instead of {stock.ntotal}"
    queries = numpy.fromfile(case / "queries.f32", dtype="<f4").reshape(-1, ours.d)
    our_distances, our_ids = search(ours, queries)
    stock_distances, stock_ids = search(stock, queries)
    with numpy.errstate(invalid="ignore"):
        scale = numpy.maximum(1, numpy.abs(stock_distances))
        far = ~(numpy.abs(our_distances - stock_distances) <= TOLERANCE * scale) & (our_ids != stock_ids)
    # Rows at the same distance may come in either order; anything else is another neighbour.
    share = far.mean()
    if share > MOST_OTHERS:
        return f"{facts['name']}: {share:.2%} of the neighbours differ"
    return None


def main() -> None:
    cases = sorted(path.parent for path in Path(sys.argv[1]).glob("*/case.json"))
    found = [line for line in map(differences, cases) if line]
    print(*found, sep="\n", end="\n" if found else "")
    print(len(cases) - len(found), "cases agree")
    sys.exit(1 if found or not cases else 0)


if __name__ == "__main__":
    main()
