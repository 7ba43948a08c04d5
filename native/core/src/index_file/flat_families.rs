//! Indexes that keep the codes of all rows in one vector.

use crate::error::Result;
use crate::index_file::cursor::{FourCc, Vector};
use crate::index_file::node::{Node, Parameter, RowBytes};
use crate::index_file::packed_codes::PackedLayout;
use crate::index_file::quantizers::{
    Additive, Quantizer, additive_quantizer, eden_quantizer, product_quantizer, rabit_quantizer,
    residual_quantizer_before_1_7_2, scalar_quantizer,
};
use crate::index_file::{Parser, Role, begun, count_of_rows, vector_of_rows};

impl Parser<'_> {
    /// An index of codes, unless `fourcc` is something else.
    pub(crate) fn flat_family(&mut self, _begin: u64, fourcc: FourCc) -> Result<Option<Node>> {
        let node = match &fourcc.0 {
            b"IxF2" | b"IxFI" | b"IxFl" => self.flat(fourcc)?,
            b"IxFP" | b"IxFp" => self.flat_panorama(fourcc)?,
            b"IxHe" | b"IxHE" => self.lsh(fourcc)?,
            b"IxPq" | b"IxPQ" | b"IxPo" => self.pq(fourcc)?,
            b"IxSQ" => {
                let mut node = self.plain(fourcc, "IndexScalarQuantizer")?;
                let quantizer = scalar_quantizer(&mut self.cursor)?;
                node.take_quantizer(quantizer);
                self.codes(&mut node)?;
                node
            }
            b"IxRq" => self.additive(fourcc, "IndexResidualQuantizer", Additive::Residual)?,
            b"IxLS" => self.additive(fourcc, "IndexLocalSearchQuantizer", Additive::LocalSearch)?,
            b"IxPR" => self.additive(fourcc, "IndexProductResidualQuantizer", Additive::ProductResidual)?,
            b"IxPL" => self.additive(fourcc, "IndexProductLocalSearchQuantizer", Additive::ProductLocalSearch)?,
            b"IxRQ" => {
                let mut node = self.plain(fourcc, "IndexResidualQuantizer")?;
                let quantizer = residual_quantizer_before_1_7_2(&mut self.cursor)?;
                node.take_quantizer(quantizer);
                node.code_size = Some(self.cursor.u64("the code size")?);
                self.codes(&mut node)?;
                node
            }
            b"ImRQ" => {
                let mut node = self.plain(fourcc, "ResidualCoarseQuantizer")?;
                let quantizer = additive_quantizer(&mut self.cursor, Additive::Residual)?;
                node.take_quantizer(quantizer);
                node.family = node.family.replacen("RQ", "RCQ", 1);
                node.parameters.push(("beamFactor", Parameter::Fraction(self.cursor.f32("the beam factor")?)));
                node
            }
            b"Imiq" => {
                let mut node = self.plain(fourcc, "MultiIndexQuantizer")?;
                let quantizer = product_quantizer(&mut self.cursor)?;
                node.take_quantizer(quantizer);
                node.code_size = None;
                node
            }
            b"IxLa" => self.lattice(fourcc)?,
            b"IPfs" => self.pq_fast_scan(fourcc)?,
            b"IRfs" => self.additive_fast_scan(fourcc, "IndexResidualQuantizerFastScan", Additive::Residual)?,
            b"ILfs" => self.additive_fast_scan(fourcc, "IndexLocalSearchQuantizerFastScan", Additive::LocalSearch)?,
            b"IPRf" => {
                let kind = "IndexProductResidualQuantizerFastScan";
                self.additive_fast_scan(fourcc, kind, Additive::ProductResidual)?
            }
            b"IPLf" => {
                let kind = "IndexProductLocalSearchQuantizerFastScan";
                self.additive_fast_scan(fourcc, kind, Additive::ProductLocalSearch)?
            }
            b"Ixrq" | b"Ixrr" => {
                let mut node = self.plain(fourcc, "IndexRaBitQ")?;
                let quantizer = rabit_quantizer(&mut self.cursor, &fourcc.0 == b"Ixrr")?;
                node.take_quantizer(quantizer);
                self.codes(&mut node)?;
                self.cursor.vector(4, "the center")?;
                node.parameters.push(("qb", Parameter::Number(self.cursor.byte("the bits of a query")?.into())));
                node
            }
            b"Irfn" | b"Irfs" => self.rabit_fast_scan(fourcc)?,
            b"IxEe" | b"IxEd" => {
                let mut node = self.plain(fourcc, "IndexEDEN")?;
                let quantizer = eden_quantizer(&mut self.cursor, &fourcc.0 == b"IxEe")?;
                node.take_quantizer(quantizer);
                self.codes(&mut node)?;
                self.cursor.vector(4, "the center")?;
                node
            }
            b"Ix2L" => self.two_layers(fourcc)?,
            _ => return Ok(None),
        };
        Ok(Some(node))
    }

    /// An index that begins with the common header.
    pub(crate) fn plain(&mut self, fourcc: FourCc, kind: &'static str) -> Result<Node> {
        let (header, count) = self.header()?;
        Ok(begun(fourcc, kind, header, count))
    }

    /// The codes of all rows, whose length the number of rows gives.
    fn codes(&mut self, node: &mut Node) -> Result<()> {
        let codes = self.cursor.vector(1, "the codes")?;
        self.keep_codes(node, codes)
    }

    fn keep_codes(&mut self, node: &mut Node, codes: Vector) -> Result<()> {
        let size = node.code_size.unwrap_or_default();
        if node.header.rows.checked_mul(size) != Some(codes.bytes()) {
            let text = format!("{} bytes of codes for {} rows of {size} bytes", codes.bytes(), node.header.rows);
            return Err(self.cursor.corrupt(codes.offset, text));
        }
        node.keep_codes(codes, size);
        Ok(())
    }

    fn flat(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.plain(fourcc, "IndexFlat")?;
        node.family = "Flat".to_owned();
        node.code_size = node.header.dimension.checked_mul(4);
        let codes = self.cursor.vector(4, "the vectors")?;
        self.keep_codes(&mut node, codes)?;
        Ok(node)
    }

    fn flat_panorama(&mut self, fourcc: FourCc) -> Result<Node> {
        let dimension = self.cursor.small("the dimension")?;
        let levels = self.cursor.u64("the levels of Panorama")?;
        let batch = self.cursor.u64("the batch of Panorama")?;
        let at = self.cursor.offset();
        let rows = self.cursor.large("the number of rows")?;
        let trained = self.cursor.flag("whether the index is trained")?;
        let metric = i32::from(&fourcc.0 == b"IxFP");
        let header = crate::index_file::node::Header { dimension, rows, trained, metric, metric_arg: None };
        let (kind, name) = if metric == 1 { ("IndexFlatL2Panorama", "L2") } else { ("IndexFlatIPPanorama", "IP") };
        let mut node = begun(fourcc, kind, header, count_of_rows(at));
        node.family = format!("Flat{name}Panorama{levels}_{batch}");
        node.code_size = dimension.checked_mul(4);
        node.parameters = vec![("levels", Parameter::Number(levels)), ("batchSize", Parameter::Number(batch))];
        // Padded to whole batches.
        let codes = self.cursor.vector(1, "the codes")?;
        node.row_bytes.push(vector_of_rows(&codes));
        let sums = self.cursor.vector(4, "the sums of Panorama")?;
        node.row_bytes.push(vector_of_rows(&sums));
        node.codes = Some(codes);
        Ok(node)
    }

    fn lsh(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.plain(fourcc, "IndexLSH")?;
        let bits = self.cursor.small("the bits of LSH")?;
        let rotates = self.cursor.flag("whether LSH rotates")?;
        let thresholds = self.cursor.flag("whether LSH trains thresholds")?;
        self.cursor.vector(4, "the thresholds of LSH")?;
        let code_size = self.cursor.small("the code size")?;
        // The first format counted words of eight bytes.
        node.code_size = code_size.checked_mul(if &fourcc.0 == b"IxHE" { 8 } else { 1 });
        self.transform()?;
        let bits_name = if bits == node.header.dimension { String::new() } else { bits.to_string() };
        let (r, t) = (if rotates { "r" } else { "" }, if thresholds { "t" } else { "" });
        node.family = format!("LSH{bits_name}{r}{t}");
        node.parameters = vec![("nbits", Parameter::Number(bits))];
        self.codes(&mut node)?;
        Ok(node)
    }

    fn pq(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.plain(fourcc, "IndexPQ")?;
        let quantizer = product_quantizer(&mut self.cursor)?;
        node.take_quantizer(quantizer);
        self.codes(&mut node)?;
        if &fourcc.0 != b"IxPQ" {
            let search_type = self.cursor.i32("the search type")?;
            self.cursor.flag("whether signs are encoded")?;
            let threshold = self.cursor.i32("the polysemous threshold")?;
            node.parameters.push(("searchType", Parameter::Signed(search_type.into())));
            node.parameters.push(("polysemousThreshold", Parameter::Signed(threshold.into())));
        }
        if &fourcc.0 != b"IxPq" {
            // The first formats said inner product and meant L2.
            node.header.metric = 1;
        }
        Ok(node)
    }

    fn additive(&mut self, fourcc: FourCc, kind: &'static str, additive: Additive) -> Result<Node> {
        let mut node = self.plain(fourcc, kind)?;
        let quantizer = additive_quantizer(&mut self.cursor, additive)?;
        node.take_quantizer(quantizer);
        node.code_size = Some(self.cursor.u64("the code size")?);
        self.codes(&mut node)?;
        Ok(node)
    }

    fn lattice(&mut self, fourcc: FourCc) -> Result<Node> {
        self.cursor.small("the dimension")?;
        let parts = self.cursor.i32("the parts of a lattice")?;
        let scale = self.cursor.i32("the bits of the scale")?;
        let radius = self.cursor.i32("the radius of a lattice")?;
        let mut node = self.plain(fourcc, "IndexLattice")?;
        node.family = format!("ZnLattice{parts}x{radius}_{scale}");
        // Faiss leaves the codes out.
        self.cursor.vector(4, "the ranges of a lattice")?;
        Ok(node)
    }

    fn pq_fast_scan(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.plain(fourcc, "IndexPQFastScan")?;
        let quantizer = product_quantizer(&mut self.cursor)?;
        node.take_quantizer(quantizer);
        self.cursor.i32("the implementation")?;
        let block = self.cursor.small("the rows per block")?;
        self.cursor.i32("the queries per block")?;
        self.padded_rows(&mut node)?;
        let padded = self.cursor.u64("the padded sub-quantizers")?;
        node.family = fast_scan_name(&node.family, block);
        self.packed_codes(&mut node, block, padded)?;
        Ok(node)
    }

    /// The number of rows with those that fill the last block.
    fn padded_rows(&mut self, node: &mut Node) -> Result<()> {
        let at = self.cursor.offset();
        self.cursor.u64("the padded rows")?;
        node.row_bytes.push(count_of_rows(at));
        Ok(())
    }

    fn packed_codes(&mut self, node: &mut Node, rows_per_block: u64, padded_subquantizers: u64) -> Result<()> {
        let codes = self.cursor.vector(1, "the codes")?;
        let code_size = node.code_size.unwrap_or_default();
        let layout = PackedLayout { rows_per_block, padded_subquantizers, code_size };
        let blocks = layout.block_bytes().unwrap_or_default();
        let expected = node.header.rows.div_ceil(rows_per_block.max(1)).checked_mul(blocks);
        // RaBitQ keeps factors in the blocks too.
        if node.kind != "IndexRaBitQFastScan" && expected != Some(codes.count) {
            let text = format!("{} bytes of codes for {} rows", codes.count, node.header.rows);
            return Err(self.cursor.corrupt(codes.offset, text));
        }
        if layout.fits(blocks) && expected == Some(codes.count) {
            node.packing = Some(layout);
        }
        node.parameters.push(("bbs", Parameter::Number(rows_per_block)));
        node.row_bytes.push(vector_of_rows(&codes));
        node.codes = Some(codes);
        Ok(())
    }

    fn additive_fast_scan(&mut self, fourcc: FourCc, kind: &'static str, additive: Additive) -> Result<Node> {
        let mut node = self.plain(fourcc, kind)?;
        let quantizer = additive_quantizer(&mut self.cursor, additive)?;
        node.take_quantizer(quantizer);
        self.cursor.i32("the implementation")?;
        let block = self.cursor.small("the rows per block")?;
        self.cursor.i32("the queries per block")?;
        for what in ["M", "nbits", "ksub"] {
            self.cursor.u64(what)?;
        }
        node.code_size = Some(self.cursor.u64("the code size")?);
        self.padded_rows(&mut node)?;
        let padded = self.cursor.u64("the padded sub-quantizers")?;
        self.additive_scales()?;
        node.family = fast_scan_name(&node.family, block);
        self.packed_codes(&mut node, block, padded)?;
        Ok(node)
    }

    /// How norms are scaled, and the most rows to find that out on.
    pub(crate) fn additive_scales(&mut self) -> Result<()> {
        self.cursor.flag("whether norms are scaled")?;
        self.cursor.i32("the scale of norms")?;
        self.cursor.u64("the most training rows").map(drop)
    }

    fn rabit_fast_scan(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.plain(fourcc, "IndexRaBitQFastScan")?;
        let quantizer = rabit_quantizer(&mut self.cursor, true)?;
        node.take_quantizer(quantizer);
        self.cursor.vector(4, "the center")?;
        node.parameters.push(("qb", Parameter::Number(self.cursor.byte("the bits of a query")?.into())));
        if &fourcc.0 == b"Irfs" {
            let factors = self.cursor.vector(1, "the factors of rows")?;
            node.row_bytes.push(vector_of_rows(&factors));
        }
        let block = self.cursor.small("the rows per block")?;
        self.padded_rows(&mut node)?;
        let padded = self.cursor.u64("the padded sub-quantizers")?;
        node.code_size = Some(self.cursor.u64("the code size")?);
        node.family = node.family.replacen("RaBitQ", "RaBitQfs", 1);
        self.packed_codes(&mut node, block, padded)?;
        node.packing = None;
        Ok(node)
    }

    fn two_layers(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.plain(fourcc, "Index2Layer")?;
        if let Some(quantizer) = self.optional_index()? {
            node.parts.push((Role::Quantizer, quantizer));
        }
        let nlist = self.cursor.u64("the number of centroids")?;
        self.cursor.byte("how the quantizer is trained")?;
        let quantizer = product_quantizer(&mut self.cursor)?;
        let second = quantizer.name.clone();
        node.take_quantizer(quantizer);
        self.cursor.skip(Some(16), "the sizes of the two codes")?;
        node.code_size = Some(self.cursor.u64("the code size")?);
        node.parameters.push(("nlist", Parameter::Number(nlist)));
        node.family = format!("Residual{nlist},{second}");
        self.codes(&mut node)?;
        Ok(node)
    }
}

/// As the factory names the variant for fast scan.
pub(crate) fn fast_scan_name(name: &str, rows_per_block: u64) -> String {
    let (quantizer, norm) = name.split_once("_N").map_or((name, None), |(quantizer, norm)| (quantizer, Some(norm)));
    let block = if rows_per_block == 32 { String::new() } else { format!("_{rows_per_block}") };
    format!("{quantizer}fs{block}{}", norm.map(|norm| format!("_N{norm}")).unwrap_or_default())
}

impl Node {
    /// Takes over what a quantizer knows.
    pub(crate) fn take_quantizer(&mut self, quantizer: Quantizer) {
        self.family = quantizer.name;
        self.code_size = quantizer.code_size.or(self.code_size);
        self.parameters.extend(quantizer.parameters);
    }

    /// Keeps the place of codes of `row_bytes` bytes each.
    pub(crate) fn keep_codes(&mut self, codes: Vector, row_bytes: u64) {
        self.row_bytes.push(RowBytes { range: codes.span(), without_rows: Vec::new(), zeros: 8 });
        self.codes = Some(codes);
        self.codes_row_bytes = Some(row_bytes);
    }
}
