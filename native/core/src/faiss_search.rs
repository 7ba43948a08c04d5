//! Searches of finished Faiss indexes, and products of matrices, behind a safe surface.

#![expect(unsafe_code, reason = "the C++ shim is reached through extern functions")]

use std::ffi::{CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::{FaissMetric, check};
use crate::numbers::{to_i32, to_i64, to_u64, to_usize};

/// What decides how thorough a search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    /// Inverted lists that are visited.
    Nprobe,
    /// Candidates that a search of an HNSW graph keeps.
    EfSearch,
    /// Candidates that a search of an NSG graph keeps.
    SearchLength,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Shape {
    dimension: u64,
    rows: u64,
    nlist: u64,
    metric: u64,
    dial: u64,
}

/// An index with its rows, as read from a file.
#[derive(Debug)]
pub(crate) struct SearchableIndex {
    pointer: *mut c_void,
    shape: Shape,
}

// SAFETY: the pointer is owned by this value alone, and Faiss ties no index to a thread.
unsafe impl Send for SearchableIndex {}
// SAFETY: methods on `&self` call const members of Faiss, which are documented as safe for concurrent use.
unsafe impl Sync for SearchableIndex {}

unsafe extern "C" {
    fn faiss_shim_drop(index: *mut c_void);
    fn faiss_search_open(path: *const c_char, out: *mut *mut c_void, message: *mut *mut c_char) -> i32;
    fn faiss_search_shape(index: *mut c_void, shape: *mut Shape);
    fn faiss_search_list_sizes(index: *mut c_void, sizes: *mut u64);
    fn faiss_search_turn_dial(index: *mut c_void, value: u64);
    fn faiss_search_run(
        index: *const c_void,
        rows: i64,
        queries: *const f32,
        k: i64,
        distances: *mut f32,
        labels: *mut i64,
        cancel: *const u8,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_search_inner_products(
        dimension: i32,
        query_count: i32,
        queries: *const f32,
        row_count: i32,
        rows: *const f32,
        products: *mut f32,
    );
}

impl SearchableIndex {
    /// Reads an index file, and leaves in the file what Faiss can map.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| BuildError::invalid(format!("the path {} contains a NUL character", path.display())))?;
        let mut pointer = ptr::null_mut();
        // SAFETY: `name` is NUL-terminated and outlives the call; the out pointers are valid for one write.
        check(|message| unsafe { faiss_search_open(name.as_ptr(), &mut pointer, message) })?;
        let mut shape = Shape::default();
        // SAFETY: the shim just handed over `pointer` as a live index, and `shape` has the layout of its struct.
        unsafe { faiss_search_shape(pointer, &mut shape) };
        Ok(Self { pointer, shape })
    }

    pub(crate) fn dimension(&self) -> u64 {
        self.shape.dimension
    }

    pub(crate) fn rows(&self) -> u64 {
        self.shape.rows
    }

    /// The metric by its number in Faiss' MetricType.h, if it is one that we build.
    pub(crate) fn metric(&self) -> Option<FaissMetric> {
        FaissMetric::from_number(i32::try_from(self.shape.metric).ok()?)
    }

    pub(crate) fn dial(&self) -> Option<Dial> {
        match self.shape.dial {
            1 => Some(Dial::Nprobe),
            2 => Some(Dial::EfSearch),
            3 => Some(Dial::SearchLength),
            _ => None,
        }
    }

    /// Rows of each inverted list; empty without lists.
    pub(crate) fn list_sizes(&self) -> Result<Vec<u64>> {
        let mut sizes = vec![0; to_usize(self.shape.nlist)?];
        if !sizes.is_empty() {
            // SAFETY: the shim writes one entry for each of the shape's lists.
            unsafe { faiss_search_list_sizes(self.pointer, sizes.as_mut_ptr()) };
        }
        Ok(sizes)
    }

    /// Sets how thorough searches are. Has no effect without a dial.
    pub(crate) fn turn_dial(&mut self, value: u64) {
        // A graph's dial is an int. With more lists than there are, Faiss reads memory that nothing was written to
        // (IndexIVFAdditiveQuantizerFastScan::compute_LUT).
        let most = if self.dial() == Some(Dial::Nprobe) { self.shape.nlist } else { 1 << 30 };
        let value = value.min(most).max(1);
        // SAFETY: `&mut self` excludes searches.
        unsafe { faiss_search_turn_dial(self.pointer, value) };
    }

    /// The `k` nearest rows of each row-major query, nearest first: distances as Faiss gives them, and ids, which are
    /// -1 where there are fewer.
    pub(crate) fn search(
        &self,
        queries: &[f32],
        k: usize,
        cancellation: &Cancellation,
    ) -> Result<(Vec<f32>, Vec<i64>)> {
        let dimension = to_usize(self.shape.dimension)?;
        if dimension == 0 || !queries.len().is_multiple_of(dimension) || k == 0 {
            let text = format!("{} floats are no queries of {dimension} dimensions for {k} rows", queries.len());
            return Err(BuildError::new(ErrorKind::Internal, text));
        }
        let rows = queries.len() / dimension;
        let (mut distances, mut labels) = (vec![0.0; rows * k], vec![-1; rows * k]);
        let (count, depth, cancel) = (to_i64(to_u64(rows))?, to_i64(to_u64(k))?, cancellation.as_byte());
        // SAFETY: `queries` holds `count` rows of the index's dimension, the results have `depth` entries for each;
        // `cancel` points into an Arc that `cancellation` keeps alive.
        check(|message| unsafe {
            let (found, ids) = (distances.as_mut_ptr(), labels.as_mut_ptr());
            faiss_search_run(self.pointer, count, queries.as_ptr(), depth, found, ids, cancel, message)
        })?;
        Ok((distances, labels))
    }
}

impl Drop for SearchableIndex {
    fn drop(&mut self) {
        // SAFETY: this value owns the index and is gone after this call.
        unsafe { faiss_shim_drop(self.pointer) }
    }
}

/// Writes the inner products of all row-major `queries` with all `rows` to `products`, query after query.
pub(crate) fn inner_products(dimension: usize, queries: &[f32], rows: &[f32], products: &mut [f32]) -> Result<()> {
    let width = dimension.max(1);
    let (query_count, row_count) = (queries.len() / width, rows.len() / width);
    let fits = queries.len() == query_count * dimension
        && rows.len() == row_count * dimension
        && products.len() == query_count * row_count;
    if !fits || dimension == 0 {
        return Err(BuildError::new(ErrorKind::Internal, "a matrix product was given buffers of the wrong size"));
    }
    if products.is_empty() {
        return Ok(());
    }
    let (dimension, queried, counted) =
        (to_i32(to_u64(dimension))?, to_i32(to_u64(query_count))?, to_i32(to_u64(row_count))?);
    // SAFETY: the lengths of all three buffers were checked above, and BLAS keeps no pointer.
    unsafe {
        let (x, y, out) = (queries.as_ptr(), rows.as_ptr(), products.as_mut_ptr());
        faiss_search_inner_products(dimension, queried, x, counted, y, out);
    }
    Ok(())
}
