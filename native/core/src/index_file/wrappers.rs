//! Indexes around other indexes: transforms, id maps, refinement, graphs over storage.

use crate::error::Result;
use crate::index_file::cursor::FourCc;
use crate::index_file::node::{Node, Parameter, Role, Transform};
use crate::index_file::{Parser, vector_of_rows};

impl Parser<'_> {
    /// An index around others, unless `fourcc` is something else.
    pub(crate) fn wrapper(&mut self, _begin: u64, fourcc: FourCc) -> Result<Option<Node>> {
        let node = match &fourcc.0 {
            b"IxPT" => self.pre_transform(fourcc)?,
            b"IxMp" => self.id_map(fourcc, "IndexIDMap", "IDMap")?,
            b"IxM2" => self.id_map(fourcc, "IndexIDMap2", "IDMap2")?,
            b"IxRF" => self.refine(fourcc, "IndexRefine")?,
            b"IxRP" => self.refine(fourcc, "IndexRefinePanorama")?,
            b"IRMf" => self.min_max(fourcc, "IndexRowwiseMinMax", "MinMax")?,
            b"IRMh" => self.min_max(fourcc, "IndexRowwiseMinMaxFP16", "MinMaxFP16")?,
            b"IwIQ" => self.independent_quantizer(fourcc)?,
            b"IHNf" => self.hnsw_index(fourcc, "IndexHNSWFlat")?,
            b"IHNp" => self.hnsw_index(fourcc, "IndexHNSWPQ")?,
            b"IHNs" => self.hnsw_index(fourcc, "IndexHNSWSQ")?,
            b"IHN2" => self.hnsw_index(fourcc, "IndexHNSW2Level")?,
            b"IH00" => self.hnsw_index(fourcc, "IndexHNSW")?,
            b"IHNc" | b"IHc2" => self.hnsw_index(fourcc, "IndexHNSWCagra")?,
            b"IHfP" => self.hnsw_index(fourcc, "IndexHNSWFlatPanorama")?,
            b"INSf" => self.nsg_index(fourcc, "IndexNSGFlat")?,
            b"INSp" => self.nsg_index(fourcc, "IndexNSGPQ")?,
            b"INSs" => self.nsg_index(fourcc, "IndexNSGSQ")?,
            b"INNf" => {
                let mut node = self.plain(fourcc, "IndexNNDescentFlat")?;
                let graph = self.nn_descent()?;
                node.parameters = graph.parameters;
                self.storage(&mut node, &format!("NNDescent{}", graph.degree))?;
                node
            }
            _ => return Ok(None),
        };
        Ok(Some(node))
    }

    fn pre_transform(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.plain(fourcc, "IndexPreTransform")?;
        let count = self.cursor.small("the number of transforms")?;
        for _ in 0..count {
            let transform = self.transform()?;
            node.transforms.push(transform);
        }
        let inner = self.index()?;
        name_rotations(&mut node.transforms, &inner);
        let names = node.transforms.iter().map(|transform| transform.name.as_str());
        node.family = names.chain([inner.family.as_str()]).collect::<Vec<_>>().join(",");
        node.parts.push((Role::Index, inner));
        Ok(node)
    }

    fn id_map(&mut self, fourcc: FourCc, kind: &'static str, name: &str) -> Result<Node> {
        let mut node = self.plain(fourcc, kind)?;
        let inner = self.index()?;
        let ids = self.cursor.vector(8, "the id map")?;
        if ids.count != node.header.rows {
            let text = format!("an id map of {} ids for {} rows", ids.count, node.header.rows);
            return Err(self.cursor.corrupt(ids.offset, text));
        }
        node.family = format!("{name},{}", inner.family);
        node.parts.push((Role::Index, inner));
        node.row_bytes.push(vector_of_rows(&ids));
        node.id_map = Some(ids);
        Ok(node)
    }

    fn refine(&mut self, fourcc: FourCc, kind: &'static str) -> Result<Node> {
        let mut node = self.plain(fourcc, kind)?;
        let (base, refine) = (self.index()?, self.index()?);
        node.parameters = vec![("kFactor", Parameter::Fraction(self.cursor.f32("the factor of k")?))];
        node.family = match (refine.family.as_str(), kind) {
            ("Flat", "IndexRefine") => format!("{},RFlat", base.family),
            (family, "IndexRefine") => format!("{},Refine({family})", base.family),
            (family, _) => format!("{},RefinePanorama({family})", base.family),
        };
        node.parts.push((Role::Base, base));
        node.parts.push((Role::Refine, refine));
        Ok(node)
    }

    fn min_max(&mut self, fourcc: FourCc, kind: &'static str, name: &str) -> Result<Node> {
        let mut node = self.plain(fourcc, kind)?;
        let inner = self.index()?;
        node.family = format!("{name},{}", inner.family);
        node.parts.push((Role::Index, inner));
        Ok(node)
    }

    fn independent_quantizer(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.plain(fourcc, "IndexIVFIndependentQuantizer")?;
        if let Some(quantizer) = self.optional_index()? {
            node.parts.push((Role::Quantizer, quantizer));
        }
        if self.cursor.flag("whether there is a transform")? {
            let transform = self.transform()?;
            node.transforms.push(transform);
        }
        let inner = self.index()?;
        if matches!(inner.kind, "IndexIVFPQ" | "IndexIVFPQR") {
            self.cursor.i32("whether tables are computed before")?;
        }
        node.family = inner.family.clone();
        node.parts.push((Role::Index, inner));
        Ok(node)
    }

    fn hnsw_index(&mut self, fourcc: FourCc, kind: &'static str) -> Result<Node> {
        let mut node = self.plain(fourcc, kind)?;
        match &fourcc.0 {
            b"IHfP" => {
                let levels = self.cursor.u64("the levels of Panorama")?;
                node.parameters.push(("levels", Parameter::Number(levels)));
                let sums = self.cursor.vector(4, "the sums of Panorama")?;
                node.row_bytes.push(vector_of_rows(&sums));
            }
            b"IHNc" | b"IHc2" => {
                self.cursor.flag("whether level 0 is full")?;
                self.cursor.flag("whether there is level 0 only")?;
                self.cursor.i32("the entry points of a search")?;
                if &fourcc.0 == b"IHc2" {
                    self.cursor.i32("the kind of numbers")?;
                }
            }
            _ => (),
        }
        let graph = self.hnsw()?;
        node.parameters.extend(graph.parameters);
        node.row_bytes.extend(graph.row_bytes);
        self.storage(&mut node, &format!("HNSW{}", graph.degree))?;
        Ok(node)
    }

    fn nsg_index(&mut self, fourcc: FourCc, kind: &'static str) -> Result<Node> {
        let mut node = self.plain(fourcc, kind)?;
        self.cursor.i32("the neighbors of the first graph")?;
        self.cursor.byte("how the first graph is built")?;
        self.cursor.skip(Some(16), "the parameters of the first graph")?;
        let graph = self.nsg()?;
        node.parameters = graph.parameters;
        self.storage(&mut node, &format!("NSG{}", graph.degree))?;
        Ok(node)
    }

    fn storage(&mut self, node: &mut Node, name: &str) -> Result<()> {
        let storage = self.optional_index()?;
        node.family = format!("{name},{}", storage.as_ref().map_or("null", |storage| &storage.family));
        node.parts.extend(storage.map(|storage| (Role::Storage, storage)));
        Ok(())
    }
}

/// A file does not tell OPQ from another rotation. Before a product quantizer OPQ is what it is, in practice, and
/// it has the sub-quantizers of what follows.
fn name_rotations(transforms: &mut [Transform], inner: &Node) {
    let quantizer = inner.family.rsplit(',').find_map(|part| part.strip_prefix("PQ"));
    let digits = quantizer.map(|text| text.chars().take_while(char::is_ascii_digit).collect::<String>());
    for transform in transforms.iter_mut().filter(|transform| transform.kind == "LinearTransform") {
        transform.name = match &digits {
            Some(digits) if transform.output_dimension == transform.input_dimension => format!("OPQ{digits}"),
            Some(digits) => format!("OPQ{digits}_{}", transform.output_dimension),
            None => format!("Linear{}", transform.output_dimension),
        };
    }
}
