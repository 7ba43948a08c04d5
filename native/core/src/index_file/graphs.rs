//! The graphs of HNSW, NSG and NNDescent, in the field order of Faiss' `index_write.cpp`.

use crate::error::Result;
use crate::index_file::Parser;
use crate::index_file::cursor::Vector;
use crate::index_file::node::{Parameter, RowBytes};

/// What a graph contributes to its index.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// As a factory string would have it.
    pub(crate) degree: u64,
    pub(crate) parameters: Vec<(&'static str, Parameter)>,
    pub(crate) row_bytes: Vec<RowBytes>,
}

impl Parser<'_> {
    pub(crate) fn hnsw(&mut self) -> Result<Graph> {
        self.cursor.vector(8, "the probabilities of levels")?;
        let neighbors_up_to = self.cursor.vector(4, "the neighbors per level")?;
        let levels_of_rows = self.cursor.vector(4, "the levels of rows")?;
        let places = self.cursor.vector(8, "the places of neighbors")?;
        let neighbors = self.cursor.vector(4, "the neighbors")?;
        let entry = self.cursor.offset();
        self.cursor.i32("the entry point")?;
        let levels = self.cursor.i32("the highest level")?;
        let construction = self.cursor.i32("efConstruction")?;
        let search = self.cursor.i32("efSearch")?;
        self.cursor.i32("the beam of upper levels")?;
        // Level 0 has twice the neighbors of the others.
        let degree = self.second_number(&neighbors_up_to)? / 2;
        let parameters = vec![
            ("M", Parameter::Number(degree)),
            ("efConstruction", Parameter::Signed(construction.into())),
            ("efSearch", Parameter::Signed(search.into())),
            ("maxLevel", Parameter::Signed(levels.into())),
        ];
        // A graph without rows has one place, neither an entry point nor a level (`HNSW::reset`).
        let one_place = [1_u64.to_le_bytes(), 0_u64.to_le_bytes()].concat();
        let row_bytes = vec![
            RowBytes { range: levels_of_rows.span(), without_rows: Vec::new(), zeros: 8 },
            RowBytes { range: places.span(), without_rows: one_place, zeros: 0 },
            RowBytes { range: neighbors.span(), without_rows: Vec::new(), zeros: 8 },
            RowBytes { range: entry..entry + 8, without_rows: vec![0xFF; 8], zeros: 0 },
        ];
        Ok(Graph { degree, parameters, row_bytes })
    }

    fn second_number(&self, numbers: &Vector) -> Result<u64> {
        if numbers.count < 2 {
            return Ok(0);
        }
        let mut cursor = self.cursor.over(numbers.data.clone());
        cursor.i32("the neighbors below level 0")?;
        cursor.small("the neighbors of level 0")
    }

    pub(crate) fn nsg(&mut self) -> Result<Graph> {
        let rows = self.cursor.small("the rows of a graph")?;
        let degree = self.cursor.small("the neighbors of a row")?;
        let [construction, candidates, search] =
            [self.cursor.i32("L")?, self.cursor.i32("C")?, self.cursor.i32("search_L")?];
        self.cursor.i32("the entry point")?;
        if self.cursor.flag("whether the graph is built")? {
            // Each row has up to R neighbors, ended by -1, so the graph's length is known when it has been read.
            self.cursor.require(rows.checked_mul(4), "the neighbors of all rows")?;
            for row in 0..rows {
                let begin = self.cursor.offset();
                let mut neighbors = 0;
                while self.cursor.i32("a neighbor")? != -1 {
                    neighbors += 1;
                    if neighbors > degree {
                        let text = format!("row {row} has more than {degree} neighbors");
                        return Err(self.cursor.corrupt(begin, text));
                    }
                }
            }
        }
        let parameters = vec![
            ("R", Parameter::Number(degree)),
            ("L", Parameter::Signed(construction.into())),
            ("C", Parameter::Signed(candidates.into())),
            ("searchL", Parameter::Signed(search.into())),
        ];
        Ok(Graph { degree, parameters, row_bytes: Vec::new() })
    }

    pub(crate) fn nn_descent(&mut self) -> Result<Graph> {
        /// Rows, dimension, K; S, R, L, iterations, search_L, seed.
        const NUMBERS: u64 = 9;
        self.cursor.skip(Some(2 * 4), "the size of a graph")?;
        let degree = self.cursor.small("the neighbors of a row")?;
        self.cursor.skip(Some((NUMBERS - 3) * 4), "the parameters of a graph")?;
        self.cursor.flag("whether the graph is built")?;
        self.cursor.vector(4, "the neighbors of all rows")?;
        Ok(Graph { degree, parameters: vec![("K", Parameter::Number(degree))], row_bytes: Vec::new() })
    }
}
