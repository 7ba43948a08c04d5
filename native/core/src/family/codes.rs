//! What a factory string says about the code of a row.

use super::scanner::Scanner;

/// Rows per block of fast-scan codes when the string names none.
const USUAL_BLOCK_ROWS: u64 = 32;

/// How a row is stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Codes {
    Flat,
    Scalar(Scalar),
    Product {
        subquantizers: u64,
        bits: u64,
        polysemous: bool,
    },
    ProductFastScan {
        subquantizers: u64,
        fast_scan: FastScan,
    },
    /// `PQa+b`: a second product quantizer for what the first leaves over.
    Refined {
        first: u64,
        second: u64,
    },
    Additive(Additive),
    AdditiveFastScan {
        additive: Additive,
        fast_scan: FastScan,
    },
    Lsh {
        bits: Option<u64>,
        rotated: bool,
        thresholds: bool,
    },
    SpectralHash {
        bits: Option<u64>,
        transform: HashTransform,
        medians: bool,
    },
    RaBitQ,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    /// A range of values per dimension, found in training.
    Ranged,
    /// 16-bit floats.
    Half,
    /// The component itself as one byte.
    Direct,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FastScan {
    pub(super) block_rows: u64,
    /// Stores what the centroid of the list leaves over.
    pub(super) residual: bool,
}

/// A sum of codewords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Additive {
    pub(super) search: CodewordSearch,
    /// Equal parts of the dimensions, each with codebooks of its own.
    pub(super) splits: u64,
    /// Bits of each codebook of a part.
    pub(super) bits: Vec<u64>,
    pub(super) norm: Norm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodewordSearch {
    /// RQ: one codebook after the other.
    Residual,
    /// LSQ: all at once, starting from random codes, which depend on the rows that are encoded together.
    Local,
}

impl Additive {
    pub(super) fn is_local_search(&self) -> bool {
        self.search == CodewordSearch::Local
    }
}

/// What is stored of the length of a row beside its codewords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Norm {
    /// Nothing was said; Faiss computes it from the codewords.
    Unstated,
    None,
    Plain,
    /// Two 4-bit codewords.
    FastScan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashTransform {
    Itq,
    Pca,
}

impl Codes {
    pub(super) fn is_local_search(&self) -> bool {
        match self {
            Self::Additive(additive) | Self::AdditiveFastScan { additive, .. } => additive.is_local_search(),
            _ => false,
        }
    }

    pub(super) fn refuse_without_lists(&self) -> Result<(), String> {
        match self {
            Self::Refined { first, second } => Err(format!(
                "PQ{first}+{second} goes with inverted lists only: IVFn,PQ{first}+{second}; without lists, use \
                 PQ{first},Refine(PQ{second})"
            )),
            Self::SpectralHash { .. } => Err("SH goes with inverted lists only: IVFn,ITQ,SH".to_owned()),
            Self::ProductFastScan { fast_scan: FastScan { residual: true, .. }, .. }
            | Self::AdditiveFastScan { fast_scan: FastScan { residual: true, .. }, .. } => {
                Err("'r' after x4fs goes with inverted lists only".to_owned())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn refuse_in_lists(&self) -> Result<(), String> {
        match self {
            Self::Lsh { .. } => Err("LSH does not go with inverted lists; use IVFn,ITQ,SH".to_owned()),
            Self::Scalar(Scalar::Direct) => {
                Err("SQ8_direct cannot store what a list's centroid leaves over of a row; use SQ8".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Understands the whole of `text`.
pub(super) fn parse_codes(text: &str) -> Option<Codes> {
    let simple = match text {
        "Flat" => Some(Codes::Flat),
        "SQ4" | "SQ6" | "SQ8" => Some(Codes::Scalar(Scalar::Ranged)),
        "SQfp16" | "SQbf16" => Some(Codes::Scalar(Scalar::Half)),
        "SQ8_direct" | "SQ8_direct_signed" => Some(Codes::Scalar(Scalar::Direct)),
        "RaBitQ" => Some(Codes::RaBitQ),
        _ => None,
    };
    let parsers = [parse_product, parse_product_fast_scan, parse_additive, parse_lsh, parse_spectral_hash];
    simple.or_else(|| parsers.iter().find_map(|parse| parse(Scanner::new(text))))
}

/// `PQm[xb][np]` and `PQa+b`.
fn parse_product(mut scanner: Scanner<'_>) -> Option<Codes> {
    const USUAL_BITS: u64 = 8;
    if !scanner.eat("PQ") {
        return None;
    }
    let subquantizers = scanner.number()?;
    let codes = if scanner.eat("+") {
        Codes::Refined { first: subquantizers, second: scanner.number()? }
    } else {
        let bits = if scanner.eat("x") { scanner.number()? } else { USUAL_BITS };
        let polysemous = !scanner.eat("np");
        Codes::Product { subquantizers, bits, polysemous }
    };
    scanner.is_done().then_some(codes)
}

/// `PQmx4fs[r][_rows]`.
fn parse_product_fast_scan(mut scanner: Scanner<'_>) -> Option<Codes> {
    if !scanner.eat("PQ") {
        return None;
    }
    let subquantizers = scanner.number()?;
    let fast_scan = parse_fast_scan(&mut scanner)?;
    scanner.is_done().then_some(Codes::ProductFastScan { subquantizers, fast_scan })
}

fn parse_fast_scan(scanner: &mut Scanner<'_>) -> Option<FastScan> {
    if !scanner.eat("x4fs") {
        return None;
    }
    let residual = scanner.eat("r");
    let names_rows =
        scanner.rest().strip_prefix('_').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let block_rows = if names_rows && scanner.eat("_") { scanner.number()? } else { USUAL_BLOCK_ROWS };
    Some(FastScan { block_rows, residual })
}

/// `RQmxb[_mxb…]`, `LSQmxb`, `PRQsxmxb`, `PLSQsxmxb`, with a suffix for the norm; `x4fs` in place of the last `xb`.
fn parse_additive(mut scanner: Scanner<'_>) -> Option<Codes> {
    const FAST_SCAN_BITS: u64 = 4;
    /// More codebooks than any vector has use for.
    const MOST_CODEBOOKS: u64 = 4096;
    let is_product = scanner.eat("P");
    let search = if scanner.eat("RQ") {
        CodewordSearch::Residual
    } else if scanner.eat("LSQ") {
        CodewordSearch::Local
    } else {
        return None;
    };
    let splits = if is_product { Some(scanner.number()?).filter(|_| scanner.eat("x"))? } else { 1 };
    let mut bits = Vec::new();
    let mut fast_scan = None;
    loop {
        let count = usize::try_from(scanner.number().filter(|count| *count <= MOST_CODEBOOKS)?).ok()?;
        if bits.is_empty() && scanner.rest().starts_with("x4fs") {
            fast_scan = parse_fast_scan(&mut scanner);
            bits.resize(count, FAST_SCAN_BITS);
            break;
        }
        if !scanner.eat("x") {
            return None;
        }
        let width = scanner.number()?;
        bits.resize(bits.len() + count, width);
        let may_go_on = !is_product && search == CodewordSearch::Residual;
        let goes_on =
            scanner.rest().strip_prefix('_').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !(may_go_on && goes_on && scanner.eat("_")) {
            break;
        }
    }
    let norm = parse_norm(&mut scanner);
    if !scanner.is_done() {
        return None;
    }
    let additive = Additive { search, splits, bits, norm };
    Some(match fast_scan {
        Some(fast_scan) => Codes::AdditiveFastScan { additive, fast_scan },
        None => Codes::Additive(additive),
    })
}

fn parse_norm(scanner: &mut Scanner<'_>) -> Norm {
    const NORMS: [(&str, Norm); 6] = [
        ("_Nnone", Norm::None),
        ("_Nfloat", Norm::Plain),
        ("_Nqint8", Norm::Plain),
        ("_Nqint4", Norm::Plain),
        ("_Nlsq2x4", Norm::FastScan),
        ("_Nrq2x4", Norm::FastScan),
    ];
    NORMS.iter().find(|(name, _)| scanner.eat(name)).map_or(Norm::Unstated, |(_, norm)| *norm)
}

/// `LSH[n][r][t]`.
fn parse_lsh(mut scanner: Scanner<'_>) -> Option<Codes> {
    if !scanner.eat("LSH") {
        return None;
    }
    let bits = scanner.optional_number()?;
    let (rotated, thresholds) = (scanner.eat("r"), scanner.eat("t"));
    scanner.is_done().then_some(Codes::Lsh { bits, rotated, thresholds })
}

/// `ITQ[n],SH[period][g|c|m]`, and the same with PCA and PCAR.
fn parse_spectral_hash(mut scanner: Scanner<'_>) -> Option<Codes> {
    let transform = if scanner.eat("ITQ") {
        HashTransform::Itq
    } else if scanner.eat("PCA") {
        scanner.eat("R");
        HashTransform::Pca
    } else {
        return None;
    };
    let bits = scanner.optional_number()?;
    if !scanner.eat(",SH") {
        return None;
    }
    let rest = scanner.rest();
    let period = rest.strip_suffix(['g', 'c', 'm']).unwrap_or(rest);
    let is_number = period.bytes().all(|byte| byte.is_ascii_digit() || b"-.e".contains(&byte));
    let is_usable = is_number && period.parse().is_ok_and(|period: f32| period.is_normal());
    let medians = rest.ends_with('m');
    (period.is_empty() || is_usable).then_some(Codes::SpectralHash { bits, transform, medians })
}
