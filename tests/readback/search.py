#!/usr/bin/env python3
"""Reads an index with stock Faiss and prints what it finds.

usage: search.py INDEX QUERIES NEIGHBOURS NPROBE

INDEX is a file, or a directory whose shards are searched as one index. QUERIES holds little-endian float32 rows of the
index' dimension. Prints "faiss VERSION", "rows N", "dimension D" and
then, for every query, the ids of its neighbours, nearest first.
"""

import contextlib
import sys
from pathlib import Path

import faiss
import numpy


def open_index(path: Path) -> tuple[faiss.Index, list[faiss.Index]]:
    """What is searched, and the indexes behind it, which have to stay referenced."""
    if path.is_file():
        index = faiss.read_index(str(path))
        return index, [index]
    parts = [faiss.read_index(str(file)) for file in sorted(path.glob("shard_*/faiss.index"))]
    shards = faiss.IndexShards(parts[0].d, False, False)
    for part in parts:
        shards.add_shard(part)
    return shards, parts


def main() -> None:
    index_path, queries_path, neighbours, nprobe = sys.argv[1:]
    index, parts = open_index(Path(index_path))
    for part in parts:
        # A family without lists has no such parameter.
        with contextlib.suppress(RuntimeError):
            faiss.ParameterSpace().set_index_parameter(part, "nprobe", int(nprobe))
    queries = numpy.fromfile(queries_path, dtype="<f4").reshape(-1, index.d)
    _, ids = index.search(queries, int(neighbours))
    print("faiss", faiss.__version__)
    print("rows", index.ntotal)
    print("dimension", index.d)
    for row in ids:
        print(*row)


if __name__ == "__main__":
    main()
