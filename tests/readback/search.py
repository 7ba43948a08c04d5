#!/usr/bin/env python3
"""Reads an index with stock Faiss and prints what it finds.

usage: search.py INDEX QUERIES NEIGHBOURS NPROBE

QUERIES holds little-endian float32 rows of the index' dimension. Prints "faiss VERSION", "rows N", "dimension D" and
then, for every query, the ids of its neighbours, nearest first.
"""

import contextlib
import sys

import faiss
import numpy


def main() -> None:
    index_path, queries_path, neighbours, nprobe = sys.argv[1:]
    index = faiss.read_index(index_path)
    # A family without lists has no such parameter.
    with contextlib.suppress(RuntimeError):
        faiss.ParameterSpace().set_index_parameter(index, "nprobe", int(nprobe))
    queries = numpy.fromfile(queries_path, dtype="<f4").reshape(-1, index.d)
    _, ids = index.search(queries, int(neighbours))
    print("faiss", faiss.__version__)
    print("rows", index.ntotal)
    print("dimension", index.d)
    for row in ids:
        print(*row)


if __name__ == "__main__":
    main()
