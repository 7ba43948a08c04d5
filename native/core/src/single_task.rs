//! The build of families whose rows cannot be encoded apart: one task holds all rows and fills the index.

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::graph_hnsw::build_hnsw;
use crate::graph_index::{GraphIndex, Level, Part, Write};
use crate::graph_nsg::build_nsg;
use crate::numbers::to_u64;
use crate::stage::Progress;
use crate::workers::Workers;

/// Fills the trained index with all rows, which come in id order, and hands its file to `write` in pieces of at most
/// 1 MiB. The file is the one that Faiss writes after adding all rows in one call on one thread to an `IndexIDMap`
/// around the trained index, whatever the number of workers. Progress counts each row once.
pub(crate) fn build_single_task(
    trained: &[u8],
    ids: Vec<i64>,
    vectors: Vec<f32>,
    write: &mut Write<'_>,
    workers: &Workers,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<()> {
    let mut index = GraphIndex::read(trained)?;
    let task = Task { rows: ids.len(), workers, cancellation, progress };
    let mut whole = index.whole();
    let dimension = whole.dimension()?;
    if vectors.len() != ids.len() * dimension {
        let text = format!("{} ids do not fit {} floats of {dimension} dimensions", ids.len(), vectors.len());
        return Err(BuildError::new(ErrorKind::Internal, text));
    }
    match whole.level() {
        Level::IdMap { mut inner } => task.fill(&mut inner, Rows::Owned(vectors))?,
        _ => task.fill(&mut whole, Rows::Owned(vectors))?,
    }
    index.write(ids, write, cancellation)
}

/// Rows on their way inwards. Owned ones are dropped as soon as nothing needs them any more.
enum Rows<'rows> {
    Owned(Vec<f32>),
    Borrowed(&'rows [f32]),
}

impl Rows<'_> {
    fn floats(&self) -> &[f32] {
        match self {
            Rows::Owned(floats) => floats,
            Rows::Borrowed(floats) => floats,
        }
    }
}

struct Task<'task> {
    rows: usize,
    workers: &'task Workers,
    cancellation: &'task Cancellation,
    progress: &'task Progress,
}

impl Task<'_> {
    fn fill(&self, part: &mut Part<'_>, rows: Rows<'_>) -> Result<()> {
        match part.level() {
            Level::Transforms { mut inner } => {
                let transformed = part.transform(rows.floats(), self.workers, self.cancellation)?;
                drop(rows);
                self.fill(&mut inner, Rows::Owned(transformed))?;
                part.set_rows(self.rows);
            }
            Level::Refined { mut base, mut finer } => {
                self.fill(&mut base, Rows::Borrowed(rows.floats()))?;
                self.fill_uncounted(&mut finer, rows.floats())?;
                part.set_rows(self.rows);
            }
            Level::Hnsw { mut storage } => {
                storage.encode(rows.floats(), self.workers, self.cancellation)?;
                let kept = storage.keeps_rows();
                let rows = if kept { None } else { Some(rows) };
                let vectors = rows.as_ref().map(Rows::floats);
                build_hnsw(part, vectors, self.rows, self.workers, self.cancellation, self.progress)?;
            }
            Level::Nsg { mut storage } => {
                storage.encode(rows.floats(), self.workers, self.cancellation)?;
                drop(rows);
                build_nsg(part, self.rows, self.workers, self.cancellation, self.progress)?;
            }
            Level::Codes | Level::IdMap { .. } | Level::Other => {
                self.fill_uncounted(part, rows.floats())?;
                self.progress.add_rows(to_u64(self.rows));
            }
        }
        Ok(())
    }

    fn fill_uncounted(&self, part: &mut Part<'_>, rows: &[f32]) -> Result<()> {
        match part.level() {
            Level::Codes => part.encode(rows, self.workers, self.cancellation),
            _ => part.add(rows, self.cancellation),
        }
    }
}
