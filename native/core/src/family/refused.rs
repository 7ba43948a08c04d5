//! Families that Faiss has and that are not built, by name, with the reason and the alternative.

/// Names, and why an index of that name is not built. The longer of two names comes first.
pub(crate) const REFUSED: [(&str, &str); 24] = [
    ("BFlat", BINARY),
    ("BIVF", BINARY),
    ("BHNSW", BINARY),
    ("BHash", BINARY),
    ("FlatDedup", "it keeps equal vectors once, in a table that a merge loses; use IVFn,Flat"),
    ("FlatPanorama", NEWER),
    ("FlatL2Panorama", NEWER),
    ("FlatIPPanorama", NEWER),
    ("RefinePanorama", NEWER),
    ("Residual", "Faiss can store but not search a two-layer code without lists; use IVFn,PQm"),
    ("MinMaxFP16", CODEC),
    ("MinMax", CODEC),
    ("ZnLattice", "Faiss leaves the codes out of the file; use PQm or SQ8"),
    ("RCQ", COARSE),
    ("LSCQ", COARSE),
    ("SVS", "this Faiss is built without SVS; use HNSWm or IVFn_HNSWm,Flat"),
    ("RaBitQfs", NEWER),
    ("RaBitQ", NEWER),
    ("EDEN", NEWER),
    ("SQ0", NEWER),
    ("SQtq", NEWER),
    ("HR", NEWER),
    ("SH", "it stands after IVFn, and ITQ or PCA, with inverted lists only: IVFn,ITQ,SH"),
    ("IDMap", "the id map stands once, at the beginning or at the end of the whole string"),
];

const BINARY: &str = "binary indexes store bits, and rows are floats; use LSHn, or IVFn,ITQ,SH with lists";
const NEWER: &str = "Faiss 1.12.0, which is built in, does not know it";
const CODEC: &str = "Faiss can encode with it but not add rows to it; use SQ8";
const COARSE: &str = "it quantizes centroids and takes no rows; use RQ or LSQ";

/// Why the family that `part` of a factory string names is not built, if it is one that Faiss has.
pub(super) fn reason_to_refuse(part: &str) -> Option<&'static str> {
    if part.starts_with("IVF") && part.contains('(') {
        return Some("a coarse quantizer in parentheses is not supported; use IVFn, IVFn_HNSWm or IVFn_NSGr");
    }
    if part.contains("+PQ") {
        return Some("a graph over two-layer codes is not supported; use HNSWm,PQm");
    }
    if part.contains("_Ncqint") {
        // kmeans1d.cpp: with fewer distinct norms than clusters, the last one begins at row 0, and the sum of the next
        // runs beyond the rows.
        return Some("Faiss trains these norms by a clustering that crashes when norms repeat; use _Nqint8 or _Nqint4");
    }
    if part.starts_with("RFlat") || part.starts_with("Refine(") {
        return Some("one refinement stands at the end of the string, after the index that it refines");
    }
    REFUSED.iter().find(|(name, _)| part.starts_with(name)).map(|(_, reason)| *reason)
}
