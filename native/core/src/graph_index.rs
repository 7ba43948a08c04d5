//! An index that one task fills: its parts, from the outside in, and what is done to each.

#![expect(unsafe_code, reason = "the C++ shim is reached through extern functions")]

use std::any::Any;
use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::{FaissIndex, FaissMetric, check};
use crate::numbers::{to_u64, to_usize};
use crate::workers::Workers;

/// An index that owns all its parts.
#[derive(Debug)]
pub(crate) struct GraphIndex(FaissIndex);

/// An index inside a [`GraphIndex`], or the whole of it.
#[derive(Debug)]
pub(crate) struct Part<'index> {
    pointer: *mut c_void,
    index: PhantomData<&'index mut FaissIndex>,
}

/// What a part is, and the parts inside it.
#[derive(Debug)]
pub(crate) enum Level<'index> {
    Transforms {
        inner: Part<'index>,
    },
    Refined {
        base: Part<'index>,
        finer: Part<'index>,
    },
    IdMap {
        inner: Part<'index>,
    },
    Hnsw {
        storage: Part<'index>,
    },
    Nsg {
        storage: Part<'index>,
    },
    /// Codes that do not depend on the rows beside them.
    Codes,
    /// Whatever Faiss' own add of all rows has to fill.
    Other,
}

/// Receives a file piece by piece.
pub(crate) type Write<'sink> = dyn FnMut(&[u8]) -> Result<()> + 'sink;

#[repr(C)]
struct RawLevel {
    kind: i32,
    dimension: u64,
    inner_dimension: u64,
    inner: *mut c_void,
    second: *mut c_void,
    keeps_rows: i32,
}

/// Memory of one part, without the parts inside it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct RowBytes {
    /// Per row of the finished part, as is `graph`.
    pub(crate) codes: f64,
    pub(crate) graph: f64,
    /// Per row besides, while the graph is made or rows are added.
    pub(crate) work: f64,
    /// Of all rows together: tables that a graph is made with.
    pub(crate) tables: f64,
}

unsafe extern "C" {
    fn faiss_graph_row_bytes(index: *const c_void, bytes: *mut RowBytes);
    fn faiss_graph_level(index: *mut c_void, level: *mut RawLevel);
    fn faiss_graph_transform(
        index: *const c_void,
        rows: u64,
        vectors: *const f32,
        transformed: *mut f32,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_graph_reserve_codes(index: *mut c_void, rows: u64, cancel: *const u8, message: *mut *mut c_char) -> i32;
    fn faiss_graph_encode(
        index: *mut c_void,
        first: u64,
        rows: u64,
        vectors: *const f32,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_graph_add(
        index: *mut c_void,
        rows: u64,
        vectors: *const f32,
        cancel: *const u8,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_graph_set_rows(index: *mut c_void, rows: u64);
    fn faiss_graph_write(
        index: *mut c_void,
        rows: u64,
        ids: *const i64,
        write: unsafe extern "C" fn(*mut c_void, *const u8, usize) -> i32,
        context: *mut c_void,
        cancel: *const u8,
        message: *mut *mut c_char,
    ) -> i32;
}

impl GraphIndex {
    /// A trained index without rows.
    pub(crate) fn read(trained: &[u8]) -> Result<Self> {
        FaissIndex::read(trained).map(Self)
    }

    /// An untrained index of a factory string.
    pub(crate) fn create(dimension: u64, factory_string: &str, metric: FaissMetric) -> Result<Self> {
        FaissIndex::create(dimension, factory_string, metric).map(Self)
    }

    /// The outermost part.
    pub(crate) fn whole(&mut self) -> Part<'_> {
        Part { pointer: self.0.as_pointer(), index: PhantomData }
    }

    /// Writes the filled index with an id map around it, its own if it has one.
    pub(crate) fn write(&mut self, ids: Vec<i64>, write: &mut Write<'_>, cancellation: &Cancellation) -> Result<()> {
        let mut sink = Sink { write, failure: None };
        let context = ptr::from_mut(&mut sink).cast::<c_void>();
        let (index, cancel, rows) = (self.0.as_pointer(), cancellation.as_byte(), to_u64(ids.len()));
        // SAFETY: `ids` holds `rows` ids; `context` is the `Sink` that `write_piece` expects and nobody else touches
        // it during the call; `&mut self` excludes other users of the index.
        let result = check(|message| unsafe {
            faiss_graph_write(index, rows, ids.as_ptr(), write_piece, context, cancel, message)
        });
        match sink.failure {
            Some(Failure::Error(error)) => Err(error),
            Some(Failure::Panic(payload)) => resume_unwind(payload),
            None => result,
        }
    }
}

impl<'index> Part<'index> {
    pub(crate) fn level(&mut self) -> Level<'index> {
        let raw = self.raw_level();
        let inner = Part { pointer: raw.inner, index: PhantomData };
        match raw.kind {
            1 => Level::Transforms { inner },
            2 => Level::Refined { base: inner, finer: Part { pointer: raw.second, index: PhantomData } },
            3 => Level::IdMap { inner },
            4 => Level::Hnsw { storage: inner },
            5 => Level::Nsg { storage: inner },
            6 => Level::Codes,
            _ => Level::Other,
        }
    }

    fn raw_level(&self) -> RawLevel {
        let (inner, second) = (ptr::null_mut(), ptr::null_mut());
        let mut raw = RawLevel { kind: 0, dimension: 0, inner_dimension: 0, inner, second, keeps_rows: 0 };
        // SAFETY: the pointer is a live index, and `raw` has the layout of the shim's struct.
        unsafe { faiss_graph_level(self.pointer, &mut raw) };
        raw
    }

    /// Whether the rows can be read from this part as they were, once it is filled.
    pub(crate) fn keeps_rows(&self) -> bool {
        self.raw_level().keeps_rows != 0
    }

    pub(crate) fn row_bytes(&self) -> RowBytes {
        let mut bytes = RowBytes::default();
        // SAFETY: the pointer is a live index, and `bytes` has the layout of the shim's struct.
        unsafe { faiss_graph_row_bytes(self.pointer, &mut bytes) };
        bytes
    }

    pub(crate) fn as_pointer(&mut self) -> *mut c_void {
        self.pointer
    }

    pub(crate) fn dimension(&self) -> Result<usize> {
        to_usize(self.raw_level().dimension)
    }

    /// The rows that the part inside [`Level::Transforms`] gets.
    pub(crate) fn transform(
        &self,
        vectors: &[f32],
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<Vec<f32>> {
        let raw = self.raw_level();
        let (from, to) = (to_usize(raw.dimension)?, to_usize(raw.inner_dimension)?);
        let mut transformed = zeros(vectors.len() / from * to)?;
        let index = Shared(self.pointer);
        let blocks = Blocks::new(vectors.len() / from, from);
        let mut pieces = Vec::with_capacity(blocks.count);
        let mut rest = transformed.as_mut_slice();
        for (first, rows) in blocks.iter() {
            let (piece, behind) = rest.split_at_mut(rows * to);
            pieces.push((&vectors[first * from..(first + rows) * from], rows, piece));
            rest = behind;
        }
        workers.each(pieces, |(block, rows, piece)| {
            cancellation.check()?;
            let index = &index;
            let (x, out) = (block.as_ptr(), piece.as_mut_ptr());
            // SAFETY: `block` and `piece` hold `rows` rows of the dimensions before and after; applying transforms
            // changes nothing, so several threads may do it.
            check(|message| unsafe { faiss_graph_transform(index.0, to_u64(rows), x, out, message) })
        })?;
        Ok(transformed)
    }

    #[cfg(test)]
    pub(crate) fn transform_in_one_call(&self, vectors: &[f32]) -> Result<Vec<f32>> {
        let raw = self.raw_level();
        let rows = rows_in(vectors, to_usize(raw.dimension)?)?;
        let mut transformed = vec![0.0; rows * to_usize(raw.inner_dimension)?];
        let (x, out) = (vectors.as_ptr(), transformed.as_mut_ptr());
        // SAFETY: both buffers hold `rows` rows of the dimensions before and after.
        check(|message| unsafe { faiss_graph_transform(self.pointer, to_u64(rows), x, out, message) })?;
        Ok(transformed)
    }

    /// Fills a part of [`Level::Codes`] that has no rows.
    pub(crate) fn encode(&mut self, vectors: &[f32], workers: &Workers, cancellation: &Cancellation) -> Result<()> {
        let dimension = self.dimension()?;
        let count = rows_in(vectors, dimension)?;
        let (pointer, cancel) = (self.pointer, cancellation.as_byte());
        // SAFETY: the pointer is a live index that `&mut self` excludes others from.
        check(|message| unsafe { faiss_graph_reserve_codes(pointer, to_u64(count), cancel, message) })?;
        let index = Shared(self.pointer);
        workers.each(Blocks::new(count, dimension).iter().collect(), |(first, rows)| {
            cancellation.check()?;
            let index = &index;
            let block = &vectors[first * dimension..(first + rows) * dimension];
            // SAFETY: `block` holds `rows` rows; the codes have room for all rows, and no two blocks share a row.
            check(|message| unsafe {
                faiss_graph_encode(index.0, to_u64(first), to_u64(rows), block.as_ptr(), message)
            })
        })
    }

    /// Faiss' own add.
    pub(crate) fn add(&mut self, vectors: &[f32], cancellation: &Cancellation) -> Result<()> {
        let rows = to_u64(rows_in(vectors, self.dimension()?)?);
        let (index, cancel) = (self.pointer, cancellation.as_byte());
        // SAFETY: `vectors` holds `rows` rows of the index's dimension; `&mut self` excludes other users.
        check(|message| unsafe { faiss_graph_add(index, rows, vectors.as_ptr(), cancel, message) })
    }

    /// Says how many rows the parts inside have got.
    pub(crate) fn set_rows(&mut self, rows: usize) {
        // SAFETY: the pointer is a live index that `&mut self` excludes others from.
        unsafe { faiss_graph_set_rows(self.pointer, to_u64(rows)) }
    }
}

fn zeros(floats: usize) -> Result<Vec<f32>> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(floats).map_err(|_| {
        let text = format!("no memory for the {} bytes of the transformed rows", 4 * floats);
        BuildError::new(ErrorKind::OutOfMemory, text)
    })?;
    zeros.resize(floats, 0.0);
    Ok(zeros)
}

fn rows_in(vectors: &[f32], dimension: usize) -> Result<usize> {
    if dimension == 0 || !vectors.len().is_multiple_of(dimension) {
        let text = format!("{} floats are no whole number of rows of {dimension} dimensions", vectors.len());
        return Err(BuildError::new(ErrorKind::Internal, text));
    }
    Ok(vectors.len() / dimension)
}

/// A Faiss index that several threads use in ways that exclude each other's memory.
struct Shared(*mut c_void);

// SAFETY: whoever makes one uses it only for calls that may run at the same time, and says so there.
unsafe impl Sync for Shared {}

/// How rows are cut for calls of Faiss: in whole register tiles of matrix multiplication, so that a row is rounded as
/// if all rows came in one call; what is left over joins the last block, which must not be so small that Faiss leaves
/// matrix multiplication aside (distances.cpp, distance_compute_blas_threshold).
#[derive(Debug, Clone, Copy)]
struct Blocks {
    rows: usize,
    block: usize,
    count: usize,
}

impl Blocks {
    fn new(rows: usize, dimension: usize) -> Self {
        /// A multiple of both OpenBLAS' tile of 12 columns and of the blocks of 32 in which Faiss encodes.
        const TILE: usize = 96;
        const MOST_ROWS: usize = 960;
        /// About a fifth of a second of one core, so that a call can be cancelled in time.
        const MOST_MULTIPLICATIONS: usize = 2_000_000_000;
        let block =
            (MOST_MULTIPLICATIONS / (dimension * (dimension + 256)).max(1)).clamp(TILE, MOST_ROWS) / TILE * TILE;
        Self { rows, block, count: if rows == 0 { 0 } else { (rows / block).max(1) } }
    }

    /// First row and number of rows of each block.
    fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |number| {
            let first = number * self.block;
            (first, if number + 1 == self.count { self.rows - first } else { self.block })
        })
    }
}

struct Sink<'write, 'sink> {
    write: &'write mut Write<'sink>,
    failure: Option<Failure>,
}

enum Failure {
    Error(BuildError),
    Panic(Box<dyn Any + Send>),
}

/// Returns 0 when the file cannot be written; why is left in the sink, because neither an error nor a panic can pass
/// through Faiss.
///
/// # Safety
/// `context` is a `Sink` that nobody else uses, and `bytes` points to `length` bytes.
unsafe extern "C" fn write_piece(context: *mut c_void, bytes: *const u8, length: usize) -> i32 {
    // SAFETY: what the caller promises.
    let (sink, piece) = unsafe { (&mut *context.cast::<Sink<'_, '_>>(), std::slice::from_raw_parts(bytes, length)) };
    sink.failure = match catch_unwind(AssertUnwindSafe(|| (sink.write)(piece))) {
        Ok(Ok(())) => return 1,
        Ok(Err(error)) => Some(Failure::Error(error)),
        Err(payload) => Some(Failure::Panic(payload)),
    };
    0
}
