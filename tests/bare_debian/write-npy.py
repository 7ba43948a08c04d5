#!/usr/bin/env python3
"""Write the rows that an index was built from as .npy files, for the command line program."""

import sys
from pathlib import Path

import numpy as np

directory = Path(sys.argv[1])
ids = np.fromfile(directory / "ids.int64", np.int64)
vectors = np.fromfile(directory / "vectors.float32", np.float32).reshape(len(ids), -1)
np.save(directory / "ids.npy", ids)
np.save(directory / "vectors.npy", vectors)
