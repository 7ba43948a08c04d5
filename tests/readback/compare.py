#!/usr/bin/env python3
"""MEASURE"""
import contextlib, json, sys
from pathlib import Path
import faiss, numpy
NEIGHBOURS=10

def set_params(index):
    p = faiss.ParameterSpace()
    for name, value in (("nprobe", 8), ("efSearch", 64)):
        with contextlib.suppress(RuntimeError):
            p.set_index_parameter(index, name, value)

def stock_index(case, id_map):
    index = faiss.read_index(str(case / "trained.index"))
    if id_map == "IDMap":
        index = faiss.IndexIDMap(index)
    elif id_map == "IDMap2":
        index = faiss.IndexIDMap2(index)
    rows = numpy.fromfile(case / "rows.f32", dtype="<f4").reshape(-1, index.d)
    index.add_with_ids(rows, numpy.fromfile(case / "ids.i64", dtype="<i8"))
    return index

def measure(case):
    facts = json.loads((case / "case.json").read_text())
    out=[facts["name"]]
    try:
        ours = faiss.read_index(str(case / "ours.index"))
    except RuntimeError as e:
        return "READFAIL "+facts["name"]+" "+str(e)[:300]
    try:
        stock = stock_index(case, facts["idMap"])
    except RuntimeError as e:
        return "STOCKFAIL "+facts["name"]+" "+str(e)[:300]
    q = numpy.fromfile(case / "queries.f32", dtype="<f4").reshape(-1, ours.d)
    set_params(ours); set_params(stock)
    a = faiss.serialize_index(ours); b = faiss.serialize_index(stock)
    same = "bytes-same" if len(a)==len(b) and (a==b).all() else "bytes-%d-%d-diff%d" % (len(a), len(b), (a[:min(len(a),len(b))]!=b[:min(len(a),len(b))]).sum())
    try:
        D1,I1=ours.search(q,NEIGHBOURS); D2,I2=stock.search(q,NEIGHBOURS)
    except RuntimeError as e:
        return "SEARCHFAIL "+facts["name"]+" "+str(e)[:300]
    differ=(I1!=I2).sum()
    with numpy.errstate(all="ignore"):
        rel=numpy.abs(D1-D2)/numpy.maximum(1e-30,numpy.abs(D2))
    rel[(I1==-1)&(I2==-1)]=0
    return "%-45s %s ids differ %d of %d (-1: %d) maxrel %.2e" % (facts["name"], same, differ, I1.size, (I1==-1).sum(), rel.max())
for c in sorted(p.parent for p in Path(sys.argv[1]).glob("*/case.json")):
    print(measure(c), file=open("/tmp/w/h10d/measure.txt","a"))
print("0 cases agree")
