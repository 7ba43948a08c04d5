#!/usr/bin/env python3
"""Measures the recall of published index files with faiss-cpu: what `faiss-indexer evaluate` is compared with.

Usage: plain.py DIRECTORY DIMENSION METRIC DIAL VALUES KS INDEX...
Reads rows.f32, ids.i64 and queries.f32 from DIRECTORY. Several INDEX files are shards. VALUES and KS are lists with
commas. Prints, for each value of the DIAL (nprobe, efSearch or none), a list with the recall at each k, as JSON.
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np
from measure import turn


def scaled(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows.astype("f8"), axis=1, keepdims=True)).astype("f4")


def main() -> None:
    directory, dimension, metric, dial = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]
    values, ks = ([int(number) for number in text.split(",")] for text in sys.argv[5:7])
    rows = np.fromfile(directory / "rows.f32", dtype="<f4").reshape(-1, dimension)
    queries = np.fromfile(directory / "queries.f32", dtype="<f4").reshape(-1, dimension)
    ids = np.fromfile(directory / "ids.i64", dtype="<i8")
    if metric == "cosine":
        rows, queries = scaled(rows), scaled(queries)
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    shards = [faiss.read_index(path) for path in sys.argv[7:]]
    index = shards[0]
    if len(shards) > 1:
        index = faiss.IndexShards(dimension, False, False)
        for shard in shards:
            index.add_shard(shard)

    truth = ids[faiss.knn(queries, rows, max(ks), metric=kind)[1]]
    points = []
    for value in values:
        for shard in shards:
            turn(shard, dial, value)
        found = index.search(queries, max(ks))[1]
        pairs = list(zip(truth, found, strict=True))
        points.append([float(np.mean([len(set(t[:k]) & set(f[:k])) / k for t, f in pairs])) for k in ks])
    print(json.dumps(points))


if __name__ == "__main__":
    main()
