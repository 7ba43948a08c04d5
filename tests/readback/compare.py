#!/usr/bin/env python3
"""Compares indexes of ours with those that stock Faiss makes of the same trained index and the same rows.

usage: compare.py DIRECTORY

Every subdirectory holds one case: `trained.index` (no rows), `ours.index`, `rows.f32`, `queries.f32` (little-endian,
as the index sees them), `ids.i64` (in the order of the rows) and `case.json` with `name` and `idMap`: none, IDMap or
IDMap2, which is around the index. Prints a line per case that differs, then "N cases agree". Exits with 1 when one
differs.

Neighbours agree when a row that both indexes find is at the same distance in both, and a row that only one finds is
as far as the last one of the other: then the order differs among rows at the same distance at most. Where one index
finds fewer, as many of the other are compared, and the rest differs. How much distances may differ is in TOLERANCES.
"""

import contextlib
import json
import re
from pathlib import Path

import faiss
import numpy
from cases import judge_all

NEIGHBOURS = 10

# By how much of the largest distance of a query two distances may differ, and by how much whatever the distances; the
# first pattern that is found counts.
TOLERANCES = (
    # Numbers of 8 bits, and of 11: a component between two of them is rounded up by one version of Faiss and down by
    # another.
    ("SQbf16", 2e-3, 0.0),
    ("SQfp16", 4e-4, 0.0),
    # A component of a rotated row is known to single precision. Between two values of the quantizer it falls to the
    # other side.
    ("(PCA|RR|ITQ|OPQ).*SQ[468]", 1e-2, 0.0),
    # The factors of a row are sums whose order depends on the version.
    ("RaBitQ", 3e-4, 0.0),
    # A component that equals the threshold of its bit, as the median of the training rows does: one bit of sixteen.
    ("SH-1e5m", 0.0, 1.0),
    # Single precision, summed up in another order by another kernel.
    ("", 2e-6, 0.0),
)
# Shares of all neighbours that may be others; the first pattern that is found counts.
MOST_OTHERS = (
    # Versions of Faiss link rows of HNSW otherwise, and a few rows cannot be reached through the links of one of them.
    ("HNSW.*(ip|cosine) ", 0.025),
    # One in 600: a row between two codewords, which another processor's kernel gives the other one.
    ("", 0.002),
)
# Through all of a graph, and for enough candidates that equal codes do not decide which of them are refined. Not more
# lists than there are: Faiss reads memory that nothing was written to then, with residuals in fast scan.
LISTS = 4
REFINED = 20


def searched_first(index: faiss.Index) -> faiss.Index:
    """The index inside whatever stands around it."""
    index = faiss.downcast_index(index)
    if isinstance(index, (faiss.IndexPreTransform, faiss.IndexIDMap)):
        return searched_first(index.index)
    return searched_first(index.base_index) if isinstance(index, faiss.IndexRefine) else index


def first_match(patterns: tuple[tuple, ...], name: str) -> list[float]:
    return next(values for pattern, *values in patterns if re.search(pattern, name))


def stock_index(case: Path, id_map: str) -> faiss.Index:
    index = faiss.read_index(str(case / "trained.index"))
    graph = searched_first(index)
    if isinstance(graph, faiss.IndexNSGPQ):
        # Training makes this table, reading does not.
        faiss.downcast_index(graph.storage).pq.compute_sdc_table()
    outer = {"none": lambda inner: inner, "IDMap": faiss.IndexIDMap, "IDMap2": faiss.IndexIDMap2}[id_map](index)
    rows = numpy.fromfile(case / "rows.f32", dtype="<f4").reshape(-1, index.d)
    outer.add_with_ids(rows, numpy.fromfile(case / "ids.i64", dtype="<i8"))
    return outer


def search(index: faiss.Index, queries: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    parameters = faiss.ParameterSpace()
    graph = searched_first(index)
    if isinstance(graph, faiss.IndexNSG):
        graph.nsg.search_L = index.ntotal
    for name, value in (("nprobe", LISTS), ("efSearch", index.ntotal), ("k_factor_rf", REFINED)):
        # A family without lists, a graph or a refinement has no such parameter.
        with contextlib.suppress(RuntimeError):
            parameters.set_index_parameter(index, name, value)
    return index.search(queries, NEIGHBOURS)


def others(ours: dict[int, float], theirs: dict[int, float], share: float, absolute: float) -> int:
    """How many of `ours` are not among `theirs`, or at another distance."""
    common, found_by_one = min(len(ours), len(theirs)), abs(len(ours) - len(theirs))
    if common == 0:
        return found_by_one
    tolerance = share * max(map(abs, theirs.values())) + absolute
    last = list(theirs.values())[common - 1]
    compared = list(ours.items())[:common]
    return found_by_one + sum(abs(distance - theirs.get(row, last)) > tolerance for row, distance in compared)


def difference(case: Path) -> str | None:
    facts = json.loads((case / "case.json").read_text())
    name = facts["name"]
    ours = faiss.read_index(str(case / "ours.index"))
    stock = stock_index(case, facts["idMap"])
    if ours.ntotal != stock.ntotal:
        return f"{name}: {ours.ntotal} rows instead of {stock.ntotal}"
    queries = numpy.fromfile(case / "queries.f32", dtype="<f4").reshape(-1, ours.d)
    tolerance = first_match(TOLERANCES, name)
    count = 0
    for found in zip(*search(ours, queries), *search(stock, queries), strict=True):
        our_distances, our_ids, stock_distances, stock_ids = found
        pairs = ((our_ids, our_distances), (stock_ids, stock_distances))
        first, second = ({row: float(at) for row, at in zip(*pair, strict=True) if row != -1} for pair in pairs)
        count += max(others(first, second, *tolerance), others(second, first, *tolerance))
    (most_others,) = first_match(MOST_OTHERS, name)
    if count > most_others * len(queries) * NEIGHBOURS:
        return f"{name}: {count} of {len(queries) * NEIGHBOURS} neighbours differ"
    return None


if __name__ == "__main__":
    judge_all(difference, "cases agree")
