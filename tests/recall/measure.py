#!/usr/bin/env python3
"""Builds an index file with faiss-cpu and measures its recall there: what our evaluation is compared with.

Usage: measure.py DIRECTORY DIMENSION FACTORY METRIC DIAL VALUE...
Reads rows.f32, ids.i64 and queries.i64 (ids of the rows that are queries) from DIRECTORY, writes faiss.index there and
prints, for each VALUE of the DIAL (nprobe, efSearch or none), recall@1 and recall@10 as JSON.
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np

DEPTH = 10


def recall(truth: np.ndarray, found: np.ndarray, own: np.ndarray, k: int) -> float:
    shares = []
    for true_row, found_row, own_id in zip(truth, found, own, strict=True):
        wanted = [label for label in true_row if label != own_id][:k]
        got = [label for label in found_row if label not in (own_id, -1)][:k]
        shares.append(len(set(wanted) & set(got)) / len(wanted))
    return float(np.mean(shares))


def turn(index: faiss.Index, dial: str, value: int) -> None:
    if dial == "none":
        return
    while True:
        index = faiss.downcast_index(index)
        if isinstance(index, (faiss.IndexIDMap, faiss.IndexPreTransform)):
            index = index.index
        elif isinstance(index, faiss.IndexRefine):
            index = index.base_index
        else:
            break
    if dial == "nprobe":
        index.nprobe = value
    elif dial == "efSearch":
        index.hnsw.efSearch = value
    else:
        index.nsg.search_L = value


def main() -> None:
    directory, dimension, factory, metric, dial = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
    values = [int(value) for value in sys.argv[6:]]
    rows = np.fromfile(directory / "rows.f32", dtype="<f4").reshape(-1, dimension)
    ids = np.fromfile(directory / "ids.i64", dtype="<i8")
    own = np.fromfile(directory / "queries.i64", dtype="<i8")
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows.astype("f8"), axis=1, keepdims=True)
        rows = rows.astype("f4")
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    queries = rows[[np.flatnonzero(ids == query)[0] for query in own]]

    index = faiss.index_factory(dimension, factory, kind)
    index.train(rows)
    if "IVF" not in factory or "Refine" in factory or "RFlat" in factory:
        index = faiss.IndexIDMap(index)
    index.add_with_ids(rows, ids)
    faiss.write_index(index, str(directory / "faiss.index"))
    index = faiss.read_index(str(directory / "faiss.index"))

    _, exact = faiss.knn(queries, rows, DEPTH + 1, metric=kind)
    truth = ids[exact]
    points = []
    for value in values:
        turn(index, dial, value)
        _, found = index.search(queries, DEPTH + 1)
        points.append({"value": value, "1": recall(truth, found, own, 1), "10": recall(truth, found, own, 10)})
    print(json.dumps(points))


if __name__ == "__main__":
    main()
