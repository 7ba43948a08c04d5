//! The quantizers inside indexes, in the field order of Faiss' `index_write.cpp`.

use crate::error::Result;
use crate::index_file::cursor::Cursor;
use crate::index_file::node::Parameter;

/// More codebooks than any code holds; their sizes are read one by one.
const MOST_CODEBOOKS: u64 = 1 << 16;

/// What a quantizer contributes to its index.
#[derive(Debug, Default)]
pub(crate) struct Quantizer {
    /// As a factory string would have it.
    pub(crate) name: String,
    /// Bytes per row, where the quantizer tells.
    pub(crate) code_size: Option<u64>,
    /// Sub-quantizers or codebooks.
    pub(crate) codebooks: u64,
    pub(crate) parameters: Vec<(&'static str, Parameter)>,
}

/// Which additive quantizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Additive {
    Residual,
    LocalSearch,
    ProductResidual,
    ProductLocalSearch,
}

impl Additive {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Residual => "RQ",
            Self::LocalSearch => "LSQ",
            Self::ProductResidual => "PRQ",
            Self::ProductLocalSearch => "PLSQ",
        }
    }
}

pub(crate) fn product_quantizer(cursor: &mut Cursor<'_>) -> Result<Quantizer> {
    let at = cursor.offset();
    let dimension = cursor.u64("the dimension of a product quantizer")?;
    let subquantizers = cursor.u64("the number of sub-quantizers")?;
    let bits = cursor.u64("the bits per sub-quantizer")?;
    let centroids = cursor.vector(4, "the centroids of a product quantizer")?;
    let code_size = subquantizers.checked_mul(bits).filter(|_| bits <= 32).map(|bits| bits.div_ceil(8));
    let expected = 1_u64.checked_shl(u32::try_from(bits).unwrap_or(u32::MAX)).and_then(|k| k.checked_mul(dimension));
    let (Some(code_size), Some(expected)) = (code_size, expected) else {
        return Err(cursor.corrupt(at, format!("a product quantizer of {subquantizers} times {bits} bits")));
    };
    // An index without training has room for its centroids, or nothing.
    if centroids.count != expected && centroids.count != 0 {
        let text = format!("a product quantizer holds {} floats instead of {expected}", centroids.count);
        return Err(cursor.corrupt(centroids.offset, text));
    }
    let name = if bits == 8 { format!("PQ{subquantizers}") } else { format!("PQ{subquantizers}x{bits}") };
    Ok(Quantizer {
        name,
        code_size: Some(code_size),
        codebooks: subquantizers,
        parameters: vec![("M", Parameter::Number(subquantizers)), ("nbits", Parameter::Number(bits))],
    })
}

pub(crate) fn scalar_quantizer(cursor: &mut Cursor<'_>) -> Result<Quantizer> {
    let kind = cursor.i32("the type of a scalar quantizer")?;
    let range = cursor.i32("the range statistic of a scalar quantizer")?;
    let range_argument = cursor.f32("the range argument of a scalar quantizer")?;
    cursor.u64("the dimension of a scalar quantizer")?;
    let code_size = cursor.u64("the code size of a scalar quantizer")?;
    cursor.vector(4, "the ranges of a scalar quantizer")?;
    let name = match kind {
        0 => "SQ8".to_owned(),
        1 => "SQ4".to_owned(),
        2 => "SQ8_uniform".to_owned(),
        3 => "SQ4_uniform".to_owned(),
        4 => "SQfp16".to_owned(),
        5 => "SQ8_direct".to_owned(),
        6 => "SQ6".to_owned(),
        7 => "SQbf16".to_owned(),
        8 => "SQ8_direct_signed".to_owned(),
        9 => "SQ0".to_owned(),
        10 => "SQtqmse1".to_owned(),
        11 => "SQtqmse2".to_owned(),
        12 => "SQtqmse3".to_owned(),
        13 => "SQtqmse4".to_owned(),
        14 => "SQtqmse8".to_owned(),
        15..=18 => format!("SQtq{}", kind - 13),
        19..=26 => format!("SQeden{}", kind - 18),
        other => format!("SQ(type {other})"),
    };
    let parameters = vec![
        ("quantizerType", Parameter::Signed(kind.into())),
        ("rangeStat", Parameter::Signed(range.into())),
        ("rangeStatArg", Parameter::Fraction(range_argument)),
    ];
    Ok(Quantizer { name, code_size: Some(code_size), codebooks: 0, parameters })
}

/// An additive quantizer with the fields of its kind.
pub(crate) fn additive_quantizer(cursor: &mut Cursor<'_>, kind: Additive) -> Result<Quantizer> {
    let mut quantizer = additive_base(cursor)?;
    match kind {
        Additive::Residual => residual_fields(cursor)?,
        Additive::LocalSearch => local_search_fields(cursor)?,
        Additive::ProductResidual | Additive::ProductLocalSearch => {
            let splits = cursor.u64("the number of splits")?;
            // An additive quantizer takes 53 bytes at least, which bounds the loop.
            cursor.require(splits.checked_mul(53), "the quantizers of the splits")?;
            for _ in 0..splits {
                additive_base(cursor)?;
                match kind {
                    Additive::ProductResidual => residual_fields(cursor)?,
                    _ => local_search_fields(cursor)?,
                }
            }
            let each = quantizer.codebooks.checked_div(splits).unwrap_or_default();
            quantizer.parameters.push(("nsplits", Parameter::Number(splits)));
            quantizer.name =
                format!("{splits}x{}", quantizer.name.replacen(&quantizer.codebooks.to_string(), &each.to_string(), 1));
        }
    }
    quantizer.name = format!("{}{}", kind.prefix(), quantizer.name);
    Ok(quantizer)
}

/// What `IxRQ` held before additive quantizers had a common beginning.
pub(crate) fn residual_quantizer_before_1_7_2(cursor: &mut Cursor<'_>) -> Result<Quantizer> {
    let (codebooks, bits) = codebook_sizes(cursor)?;
    cursor.flag("whether the quantizer is trained")?;
    residual_fields(cursor)?;
    cursor.vector(4, "the codebooks")?;
    let norm = norm_fields(cursor)?;
    Ok(Quantizer { name: format!("RQ{}", additive_name(codebooks, &bits, norm)), codebooks, ..Quantizer::default() })
}

fn additive_base(cursor: &mut Cursor<'_>) -> Result<Quantizer> {
    let (codebooks, bits) = codebook_sizes(cursor)?;
    cursor.flag("whether the quantizer is trained")?;
    cursor.vector(4, "the codebooks")?;
    let norm = norm_fields(cursor)?;
    if (6..=9).contains(&norm) {
        // Counted in floats, like the codes of a flat index.
        cursor.vector(4, "the quantized norms")?;
    }
    if (8..=9).contains(&norm) {
        cursor.vector(4, "the tables of norms")?;
    }
    let each = bits.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let parameters = vec![
        ("M", Parameter::Number(codebooks)),
        ("nbits", Parameter::Text(each)),
        ("searchType", Parameter::Signed(norm.into())),
    ];
    Ok(Quantizer { name: additive_name(codebooks, &bits, norm), code_size: None, codebooks, parameters })
}

/// The number of codebooks, and the different sizes among them in the order in which they come.
fn codebook_sizes(cursor: &mut Cursor<'_>) -> Result<(u64, Vec<u64>)> {
    cursor.u64("the dimension of an additive quantizer")?;
    let at = cursor.offset();
    let codebooks = cursor.u64("the number of codebooks")?;
    let sizes = cursor.vector(8, "the bits of the codebooks")?;
    if sizes.count != codebooks || codebooks > MOST_CODEBOOKS {
        return Err(cursor.corrupt(at, format!("{codebooks} codebooks, with bits for {}", sizes.count)));
    }
    let mut each = cursor.over(sizes.data);
    let mut bits = Vec::new();
    for _ in 0..codebooks {
        let size = each.u64("the bits of a codebook")?;
        if bits.last() != Some(&size) && bits.len() < 16 {
            bits.push(size);
        }
    }
    Ok((codebooks, bits))
}

fn norm_fields(cursor: &mut Cursor<'_>) -> Result<i32> {
    let search_type = cursor.i32("the search type of an additive quantizer")?;
    cursor.f32("the smallest norm")?;
    cursor.f32("the largest norm")?;
    Ok(search_type)
}

fn additive_name(codebooks: u64, bits: &[u64], norm: i32) -> String {
    let bits = bits.iter().map(u64::to_string).collect::<Vec<_>>().join("_");
    let norm = match norm {
        0 => "",
        1 => "_Nnone",
        2 => "_Nlut",
        3 => "_Nfloat",
        4 => "_Nqint8",
        5 => "_Nqint4",
        6 => "_Ncqint8",
        7 => "_Ncqint4",
        8 => "_Nlsq2x4",
        9 => "_Nrq2x4",
        _ => "_N?",
    };
    format!("{codebooks}x{bits}{norm}")
}

fn residual_fields(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.i32("the training of a residual quantizer")?;
    cursor.i32("the beam size of a residual quantizer").map(drop)
}

fn local_search_fields(cursor: &mut Cursor<'_>) -> Result<()> {
    /// K, four numbers of iterations; p, lambda; chunk size; seed; perturbations; the kind of update.
    const BYTES: u64 = 5 * 8 + 2 * 4 + 8 + 4 + 8 + 1;
    cursor.skip(Some(BYTES), "the fields of a local search quantizer").map(drop)
}

/// `several_bits`: whether the number of bits follows, which the first format did without.
pub(crate) fn rabit_quantizer(cursor: &mut Cursor<'_>, several_bits: bool) -> Result<Quantizer> {
    cursor.u64("the dimension of a RaBitQ quantizer")?;
    let code_size = cursor.u64("the code size of a RaBitQ quantizer")?;
    cursor.i32("the metric of a RaBitQ quantizer")?;
    let bits = if several_bits { cursor.u64("the bits of a RaBitQ quantizer")? } else { 1 };
    let name = if bits == 1 { "RaBitQ".to_owned() } else { format!("RaBitQ{bits}") };
    let parameters = vec![("nbits", Parameter::Number(bits))];
    Ok(Quantizer { name, code_size: Some(code_size), codebooks: 0, parameters })
}

/// `with_scale`: whether the type of scale follows, which the first format did without.
pub(crate) fn eden_quantizer(cursor: &mut Cursor<'_>, with_scale: bool) -> Result<Quantizer> {
    cursor.u64("the dimension of an EDEN quantizer")?;
    let code_size = cursor.u64("the code size of an EDEN quantizer")?;
    cursor.i32("the metric of an EDEN quantizer")?;
    let bits = cursor.u64("the bits of an EDEN quantizer")?;
    let scale = if with_scale { cursor.i32("the scale of an EDEN quantizer")? } else { 1 };
    let name = format!("EDEN{bits}{}", if scale == 2 { "BIASED" } else { "" });
    let parameters = vec![("nbits", Parameter::Number(bits)), ("scaleType", Parameter::Signed(scale.into()))];
    Ok(Quantizer { name, code_size: Some(code_size), codebooks: 0, parameters })
}
