//! Binary indexes, which this project does not build, far enough to say what they are.

use crate::error::Result;
use crate::index_file::cursor::FourCc;
use crate::index_file::node::{Header, Node, Parameter, Role};
use crate::index_file::{Parser, begun, count_of_rows, vector_of_rows};

impl Parser<'_> {
    /// A binary index, unless `fourcc` is something else.
    pub(crate) fn binary_family(&mut self, _begin: u64, fourcc: FourCc) -> Result<Option<Node>> {
        let node = match &fourcc.0 {
            b"IBxF" => {
                let mut node = self.binary(fourcc, "IndexBinaryFlat")?;
                node.family = "BFlat".to_owned();
                let codes = self.cursor.vector(1, "the codes")?;
                let size = node.code_size.unwrap_or_default();
                if node.header.rows.checked_mul(size) != Some(codes.count) {
                    let text = format!("{} bytes of codes for {} rows", codes.count, node.header.rows);
                    return Err(self.cursor.corrupt(codes.offset, text));
                }
                node.keep_codes(codes, size);
                node
            }
            b"IBwF" => self.binary_ivf(fourcc)?,
            b"IBFf" => {
                let mut node = self.binary(fourcc, "IndexBinaryFromFloat")?;
                let inner = self.index()?;
                node.family = format!("BFromFloat({})", inner.family);
                node.parts.push((Role::Index, inner));
                node
            }
            b"IBHf" | b"IBHc" => self.binary_hnsw(fourcc)?,
            b"IBMp" | b"IBM2" => {
                let mut node = self.binary(fourcc, "IndexBinaryIDMap")?;
                let inner = self.index()?;
                let ids = self.cursor.vector(8, "the id map")?;
                let name = if &fourcc.0 == b"IBMp" { "IDMap" } else { "IDMap2" };
                node.family = format!("{name},{}", inner.family);
                node.parts.push((Role::Index, inner));
                node.row_bytes.push(vector_of_rows(&ids));
                node.id_map = Some(ids);
                node
            }
            b"IBHh" => self.binary_hash(fourcc)?,
            b"IBHm" => self.binary_multi_hash(fourcc)?,
            _ => return Ok(None),
        };
        Ok(Some(node))
    }

    fn binary(&mut self, fourcc: FourCc, kind: &'static str) -> Result<Node> {
        let dimension = self.cursor.small("the dimension")?;
        let code_size = self.cursor.small("the code size")?;
        let at = self.cursor.offset();
        let rows = self.cursor.large("the number of rows")?;
        let trained = self.cursor.flag("whether the index is trained")?;
        let metric = self.cursor.i32("the metric")?;
        let header = Header { dimension, rows, trained, metric, metric_arg: None };
        let mut node = begun(fourcc, kind, header, count_of_rows(at));
        node.code_size = Some(code_size);
        Ok(node)
    }

    fn binary_ivf(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.binary(fourcc, "IndexBinaryIVF")?;
        let nlist = self.cursor.u64("the number of lists")?;
        let nprobe = self.cursor.u64("the number of lists to probe")?;
        if let Some(quantizer) = self.optional_index()? {
            node.parts.push((Role::Quantizer, quantizer));
        }
        self.direct_map()?;
        node.family = format!("BIVF{nlist}");
        node.parameters = vec![("nlist", Parameter::Number(nlist)), ("nprobe", Parameter::Number(nprobe))];
        self.lists(&mut node, nlist)?;
        Ok(node)
    }

    fn binary_hnsw(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.binary(fourcc, "IndexBinaryHNSW")?;
        if &fourcc.0 == b"IBHc" {
            self.cursor.flag("whether level 0 is full")?;
            self.cursor.flag("whether there is level 0 only")?;
            self.cursor.i32("the entry points of a search")?;
        }
        let graph = self.hnsw()?;
        node.family = format!("BHNSW{}", graph.degree);
        node.parameters = graph.parameters;
        let storage = self.optional_index()?;
        node.parts.extend(storage.map(|storage| (Role::Storage, storage)));
        Ok(node)
    }

    fn binary_hash(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.binary(fourcc, "IndexBinaryHash")?;
        let bits = self.cursor.i32("the bits of a hash")?;
        self.cursor.i32("the flipped bits")?;
        let lists = self.cursor.u64("the number of lists")?;
        self.cursor.i32("the bits of a list size")?;
        self.cursor.vector(1, "the hashes and list sizes")?;
        self.cursor.require(lists.checked_mul(16), "the lengths of the lists")?;
        for _ in 0..lists {
            self.cursor.vector(8, "the ids of a list")?;
            self.cursor.vector(1, "the codes of a list")?;
        }
        node.family = format!("BHash{bits}");
        Ok(node)
    }

    fn binary_multi_hash(&mut self, fourcc: FourCc) -> Result<Node> {
        let mut node = self.binary(fourcc, "IndexBinaryMultiHash")?;
        let storage = self.optional_index()?;
        node.parts.extend(storage.map(|storage| (Role::Storage, storage)));
        let bits = self.cursor.i32("the bits of a hash")?;
        let hashes = self.cursor.small("the number of hashes")?;
        self.cursor.i32("the flipped bits")?;
        self.cursor.require(hashes.checked_mul(20), "the hashes")?;
        for _ in 0..hashes {
            self.cursor.i32("the bits of an id")?;
            self.cursor.u64("the number of lists")?;
            self.cursor.vector(1, "the lists of a hash")?;
        }
        node.family = format!("BHash{hashes}x{bits}");
        Ok(node)
    }
}
