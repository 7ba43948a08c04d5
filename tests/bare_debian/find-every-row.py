#!/usr/bin/env python3
"""Check with stock Faiss that an index returns, for every row that it was built from, the id of that row."""

import sys
from pathlib import Path

import faiss
import numpy as np

directory = Path(sys.argv[1])
ids = np.fromfile(directory / "ids.int64", np.int64)
vectors = np.fromfile(directory / "vectors.float32", np.float32).reshape(len(ids), -1)
index = faiss.read_index(str(directory / "index" / "faiss.index"))
if index.ntotal != len(ids) or index.d != vectors.shape[1]:
    sys.exit(f"the index has {index.ntotal} rows of {index.d} dimensions, expected {vectors.shape}")

inverted_lists = faiss.extract_index_ivf(index)
inverted_lists.nprobe = inverted_lists.nlist
_, found = index.search(vectors, 1)
wrong = np.count_nonzero(found[:, 0] != ids)
if wrong:
    sys.exit(f"faiss-cpu {faiss.__version__} finds another id for {wrong} of {len(ids)} rows")
print(f"faiss-cpu {faiss.__version__} finds the right id for each of {len(ids)} rows")
