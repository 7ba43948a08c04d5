//! The grammar of factory strings, as far as an index can be built from them.
//!
//! `[IDMap,][transform,…]base[,RFlat|,Refine(codes)][,IDMap]`; `index_factory.cpp` of Faiss is the reference. Whatever
//! is not understood here never reaches Faiss, which takes some strings for others.

use super::codes::{Codes, parse_codes};
use super::refused::reason_to_refuse;
use super::scanner::Scanner;
use crate::faiss_index::OuterIdMap;

/// The families that this version builds, as a reader would write them.
const SUPPORTED: &str = "Flat, SQ4|6|8|fp16|bf16, PQm[xb][np], PQmx4fs, RQm xb, PRQ, LSQ, PLSQ, LSHn, RaBitQ, \
     HNSWm[,codes], NSGr[,codes]; IVFn[_HNSWm|_NSGr],codes and IMI2xb,codes; all with PCAn, OPQm[_d], ITQ, RR, L2norm \
     or Padn before, and RFlat, Refine(codes) or IDMap after them";
/// What Faiss takes when the number of neighbours is left out.
const USUAL_DEGREE: u64 = 32;

/// A factory string that was understood, whatever the dimension.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Factory {
    /// What the string itself asks to be around the index.
    pub(super) id_map: OuterIdMap,
    pub(super) transforms: Vec<Transform>,
    pub(super) base: Base,
    /// The codes that refine the result.
    pub(super) refinement: Option<Codes>,
    /// The string without its id map.
    pub(super) inner: String,
}

/// What rows go through before they are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    Pca { output: u64 },
    Normalization,
    Rotation { output: Option<u64> },
    Itq { output: Option<u64> },
    Opq { subquantizers: u64, output: Option<u64> },
    Padding { output: u64 },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Base {
    Codes(Codes),
    Lists { coarse: Coarse, codes: Codes },
    Graph { kind: Graph, degree: u64, codes: Codes },
}

/// How the list of a row is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coarse {
    Flat {
        lists: u64,
    },
    Graph {
        kind: Graph,
        lists: u64,
        degree: u64,
    },
    /// Two halves of the dimensions with `2^bits` centroids each, and a list for every pair of centroids.
    Multi {
        bits: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Graph {
    Hnsw,
    Nsg,
}

impl Factory {
    /// Understands `text`, or says which part of it is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (id_map, inner) = split_id_map(text);
        let (searched, refinement) = split_refinement(inner)?;
        let mut tokens: Vec<&str> = searched.split(',').collect();
        let mut transforms = Vec::new();
        while let Some(transform) = tokens.first().filter(|_| tokens.len() > 1).and_then(|token| parse_transform(token))
        {
            transforms.push(transform);
            tokens.remove(0);
        }
        let base =
            parse_base(tokens.first().copied().unwrap_or_default(), &tokens.get(1..).unwrap_or_default().join(","))?;
        let factory = Self { id_map, transforms, base, refinement, inner: inner.to_owned() };
        factory.refuse_combinations()?;
        Ok(factory)
    }

    /// Refuses codes that Faiss does not know at their place.
    fn refuse_combinations(&self) -> Result<(), String> {
        match &self.base {
            Base::Codes(codes) => codes.refuse_without_lists()?,
            Base::Lists { codes, .. } => codes.refuse_in_lists()?,
            Base::Graph { codes: Codes::Flat | Codes::Scalar(_) | Codes::Product { .. }, .. } => (),
            Base::Graph { .. } => return Err("HNSW and NSG take Flat, SQ and PQ codes only".to_owned()),
        }
        let Some(refinement) = &self.refinement else { return Ok(()) };
        let is_random_access = match refinement {
            Codes::Flat | Codes::Scalar(_) | Codes::Product { .. } => true,
            Codes::Additive(additive) => !additive.is_local_search(),
            _ => false,
        };
        if !is_random_access {
            return Err("Refine(…) takes Flat, SQ, PQ, RQ and PRQ codes only".to_owned());
        }
        if matches!(self.base, Base::Lists { codes: Codes::Refined { .. }, .. }) {
            return Err("PQa+b refines already; leave out the second refinement".to_owned());
        }
        Ok(())
    }
}

pub(super) fn not_understood(part: &str) -> String {
    match reason_to_refuse(part) {
        Some(reason) => format!("'{part}': {reason}"),
        None => format!("'{part}' is not understood; this version builds {SUPPORTED}"),
    }
}

fn split_id_map(text: &str) -> (OuterIdMap, &str) {
    for (name, id_map) in [("IDMap2", OuterIdMap::Reversible), ("IDMap", OuterIdMap::Plain)] {
        let before = text.strip_suffix(name).and_then(|rest| rest.strip_suffix(','));
        let after = || text.strip_prefix(name).and_then(|rest| rest.strip_prefix(','));
        if let Some(inner) = before.or_else(after) {
            return (id_map, inner);
        }
    }
    (OuterIdMap::None, text)
}

fn split_refinement(text: &str) -> Result<(&str, Option<Codes>), String> {
    if let Some(searched) = text.strip_suffix(",RFlat") {
        return Ok((searched, Some(Codes::Flat)));
    }
    let Some((searched, codes)) = text.strip_suffix(')').and_then(|text| text.rsplit_once(",Refine(")) else {
        return Ok((text, None));
    };
    let codes = parse_codes(codes).ok_or_else(|| not_understood(codes))?;
    Ok((searched, Some(codes)))
}

fn parse_transform(token: &str) -> Option<Transform> {
    let mut scanner = Scanner::new(token);
    let transform = if scanner.eat("PCA") {
        scanner.eat("W");
        scanner.eat("R");
        Transform::Pca { output: scanner.number()? }
    } else if scanner.eat("L2norm") || scanner.eat("L2Norm") {
        Transform::Normalization
    } else if scanner.eat("RR") {
        Transform::Rotation { output: scanner.optional_number()? }
    } else if scanner.eat("ITQ") {
        Transform::Itq { output: scanner.optional_number()? }
    } else if scanner.eat("OPQ") {
        let subquantizers = scanner.number()?;
        let output = if scanner.eat("_") { Some(scanner.number()?) } else { None };
        Transform::Opq { subquantizers, output }
    } else if scanner.eat("Pad") {
        Transform::Padding { output: scanner.number()? }
    } else {
        return None;
    };
    scanner.is_done().then_some(transform)
}

fn parse_base(first: &str, rest: &str) -> Result<Base, String> {
    if let Some((kind, degree, storage)) = parse_graph(first) {
        let storage = match (storage, rest) {
            (None, "") => return Ok(Base::Graph { kind, degree, codes: Codes::Flat }),
            (None, rest) => rest,
            (Some(storage), "") => storage,
            (Some(_), rest) => return Err(not_understood(rest)),
        };
        let codes = parse_codes(storage).ok_or_else(|| not_understood(storage))?;
        return Ok(Base::Graph { kind, degree, codes });
    }
    if let Some(coarse) = parse_coarse(first) {
        if rest.is_empty() {
            return Err(format!("'{first}' needs codes after it, such as {first},Flat"));
        }
        let codes = parse_codes(rest).ok_or_else(|| not_understood(rest))?;
        return Ok(Base::Lists { coarse, codes });
    }
    if first.starts_with("IVF") && reason_to_refuse(first).is_none() {
        return Err(format!("'{first}' is not IVFn, IVFn_HNSWm or IVFn_NSGr with n of at least 1"));
    }
    let codes = parse_codes(first).ok_or_else(|| not_understood(first))?;
    match reason_to_refuse(rest) {
        None if rest.is_empty() => Ok(Base::Codes(codes)),
        None => Err(format!("'{rest}' cannot follow '{first}'")),
        Some(_) => Err(not_understood(rest)),
    }
}

/// `HNSW32`, `NSG32` and, after an underscore, their codes.
fn parse_graph(token: &str) -> Option<(Graph, u64, Option<&str>)> {
    let mut scanner = Scanner::new(token);
    let kind = eat_graph(&mut scanner)?;
    let degree = scanner.optional_number()?.unwrap_or(USUAL_DEGREE);
    match scanner.rest() {
        "" => Some((kind, degree, None)),
        rest => Some((kind, degree, Some(rest.strip_prefix('_')?))),
    }
}

fn eat_graph(scanner: &mut Scanner<'_>) -> Option<Graph> {
    if scanner.eat("HNSW") {
        Some(Graph::Hnsw)
    } else if scanner.eat("NSG") {
        Some(Graph::Nsg)
    } else {
        None
    }
}

fn parse_coarse(token: &str) -> Option<Coarse> {
    let mut scanner = Scanner::new(token);
    let coarse = if scanner.eat("IMI2x") {
        Coarse::Multi { bits: scanner.number()? }
    } else {
        if !scanner.eat("IVF") {
            return None;
        }
        let number = scanner.number()?;
        let unit = if scanner.eat("k") {
            1 << 10
        } else if scanner.eat("M") {
            1 << 20
        } else {
            1
        };
        let lists = number.checked_mul(unit)?;
        if scanner.eat("_") {
            let kind = eat_graph(&mut scanner)?;
            let degree = match kind {
                Graph::Hnsw => scanner.optional_number()?.unwrap_or(USUAL_DEGREE),
                Graph::Nsg => scanner.number()?,
            };
            Coarse::Graph { kind, lists, degree }
        } else {
            Coarse::Flat { lists }
        }
    };
    scanner.is_done().then_some(coarse)
}
