//! Indexes with inverted lists.

use crate::error::Result;
use crate::index_file::cursor::FourCc;
use crate::index_file::flat_families::fast_scan_name;
use crate::index_file::inverted_lists::{
    InvertedLists, ListFormat, empty_block, read_inverted_lists, read_lists_apart,
};
use crate::index_file::node::{Node, Parameter, Role, RowBytes};
use crate::index_file::packed_codes::PackedLayout;
use crate::index_file::quantizers::{
    Additive, additive_quantizer, eden_quantizer, product_quantizer, rabit_quantizer, scalar_quantizer,
};
use crate::index_file::{Parser, vector_of_rows};

/// The beginning of an index with lists.
struct Begun {
    node: Node,
    /// `IVFn` with what finds the lists.
    prefix: String,
    nlist: u64,
    /// Where the ids of lists stand in formats that keep them apart.
    ids: Option<u64>,
}

impl Parser<'_> {
    /// An index with inverted lists, unless `fourcc` is something else.
    pub(crate) fn list_family(&mut self, _begin: u64, fourcc: FourCc) -> Result<Option<Node>> {
        let node = match &fourcc.0 {
            b"IwFl" | b"IvFl" | b"IvFL" => self.ivf_flat(fourcc)?,
            b"IwFd" => self.ivf_flat_without_duplicates(fourcc)?,
            b"IwP2" | b"IwPn" => self.ivf_flat_panorama(fourcc)?,
            b"IwSq" | b"IwSQ" | b"IvSQ" => self.ivf_scalar(fourcc)?,
            b"IwPQ" | b"IwQR" | b"IvPQ" | b"IvQR" => self.ivf_pq(fourcc)?,
            b"IwPf" => self.ivf_pq_fast_scan(fourcc)?,
            b"IwRQ" => self.ivf_additive(fourcc, "IndexIVFResidualQuantizer", Additive::Residual)?,
            b"IwLS" => self.ivf_additive(fourcc, "IndexIVFLocalSearchQuantizer", Additive::LocalSearch)?,
            b"IwPR" => self.ivf_additive(fourcc, "IndexIVFProductResidualQuantizer", Additive::ProductResidual)?,
            b"IwPL" => {
                self.ivf_additive(fourcc, "IndexIVFProductLocalSearchQuantizer", Additive::ProductLocalSearch)?
            }
            b"IVRf" => self.ivf_additive_fast_scan(fourcc, "IndexIVFResidualQuantizerFastScan", Additive::Residual)?,
            b"IVLf" => {
                self.ivf_additive_fast_scan(fourcc, "IndexIVFLocalSearchQuantizerFastScan", Additive::LocalSearch)?
            }
            b"NPRf" => {
                let kind = "IndexIVFProductResidualQuantizerFastScan";
                self.ivf_additive_fast_scan(fourcc, kind, Additive::ProductResidual)?
            }
            b"NPLf" => {
                let kind = "IndexIVFProductLocalSearchQuantizerFastScan";
                self.ivf_additive_fast_scan(fourcc, kind, Additive::ProductLocalSearch)?
            }
            b"IwSh" => self.ivf_spectral_hash(fourcc)?,
            b"Iwrq" | b"Iwrr" => self.ivf_rabit(fourcc)?,
            b"Iwrn" | b"Iwrf" => self.ivf_rabit_fast_scan(fourcc)?,
            b"IwEe" | b"IwEd" => self.ivf_eden(fourcc)?,
            _ => return Ok(None),
        };
        Ok(Some(node))
    }

    fn ivf(&mut self, fourcc: FourCc, kind: &'static str) -> Result<Begun> {
        let mut node = self.plain(fourcc, kind)?;
        let at = self.cursor.offset();
        let nlist = self.cursor.u64("the number of lists")?;
        let nprobe = self.cursor.u64("the number of lists to probe")?;
        node.parameters = vec![("nlist", Parameter::Number(nlist)), ("nprobe", Parameter::Number(nprobe))];
        let quantizer = self.optional_index()?;
        let prefix = format!("{}{}", list_prefix(nlist, quantizer.as_ref()), ",");
        if let Some(quantizer) = quantizer {
            node.parts.push((Role::Quantizer, quantizer));
        }
        let mut ids = None;
        if fourcc.0.starts_with(b"Iv") {
            ids = Some(self.cursor.offset());
            self.cursor.require(nlist.checked_mul(8), "the ids of the lists")?;
            for _ in 0..nlist {
                self.cursor.vector(8, "the ids of a list")?;
            }
        } else if nlist > i64::MAX.unsigned_abs() {
            return Err(self.cursor.corrupt(at, format!("{nlist} lists")));
        }
        self.direct_map()?;
        Ok(Begun { node, prefix, nlist, ids })
    }

    pub(crate) fn direct_map(&mut self) -> Result<()> {
        let at = self.cursor.offset();
        let kind = self.cursor.byte("the kind of direct map")?;
        self.cursor.vector(8, "the direct map")?;
        match kind {
            0 | 1 => Ok(()),
            2 => self.cursor.vector(16, "the direct map").map(drop),
            other => Err(self.cursor.corrupt(at, format!("{other} is no kind of direct map"))),
        }
    }

    /// The block of lists, which must have the number of lists and the code size of its index.
    pub(crate) fn lists(&mut self, node: &mut Node, nlist: u64) -> Result<()> {
        let lists = read_inverted_lists(&mut self.cursor)?;
        self.keep_lists(node, nlist, lists)
    }

    fn keep_lists(&mut self, node: &mut Node, nlist: u64, lists: InvertedLists) -> Result<()> {
        if lists.format != ListFormat::Absent && lists.nlist != nlist {
            let text = format!("{} inverted lists in an index of {nlist}", lists.nlist);
            return Err(self.cursor.corrupt(lists.span.start, text));
        }
        if lists.code_size.is_some_and(|size| node.code_size.is_some_and(|expected| expected != size)) {
            let text = format!("lists of {:?} bytes a row in an index of {:?}", lists.code_size, node.code_size);
            return Err(self.cursor.corrupt(lists.span.start, text));
        }
        if let Some((without_rows, zeros)) = empty_block(&lists) {
            node.row_bytes.push(RowBytes { range: lists.span.clone(), without_rows, zeros });
        }
        node.lists = Some(lists);
        Ok(())
    }

    fn ivf_flat(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, ids } = self.ivf(fourcc, "IndexIVFFlat")?;
        node.family = prefix + "Flat";
        node.code_size = node.header.dimension.checked_mul(4);
        match ids {
            None => self.lists(&mut node, nlist)?,
            // The very first format counted floats.
            Some(ids) => self.lists_apart(&mut node, nlist, ids, if &fourcc.0 == b"IvFl" { 4 } else { 1 })?,
        }
        Ok(node)
    }

    fn lists_apart(&mut self, node: &mut Node, nlist: u64, ids: u64, code_unit: u64) -> Result<()> {
        let code_size = node.code_size.unwrap_or_default();
        let lists = read_lists_apart(&mut self.cursor, nlist, code_size, ids, code_unit)?;
        self.keep_lists(node, nlist, lists)
    }

    fn ivf_flat_without_duplicates(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, "IndexIVFFlatDedup")?;
        node.family = prefix + "FlatDedup";
        node.code_size = node.header.dimension.checked_mul(4);
        let instances = self.cursor.vector(8, "the rows that repeat others")?;
        node.parameters.push(("repeatedRows", Parameter::Number(instances.count / 2)));
        node.row_bytes.push(vector_of_rows(&instances));
        self.lists(&mut node, nlist)?;
        Ok(node)
    }

    fn ivf_flat_panorama(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, "IndexIVFFlatPanorama")?;
        let levels = self.cursor.u64("the levels of Panorama")?;
        node.parameters.push(("levels", Parameter::Number(levels)));
        node.family = format!("{prefix}FlatPanorama{levels}");
        if &fourcc.0 == b"IwP2" {
            let batch = self.cursor.u64("the batch of Panorama")?;
            node.parameters.push(("batchSize", Parameter::Number(batch)));
            node.family += &format!("_{batch}");
        }
        node.code_size = node.header.dimension.checked_mul(4);
        self.lists(&mut node, nlist)?;
        Ok(node)
    }

    fn ivf_scalar(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, ids } = self.ivf(fourcc, "IndexIVFScalarQuantizer")?;
        let quantizer = scalar_quantizer(&mut self.cursor)?;
        node.take_quantizer(quantizer);
        node.family = prefix + &node.family;
        node.code_size = Some(self.cursor.u64("the code size")?);
        match ids {
            Some(ids) => self.lists_apart(&mut node, nlist, ids, 1)?,
            None => {
                let residual = &fourcc.0 == b"IwSQ" || self.cursor.flag("whether residuals are encoded")?;
                node.parameters.push(("byResidual", Parameter::Flag(residual)));
                self.lists(&mut node, nlist)?;
            }
        }
        Ok(node)
    }

    fn ivf_pq(&mut self, fourcc: FourCc) -> Result<Node> {
        let refines = fourcc.0.ends_with(b"QR");
        let kind = if refines { "IndexIVFPQR" } else { "IndexIVFPQ" };
        let Begun { mut node, prefix, nlist, ids } = self.ivf(fourcc, kind)?;
        let residual = self.cursor.flag("whether residuals are encoded")?;
        let code_size = self.cursor.u64("the code size")?;
        let quantizer = product_quantizer(&mut self.cursor)?;
        node.take_quantizer(quantizer);
        node.family = prefix + &node.family;
        node.code_size = Some(code_size);
        node.parameters.push(("byResidual", Parameter::Flag(residual)));
        match ids {
            Some(ids) => self.lists_apart(&mut node, nlist, ids, 1)?,
            None => self.lists(&mut node, nlist)?,
        }
        if refines {
            let refine = product_quantizer(&mut self.cursor)?;
            let row_bytes = refine.code_size.unwrap_or_default();
            node.family = format!("{}+{}", node.family, refine.codebooks);
            let codes = self.cursor.vector(1, "the codes that refine")?;
            if node.header.rows.checked_mul(row_bytes) != Some(codes.count) {
                let text = format!("{} bytes of codes that refine {} rows", codes.count, node.header.rows);
                return Err(self.cursor.corrupt(codes.offset, text));
            }
            node.keep_codes(codes, row_bytes);
            node.parameters.push(("kFactor", Parameter::Fraction(self.cursor.f32("the factor of k")?)));
        }
        Ok(node)
    }

    fn ivf_pq_fast_scan(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, "IndexIVFPQFastScan")?;
        let residual = self.cursor.flag("whether residuals are encoded")?;
        let code_size = self.cursor.u64("the code size")?;
        let block = self.cursor.small("the rows per block")?;
        let padded = self.cursor.u64("the padded sub-quantizers")?;
        self.cursor.i32("the implementation")?;
        self.cursor.u64("the queries per block")?;
        let quantizer = product_quantizer(&mut self.cursor)?;
        node.take_quantizer(quantizer);
        let name = fast_scan_name(&node.family, block);
        let (name, block_name) = name.split_once('_').map_or((name.as_str(), None), |(name, b)| (name, Some(b)));
        let residual_name = if residual { "r" } else { "" };
        node.family =
            format!("{prefix}{name}{residual_name}{}", block_name.map(|b| format!("_{b}")).unwrap_or_default());
        node.code_size = Some(code_size);
        node.parameters.push(("byResidual", Parameter::Flag(residual)));
        self.packed_lists(&mut node, nlist, block, padded)?;
        Ok(node)
    }

    fn packed_lists(
        &mut self,
        node: &mut Node,
        nlist: u64,
        rows_per_block: u64,
        padded_subquantizers: u64,
    ) -> Result<()> {
        node.parameters.push(("bbs", Parameter::Number(rows_per_block)));
        let code_size = node.code_size.unwrap_or_default();
        let layout = PackedLayout { rows_per_block, padded_subquantizers, code_size };
        self.lists(node, nlist)?;
        let format = node.lists.as_ref().map(|lists| &lists.format);
        if matches!(format, Some(ListFormat::Blocks { rows_per_block: rows, block_bytes, .. })
            if *rows == rows_per_block && layout.fits(*block_bytes))
        {
            node.packing = Some(layout);
        }
        Ok(())
    }

    fn ivf_additive(&mut self, fourcc: FourCc, kind: &'static str, additive: Additive) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, kind)?;
        let code_size = self.cursor.u64("the code size")?;
        let quantizer = additive_quantizer(&mut self.cursor, additive)?;
        node.take_quantizer(quantizer);
        node.family = prefix + &node.family;
        node.code_size = Some(code_size);
        let residual = self.cursor.flag("whether residuals are encoded")?;
        node.parameters.push(("byResidual", Parameter::Flag(residual)));
        self.cursor.i32("whether tables are computed before")?;
        self.lists(&mut node, nlist)?;
        Ok(node)
    }

    fn ivf_additive_fast_scan(&mut self, fourcc: FourCc, kind: &'static str, additive: Additive) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, kind)?;
        let quantizer = additive_quantizer(&mut self.cursor, additive)?;
        node.take_quantizer(quantizer);
        let residual = self.cursor.flag("whether residuals are encoded")?;
        node.parameters.push(("byResidual", Parameter::Flag(residual)));
        self.cursor.i32("the implementation")?;
        let block = self.cursor.small("the rows per block")?;
        self.cursor.i32("the queries per block")?;
        for what in ["M", "nbits", "ksub"] {
            self.cursor.u64(what)?;
        }
        node.code_size = Some(self.cursor.u64("the code size")?);
        self.cursor.u64("the queries per block")?;
        let padded = self.cursor.u64("the padded sub-quantizers")?;
        self.additive_scales()?;
        node.family = prefix + &fast_scan_name(&node.family, block);
        self.packed_lists(&mut node, nlist, block, padded)?;
        Ok(node)
    }

    fn ivf_spectral_hash(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, "IndexIVFSpectralHash")?;
        let transform = self.transform()?;
        let bits = self.cursor.small("the bits of a hash")?;
        let period = self.cursor.f32("the period of a hash")?;
        self.cursor.i32("the kind of threshold")?;
        self.cursor.vector(4, "the thresholds")?;
        node.family = format!("{prefix}{},SH{period}", transform.name);
        node.code_size = Some(bits.div_ceil(8));
        node.parameters.push(("nbits", Parameter::Number(bits)));
        node.parameters.push(("period", Parameter::Fraction(period)));
        node.transforms.push(transform);
        self.lists(&mut node, nlist)?;
        Ok(node)
    }

    fn ivf_rabit(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, "IndexIVFRaBitQ")?;
        let quantizer = rabit_quantizer(&mut self.cursor, &fourcc.0 == b"Iwrr")?;
        node.take_quantizer(quantizer);
        node.family = prefix + &node.family;
        node.code_size = Some(self.cursor.u64("the code size")?);
        let residual = self.cursor.flag("whether residuals are encoded")?;
        node.parameters.push(("byResidual", Parameter::Flag(residual)));
        node.parameters.push(("qb", Parameter::Number(self.cursor.byte("the bits of a query")?.into())));
        self.lists(&mut node, nlist)?;
        Ok(node)
    }

    fn ivf_rabit_fast_scan(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, "IndexIVFRaBitQFastScan")?;
        let quantizer = rabit_quantizer(&mut self.cursor, true)?;
        node.take_quantizer(quantizer);
        node.family = prefix + &node.family.replacen("RaBitQ", "RaBitQfs", 1);
        let residual = self.cursor.flag("whether residuals are encoded")?;
        node.parameters.push(("byResidual", Parameter::Flag(residual)));
        node.code_size = Some(self.cursor.u64("the code size")?);
        let block = self.cursor.small("the rows per block")?;
        self.cursor.u64("the queries per block")?;
        self.cursor.u64("the padded sub-quantizers")?;
        self.cursor.i32("the implementation")?;
        node.parameters.push(("qb", Parameter::Number(self.cursor.byte("the bits of a query")?.into())));
        self.cursor.flag("whether queries are centered")?;
        node.parameters.push(("bbs", Parameter::Number(block)));
        if &fourcc.0 == b"Iwrf" {
            let factors = self.cursor.vector(1, "the factors of rows")?;
            node.row_bytes.push(vector_of_rows(&factors));
        }
        self.lists(&mut node, nlist)?;
        Ok(node)
    }

    fn ivf_eden(&mut self, fourcc: FourCc) -> Result<Node> {
        let Begun { mut node, prefix, nlist, .. } = self.ivf(fourcc, "IndexIVFEDEN")?;
        let quantizer = eden_quantizer(&mut self.cursor, &fourcc.0 == b"IwEe")?;
        node.take_quantizer(quantizer);
        node.family = prefix + &node.family;
        node.code_size = Some(self.cursor.u64("the code size")?);
        let residual = self.cursor.flag("whether residuals are encoded")?;
        node.parameters.push(("byResidual", Parameter::Flag(residual)));
        self.lists(&mut node, nlist)?;
        Ok(node)
    }
}

/// `IVFn` with what finds the lists, as a factory string would have it.
fn list_prefix(nlist: u64, quantizer: Option<&Node>) -> String {
    let number = |node: &Node, name: &str| match node.parameters.iter().find(|(other, _)| *other == name) {
        Some((_, Parameter::Number(number))) => *number,
        _ => 0,
    };
    match quantizer {
        Some(node) if node.kind == "IndexHNSWFlat" => format!("IVF{nlist}_HNSW{}", number(node, "M")),
        Some(node) if node.kind == "IndexNSGFlat" => format!("IVF{nlist}_NSG{}", number(node, "R")),
        Some(node) if node.kind == "MultiIndexQuantizer" => {
            format!("IMI{}x{}", number(node, "M"), number(node, "nbits"))
        }
        Some(node) if node.kind != "IndexFlat" => format!("IVF{nlist}({})", node.family),
        _ => format!("IVF{nlist}"),
    }
}
