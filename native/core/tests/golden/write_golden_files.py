#!/usr/bin/env python3
"""Writes one small file per family of Faiss with the faiss that is installed, into <directory>/<version>/.

usage: write_golden_files.py native/core/tests/golden

Beside the files, expected.json says of each what Faiss itself says: class, dimension, rows, metric, lists and their
imbalance factor. The files in the repository were written by faiss-cpu 1.7.4 and 1.15.1.
"""

import functools
import json
import os
import pathlib
import re
import signal
import sys

import faiss
import numpy as np

DIMENSION = 8
ROWS = 300

# Name of the file, factory string, metric. A family that the installed version does not know is left out.
FAMILIES = [
    ("flat", "Flat", "l2"),
    ("flat_ip", "Flat", "ip"),
    ("flat_l1", "Flat", "l1"),
    ("flat_lp", "Flat", "lp"),
    ("sq8", "SQ8", "l2"),
    ("sqfp16", "SQfp16", "l2"),
    ("sqbf16", "SQbf16", "l2"),
    ("pq", "PQ2x4np", "l2"),
    ("pq_polysemous", "PQ2x4", "l2"),
    ("pq_fast_scan", "PQ4x4fs", "l2"),
    ("pq_fast_scan_block", "PQ4x4fs_64", "l2"),
    ("rq", "RQ2x4", "l2"),
    ("rq_norms", "RQ2x4_Nrq2x4", "l2"),
    ("lsq", "LSQ2x4", "l2"),
    ("prq", "PRQ2x2x4", "l2"),
    ("plsq", "PLSQ2x2x4", "l2"),
    ("rq_fast_scan", "RQ4x4fs_32_Nrq2x4", "l2"),
    ("lsq_fast_scan", "LSQ4x4fs_32_Nlsq2x4", "l2"),
    ("prq_fast_scan", "PRQ2x2x4fs_32_Nrq2x4", "l2"),
    ("plsq_fast_scan", "PLSQ2x2x4fs_32_Nlsq2x4", "l2"),
    ("lsh", "LSHrt", "l2"),
    ("lattice", "ZnLattice2x10_4", "l2"),
    ("rabitq", "RaBitQ", "l2"),
    ("rabitq4", "RaBitQ4", "l2"),
    ("rabitq_fast_scan", "RaBitQfs", "l2"),
    ("eden", "EDEN2", "l2"),
    ("eden_biased", "EDEN2BIASED", "l2"),
    ("turboquant", "SQtqmse4", "l2"),
    ("flat_panorama", "FlatL2Panorama4", "l2"),
    ("flat_ip_panorama", "FlatIPPanorama4", "ip"),
    ("refine_panorama", "PQ2x4np,RefinePanorama(Flat)", "l2"),
    ("hnsw", "HNSW4", "l2"),
    ("hnsw_sq", "HNSW4,SQ8", "l2"),
    ("hnsw_pq", "HNSW4,PQ2np", "l2"),
    ("hnsw_2level", "HNSW4_4+PQ2", "l2"),
    ("hnsw_panorama", "HNSW4,FlatPanorama4", "l2"),
    ("nsg", "NSG4", "l2"),
    ("nsg_sq", "NSG4,SQ8", "l2"),
    ("nsg_pq", "NSG4,PQ2np", "l2"),
    ("ivf_flat", "IVF4,Flat", "l2"),
    ("ivf_flat_sparse", "IVF64,Flat", "l2"),
    ("ivf_flat_dedup", "IVF4,FlatDedup", "l2"),
    ("ivf_flat_panorama", "IVF4,FlatPanorama4", "l2"),
    ("ivf_sq8", "IVF4,SQ8", "ip"),
    ("ivf_pq", "IVF4,PQ2x4np", "l2"),
    ("ivf_pq_refined", "IVF4,PQ2+2", "l2"),
    ("ivf_pq_fast_scan", "IVF4,PQ4x4fs", "l2"),
    ("ivf_pq_fast_scan_residual", "IVF4,PQ4x4fsr", "l2"),
    ("ivf_rq", "IVF4,RQ2x4", "l2"),
    ("ivf_lsq", "IVF4,LSQ2x4", "l2"),
    ("ivf_prq", "IVF4,PRQ2x2x4", "l2"),
    ("ivf_plsq", "IVF4,PLSQ2x2x4", "l2"),
    ("ivf_rq_fast_scan", "IVF4,RQ4x4fs_32_Nrq2x4", "l2"),
    ("ivf_lsq_fast_scan", "IVF4,LSQ4x4fs_32_Nlsq2x4", "l2"),
    ("ivf_prq_fast_scan", "IVF4,PRQ2x2x4fs_32_Nrq2x4", "l2"),
    ("ivf_plsq_fast_scan", "IVF4,PLSQ2x2x4fs_32_Nlsq2x4", "l2"),
    ("ivf_spectral_hash", "IVF4,ITQ8,SH2.5", "l2"),
    ("ivf_rabitq", "IVF4,RaBitQ", "l2"),
    ("ivf_rabitq4", "IVF4,RaBitQ4", "l2"),
    ("ivf_rabitq_fast_scan", "IVF4,RaBitQfs", "l2"),
    ("ivf_eden", "IVF4,EDEN2", "l2"),
    ("ivf_hnsw", "IVF4_HNSW4,Flat", "l2"),
    ("ivf_nsg", "IVF128_NSG4,Flat", "l2"),
    ("ivf_of_refined", "IVF32(PQ2x4np,RFlat),Flat", "l2"),
    ("ivf_residual_coarse", "IVF16(RCQ2x2),Flat", "l2"),
    ("imi", "IMI2x3,Flat", "l2"),
    ("opq_ivf_pq", "OPQ2,IVF4,PQ2x4np", "l2"),
    ("opq_reduced", "OPQ2_4,PQ2x4np", "l2"),
    ("pca", "PCA4,Flat", "l2"),
    ("pca_whitened", "PCAWR4,SQ8", "l2"),
    ("itq_lsh", "ITQ4,LSH", "l2"),
    ("normalised", "L2norm,Flat", "ip"),
    ("rotated", "RR4,Flat", "l2"),
    ("hadamard", "HR8,Flat", "l2"),
    ("padded", "Pad12,PQ4x4np", "l2"),
    ("refine_flat", "PQ2x4np,RFlat", "l2"),
    ("refine_sq", "IVF4,PQ2x4np,Refine(SQ8)", "l2"),
    ("id_map", "IDMap,Flat", "l2"),
    ("id_map2", "IDMap2,SQ8", "l2"),
    ("id_map_ivf", "IDMap,OPQ2,IVF4,PQ2x4np", "l2"),
    ("min_max", "MinMax,SQ8", "l2"),
    ("min_max_fp16", "MinMaxFP16,SQ8", "l2"),
    ("residual", "Residual4,PQ2", "l2"),
]

BINARY_FAMILIES = [
    ("binary_flat", "BFlat"),
    ("binary_ivf", "BIVF4"),
    ("binary_hnsw", "BHNSW4"),
    ("binary_hash", "BHash8"),
    ("binary_multi_hash", "BHash2x8"),
]

METRICS = {
    "l2": faiss.METRIC_L2,
    "ip": faiss.METRIC_INNER_PRODUCT,
    "l1": faiss.METRIC_L1,
    "lp": faiss.METRIC_Lp,
}


def vectors(dimension=DIMENSION):
    return np.random.RandomState(7).rand(ROWS, dimension).astype("float32")


def ids():
    return np.arange(ROWS, dtype="int64") * 3 + 1_000_000_007


def add(index):
    """Rows under ids where the class takes them, else in order; some classes take none."""
    for attempt in (lambda: index.add_with_ids(vectors(index.d), ids()), lambda: index.add(vectors(index.d))):
        try:
            attempt()
            return
        except (RuntimeError, AssertionError):
            continue


def build(factory, metric, dimension=DIMENSION):
    index = faiss.index_factory(dimension, factory, METRICS[metric])
    if metric == "lp":
        index.metric_arg = 3.5
    index.train(vectors(dimension))
    # Only ids below the number of rows work with a second code by position.
    if "+2" in factory:
        index.add(vectors())
    else:
        add(index)
    return index


def expected(index, factory):
    facts = {
        "factory": factory,
        "type": type(faiss.downcast_index(index)).__name__ if isinstance(index, faiss.Index) else type(index).__name__,
        "dimension": index.d,
        "rows": index.ntotal,
        "metric": index.metric_type,
        "trained": bool(index.is_trained),
    }
    try:
        ivf = faiss.extract_index_ivf(index)
        facts["nlist"] = ivf.nlist
        facts["sizes"] = [ivf.invlists.list_size(number) for number in range(ivf.nlist)]
        facts["imbalance"] = ivf.invlists.imbalance_factor()
        facts["codeSize"] = ivf.code_size
    except (RuntimeError, AttributeError, TypeError):
        pass
    return facts


def with_direct_map():
    index = build("IVF4,Flat", "l2")
    index.set_direct_map_type(faiss.DirectMap.Hashtable)
    return index, "IVF4,Flat"


def on_disk():
    index = build("IVF4,Flat", "l2")
    lists = faiss.OnDiskInvertedLists(index.nlist, index.code_size, "ondisk.ivfdata")
    for number in range(index.nlist):
        size = index.invlists.list_size(number)
        lists.add_entries(number, size, index.invlists.get_ids(number), index.invlists.get_codes(number))
    index.replace_invlists(lists, True)
    lists.this.disown()
    pathlib.Path("ondisk.ivfdata").unlink()
    return index, "IVF4,Flat"


def nn_descent():
    index = faiss.IndexNNDescentFlat(DIMENSION, 8)
    index.add(vectors())
    return index, "NNDescent8"


def centered():
    index = faiss.IndexPreTransform(faiss.IndexFlatL2(DIMENSION))
    index.prepend_transform(faiss.CenteringTransform(DIMENSION))
    index.train(vectors())
    index.add(vectors())
    return index, "Centering,Flat"


# What no factory string makes. The packed codes stand beside the same codes one after the other.
EXTRAS = {
    "ivf_direct_map": with_direct_map,
    "ivf_on_disk": on_disk,
    "nn_descent": nn_descent,
    "centered": centered,
    "empty": lambda: (faiss.IndexFlatL2(DIMENSION), "Flat"),
    "lists_flat": lambda: (build("IVF4,PQ4x4np", "l2"), "IVF4,PQ4x4np"),
    "lists_packed": lambda: (faiss.IndexIVFPQFastScan(build("IVF4,PQ4x4np", "l2")), "IVF4,PQ4x4fs"),
    "codes_flat": lambda: (build("PQ3x4np", "l2", 9), "PQ3x4np"),
    "codes_packed": lambda: (faiss.IndexPQFastScan(build("PQ3x4np", "l2", 9)), "PQ3x4fs"),
    "codes_packed_64": lambda: (faiss.IndexPQFastScan(build("PQ3x4np", "l2", 9), 64), "PQ3x4fs_64"),
}


def in_child(work):
    """What `work` returns as JSON; a crash of Faiss ends a child only."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            answer = json.dumps({"facts": work()})
        except (RuntimeError, AssertionError, AttributeError, TypeError) as error:
            answer = json.dumps({"error": re.sub(r"\s+", " ", str(error))[-120:]})
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer or '{"error": "Faiss crashed or took too long"}')


def write(directory, name, factory, metric):
    index = build(factory, metric)
    faiss.write_index(index, str(directory / f"{name}.index"))
    return expected(index, factory)


def write_binary(directory, name, factory):
    index = faiss.index_binary_factory(64, factory)
    rows = np.random.RandomState(7).randint(0, 256, (ROWS, 8)).astype("uint8")
    index.train(rows)
    index.add(rows)
    faiss.write_index_binary(index, str(directory / f"{name}.index"))
    return expected(index, factory)


def write_extra(directory, name, make):
    index, factory = make()
    faiss.write_index(index, str(directory / f"{name}.index"))
    return expected(index, factory)


def main():
    directory = pathlib.Path(sys.argv[1]) / faiss.__version__
    directory.mkdir(parents=True, exist_ok=True)
    os.chdir(directory)
    directory = pathlib.Path()
    work = [(name, functools.partial(write, directory, name, *rest)) for name, *rest in FAMILIES]
    work += [(name, functools.partial(write_binary, directory, name, factory)) for name, factory in BINARY_FAMILIES]
    work += [(name, functools.partial(write_extra, directory, name, make)) for name, make in EXTRAS.items()]
    facts = {}
    for name, job in work:
        answer = in_child(job)
        if "facts" in answer:
            facts[name] = answer["facts"]
        else:
            print(f"faiss {faiss.__version__} does not write {name}: {answer['error']}")
            (directory / f"{name}.index").unlink(missing_ok=True)
    with (directory / "expected.json").open("w") as file:
        json.dump(facts, file, indent=1, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    main()
