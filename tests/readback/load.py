#!/usr/bin/env python3
"""Reads indexes with stock Faiss and searches them.

usage: load.py DIRECTORY

The directory is that of `compare.py`. Prints a line for every index that cannot be read or finds none, then "N
indexes answer". Exits with 1 when one does not.
"""

import contextlib
import json
from pathlib import Path

import faiss
import numpy
from cases import judge_all


def failure(case: Path) -> str | None:
    name = json.loads((case / "case.json").read_text())["name"]
    try:
        index = faiss.read_index(str(case / "ours.index"))
        ids = numpy.fromfile(case / "ids.i64", dtype="<i8")
        queries = numpy.fromfile(case / "queries.f32", dtype="<f4").reshape(-1, index.d)
        with contextlib.suppress(RuntimeError):
            # A family without lists has no such parameter; one of many lists may have nothing in the nearest.
            faiss.ParameterSpace().set_index_parameter(index, "nprobe", 4)
        found = index.search(queries, 10)[1]
    except RuntimeError as error:
        return f"{name}: {error}"
    if index.ntotal != len(ids):
        return f"{name}: {index.ntotal} rows instead of {len(ids)}"
    if (found[:, 0] == -1).any() or not numpy.isin(found[found != -1], ids).all():
        return f"{name}: found what is no id, or nothing"
    return None


if __name__ == "__main__":
    judge_all(failure, "indexes answer")
