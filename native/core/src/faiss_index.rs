//! Faiss behind a safe surface. With the files `faiss_*.rs` and `graph_*.rs` beside it, all of this crate's `unsafe`.

#![expect(unsafe_code, reason = "the C++ shim is reached through extern functions")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use faiss_sys as _; // Links Faiss; the symbols used here are the shim's.
use log::info;

use crate::cancellation::{Cancellation, cancelled};
use crate::error::{BuildError, ErrorKind, Result};
use crate::numbers::{to_i32, to_i64, to_u64, to_usize};
use crate::workers::Workers;

/// Version of the Faiss that is linked in, from its headers (build.rs).
pub(crate) const FAISS_VERSION: &str = env!("FAISS_VERSION");

/// The metrics that Faiss computes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaissMetric {
    InnerProduct,
    L2,
    L1,
    Linf,
}

impl FaissMetric {
    const ALL: [Self; 4] = [Self::InnerProduct, Self::L2, Self::L1, Self::Linf];

    /// `faiss::MetricType` in MetricType.h.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::InnerProduct => 0,
            Self::L2 => 1,
            Self::L1 => 2,
            Self::Linf => 3,
        }
    }

    pub(crate) fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.number() == number)
    }
}

/// What a trained index stores per row and how its rows are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Shape {
    pub(crate) dimension: u64,
    /// Number of inverted lists; 0 for an index without any.
    pub(crate) nlist: u64,
    /// Bytes per row of the code that is searched.
    pub(crate) code_size: u64,
    /// Bytes per row of the code that refines the result; 0 where there is none.
    pub(crate) second_code_size: u64,
    /// Rows per block of codes that Faiss stores interleaved; 0 where each code stands for itself.
    pub(crate) packed_block_rows: u64,
    /// Sub-quantizers of interleaved codes.
    pub(crate) packed_subquantizers: u64,
    /// About how many multiplications the codes of one row take.
    pub(crate) multiplications: u64,
    /// Sub-quantizers whose centroids still wait for [`FaissIndex::order_subquantizers`] after training.
    polysemous_subquantizers: u64,
    /// Transforms that rows go through first.
    transforms: u64,
    /// 1 when another index refines the result, else 0.
    refining_indexes: u64,
}

impl Shape {
    /// The shape of rows that are kept as they came, for an index that is built from them in one piece.
    pub(crate) fn raw_rows(dimension: u64) -> Self {
        Self { dimension, code_size: dimension * 4, ..Self::default() }
    }

    /// Bytes per row of both codes.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.code_size + self.second_code_size
    }
}

/// What stands around the index in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OuterIdMap {
    None,
    /// `IndexIDMap`.
    Plain,
    /// `IndexIDMap2`, which readers give a table from id to place.
    Reversible,
}

impl OuterIdMap {
    /// The number that the shim knows it by.
    fn number(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Plain => 1,
            Self::Reversible => 2,
        }
    }
}

/// Rows that are left out of a [`FileTemplate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowPart {
    Lists,
    FirstCodes,
    SecondCodes,
    IdMap,
}

/// Where rows belong in a [`FileTemplate`]; the length of a vector is left out with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowPlace {
    pub(crate) part: RowPart,
    /// Bytes of the template before it.
    pub(crate) offset: usize,
    /// Bytes per unit of the vector's length.
    pub(crate) unit_bytes: u64,
}

/// The bytes of an index file without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileTemplate {
    pub(crate) bytes: Vec<u8>,
    /// In the order of the file.
    pub(crate) places: Vec<RowPlace>,
}

/// As the shim lays it out.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Mark {
    kind: u64,
    offset: u64,
    unit_bytes: u64,
}

/// An index that holds no rows: untrained, or trained.
#[derive(Debug)]
pub(crate) struct FaissIndex {
    pointer: *mut c_void,
    shape: Shape,
}

// SAFETY: the pointer is owned by this value alone, and Faiss ties no index to a thread.
unsafe impl Send for FaissIndex {}
// SAFETY: methods on `&self` call const members of Faiss, which are documented as safe for concurrent use, except
// `order_subquantizers`, whose exclusivity per sub-quantizer `train` guarantees.
unsafe impl Sync for FaissIndex {}

unsafe extern "C" {
    fn faiss_shim_free(memory: *mut c_void);
    fn faiss_shim_create(
        dimension: i32,
        factory: *const c_char,
        metric: i32,
        out: *mut *mut c_void,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_shim_read(bytes: *const u8, length: usize, out: *mut *mut c_void, m: *mut *mut c_char) -> i32;
    fn faiss_shim_drop(index: *mut c_void);
    fn faiss_shim_shape(index: *mut c_void, shape: *mut Shape);
    fn faiss_shim_train(
        index: *mut c_void,
        part: i32,
        rows: i64,
        x: *const f32,
        cancel: *const u8,
        m: *mut *mut c_char,
    ) -> i32;
    fn faiss_shim_order_subquantizer(index: *mut c_void, subquantizer: u64, m: *mut *mut c_char) -> i32;
    fn faiss_shim_pack(
        subquantizers: u64,
        block_rows: u64,
        rows: u64,
        codes: *const u8,
        packed: *mut u8,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_shim_write(index: *const c_void, out: *mut *mut u8, length: *mut usize, message: *mut *mut c_char) -> i32;
    fn faiss_shim_write_template(
        index: *mut c_void,
        rows: i64,
        id_map: i32,
        out: *mut *mut u8,
        length: *mut usize,
        marks: *mut Mark,
        mark_count: *mut usize,
        message: *mut *mut c_char,
    ) -> i32;
    #[cfg(test)]
    fn faiss_shim_train_alone(index: *mut c_void, rows: i64, x: *const f32, message: *mut *mut c_char) -> i32;
    #[cfg(test)]
    fn faiss_shim_add_and_write(
        index: *mut c_void,
        rows: i64,
        vectors: *const f32,
        ids: *const i64,
        rows_per_call: i64,
        id_map: i32,
        out: *mut *mut u8,
        length: *mut usize,
        message: *mut *mut c_char,
    ) -> i32;
    #[cfg(test)]
    fn faiss_shim_encode_alone(
        index: *const c_void,
        vector: *const f32,
        code: *mut u8,
        capacity: usize,
        length: *mut usize,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_shim_raise(message: *mut *mut c_char) -> i32;
}

impl FaissIndex {
    /// An untrained index of a factory string.
    pub(crate) fn create(dimension: u64, factory_string: &str, metric: FaissMetric) -> Result<Self> {
        let factory =
            CString::new(factory_string).map_err(|_| BuildError::invalid("factoryString contains a NUL character"))?;
        let dimension = to_i32(dimension)?;
        let mut pointer = ptr::null_mut();
        // SAFETY: `factory` is NUL-terminated and outlives the call; the out pointers are valid for one write.
        check(|message| unsafe {
            faiss_shim_create(dimension, factory.as_ptr(), metric.number(), &mut pointer, message)
        })?;
        Ok(Self::own(pointer))
    }

    /// An index from the bytes that [`write`] made.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut pointer = ptr::null_mut();
        // SAFETY: the pointer and length describe `bytes`, which outlives the call.
        check(|message| unsafe { faiss_shim_read(bytes.as_ptr(), bytes.len(), &mut pointer, message) })?;
        Ok(Self::own(pointer))
    }

    fn own(pointer: *mut c_void) -> Self {
        let mut shape = Shape::default();
        // SAFETY: the shim just handed over `pointer` as a live index, and `shape` has the layout of its struct.
        unsafe { faiss_shim_shape(pointer, &mut shape) };
        Self { pointer, shape }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The index as the other files of Faiss calls pass it on; valid as long as `self` is neither dropped nor moved
    /// out of.
    pub(crate) fn as_pointer(&mut self) -> *mut c_void {
        self.pointer
    }

    /// Trains on row-major `vectors`; the polysemous order of sub-quantizers is found on all workers.
    pub(crate) fn train(&mut self, vectors: &[f32], workers: &Workers, cancellation: &Cancellation) -> Result<()> {
        let rows = self.rows_in(vectors)?;
        let (index, cancel) = (self.pointer, cancellation.as_byte());
        let shape = self.shape;
        let parts = [
            (0, shape.transforms > 0, "the transforms".to_owned()),
            (1, shape.nlist > 0, format!("{} centroids of inverted lists", shape.nlist)),
            (2, true, "the codes".to_owned()),
            (3, shape.refining_indexes > 0, "the codes that refine".to_owned()),
        ];
        for (part, _, name) in parts.into_iter().filter(|(_, exists, _)| *exists) {
            info!("training {name} on {rows} rows");
            // SAFETY: `vectors` holds `rows` rows of the index's dimension (`rows_in`); `&mut self` excludes other
            // users; `cancel` points into an Arc that `cancellation` keeps alive.
            check(|message| unsafe { faiss_shim_train(index, part, rows, vectors.as_ptr(), cancel, message) })?;
        }
        self.order_subquantizers(workers, cancellation)
    }

    /// Finds the polysemous order of each sub-quantizer's centroids, which takes seconds for each.
    fn order_subquantizers(&self, workers: &Workers, cancellation: &Cancellation) -> Result<()> {
        let count = self.shape.polysemous_subquantizers;
        let ordered = AtomicU64::new(0);
        workers.each((0..count).collect(), |subquantizer| {
            cancellation.check()?;
            // SAFETY: the number is below the index's count, and no two pieces share one; `train`, the only caller,
            // has the index to itself.
            check(|message| unsafe { faiss_shim_order_subquantizer(self.pointer, subquantizer, message) })?;
            info!("ordered the centroids of {} of {count} sub-quantizers", ordered.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(())
        })
    }

    /// The number of row-major rows, refused unless it is whole.
    pub(crate) fn rows_in(&self, vectors: &[f32]) -> Result<i64> {
        let dimension = to_usize(self.shape.dimension)?;
        if dimension == 0 || !vectors.len().is_multiple_of(dimension) {
            let text = format!("{} floats are no whole number of rows of {dimension} dimensions", vectors.len());
            return Err(BuildError::new(ErrorKind::Internal, text));
        }
        to_i64(to_u64(vectors.len() / dimension))
    }

    /// The file of this index as it is.
    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        // SAFETY: writing is const for Faiss; `receive` passes valid out pointers.
        receive(|out, length, message| unsafe { faiss_shim_write(self.pointer, out, length, message) })
    }

    /// The file of `rows` rows without the rows, and where they belong.
    pub(crate) fn into_template(self, rows: u64, id_map: OuterIdMap) -> Result<FileTemplate> {
        /// Lists or codes, second codes, id map.
        const MOST_PLACES: usize = 3;
        let (index, rows, mut count) = (self.pointer, to_i64(rows)?, MOST_PLACES);
        let mut marks = [Mark::default(); MOST_PLACES];
        // SAFETY: this value owns the index, which nothing else uses; `marks` has room for `count` marks, and the
        // other out pointers are valid (`receive`).
        let bytes = receive(|out, length, message| unsafe {
            let marks = marks.as_mut_ptr();
            faiss_shim_write_template(index, rows, id_map.number(), out, length, marks, &mut count, message)
        })?;
        let places = marks.iter().take(count).map(|mark| {
            let part = match mark.kind {
                0 => RowPart::Lists,
                1 => RowPart::FirstCodes,
                2 => RowPart::SecondCodes,
                _ => RowPart::IdMap,
            };
            Ok(RowPlace { part, offset: to_usize(mark.offset)?, unit_bytes: mark.unit_bytes })
        });
        Ok(FileTemplate { places: places.collect::<Result<_>>()?, bytes })
    }

    /// Trains as Faiss does without our part.
    #[cfg(test)]
    pub(crate) fn train_alone(&mut self, vectors: &[f32]) -> Result<()> {
        let (index, rows) = (self.pointer, self.rows_in(vectors)?);
        // SAFETY: `vectors` holds `rows` rows; `&mut self` excludes other users of the index.
        check(|message| unsafe { faiss_shim_train_alone(index, rows, vectors.as_ptr(), message) })
    }

    /// What Faiss itself makes of one row in a call of its own: the number of its list, if there is one, and its code.
    #[cfg(test)]
    pub(crate) fn encode_alone(&self, vector: &[f32]) -> Result<Vec<u8>> {
        assert_eq!(self.rows_in(vector)?, 1);
        let (mut code, mut length) = (vec![0; vector.len() * 4 + 64], 0);
        // SAFETY: `vector` is one row, and the shim writes no more than the buffer's length.
        check(|message| unsafe {
            let (x, bytes, capacity) = (vector.as_ptr(), code.as_mut_ptr(), code.len());
            faiss_shim_encode_alone(self.pointer, x, bytes, capacity, &mut length, message)
        })?;
        code.truncate(length);
        Ok(code)
    }

    /// The file that Faiss itself writes after adding all of `vectors`, `rows_per_call` rows at a time.
    #[cfg(test)]
    pub(crate) fn add_and_write(
        &mut self,
        ids: &[i64],
        vectors: &[f32],
        rows_per_call: i64,
        id_map: OuterIdMap,
    ) -> Result<Vec<u8>> {
        let (index, rows) = (self.pointer, self.rows_in(vectors)?);
        assert!(i64::try_from(ids.len()).ok() == Some(rows) && rows_per_call > 0);
        // SAFETY: `ids` and `vectors` hold `rows` rows; `&mut self` excludes other users of the index.
        receive(|out, length, message| unsafe {
            let (x, keys) = (vectors.as_ptr(), ids.as_ptr());
            faiss_shim_add_and_write(index, rows, x, keys, rows_per_call, id_map.number(), out, length, message)
        })
    }
}

/// Packs the codes of `rows` rows of `subquantizers` 4-bit sub-codes into whole blocks of `block_rows` rows.
pub(crate) fn pack_fast_scan(
    subquantizers: u64,
    block_rows: u64,
    rows: u64,
    codes: &[u8],
    packed: &mut [u8],
) -> Result<()> {
    let code_bytes = subquantizers.div_ceil(2);
    let fits = block_rows > 0
        && to_u64(codes.len()) == rows * code_bytes
        && to_u64(packed.len()) == rows.div_ceil(block_rows) * block_rows * code_bytes;
    if !fits {
        return Err(BuildError::new(ErrorKind::Internal, "codes to pack and their blocks do not fit together"));
    }
    // SAFETY: the lengths of both buffers were checked against the rows and the block above.
    check(|message| unsafe {
        faiss_shim_pack(subquantizers, block_rows, rows, codes.as_ptr(), packed.as_mut_ptr(), message)
    })
}

/// An exception of Faiss' own, as an error.
pub(crate) fn raise() -> Result<()> {
    // SAFETY: `check` passes a valid out pointer.
    check(|message| unsafe { faiss_shim_raise(message) })
}

impl Drop for FaissIndex {
    fn drop(&mut self) {
        // SAFETY: this value owns the index and is gone after this call.
        unsafe { faiss_shim_drop(self.pointer) }
    }
}

/// Runs a shim call that hands over bytes, and copies them.
fn receive(call: impl FnOnce(*mut *mut u8, *mut usize, *mut *mut c_char) -> i32) -> Result<Vec<u8>> {
    let (mut bytes, mut length) = (ptr::null_mut(), 0);
    check(|message| call(&mut bytes, &mut length, message))?;
    // SAFETY: on success the shim set `bytes` to `length` bytes that it allocated for us.
    let copy = unsafe { std::slice::from_raw_parts(bytes, length) }.to_vec();
    // SAFETY: `bytes` came from the shim and is not used again.
    unsafe { faiss_shim_free(bytes.cast()) };
    Ok(copy)
}

/// Runs a shim call and turns its code and message into a result.
pub(crate) fn check(call: impl FnOnce(*mut *mut c_char) -> i32) -> Result<()> {
    let mut message: *mut c_char = ptr::null_mut();
    let code = call(&mut message);
    let text = if message.is_null() {
        String::new()
    } else {
        // SAFETY: a non-null message is a NUL-terminated copy that the shim allocated for us.
        let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
        // SAFETY: as above, and `message` is not used again.
        unsafe { faiss_shim_free(message.cast()) };
        text
    };
    match code {
        0 => Ok(()),
        2 => Err(BuildError::new(ErrorKind::OutOfMemory, "Faiss could not allocate memory")),
        3 => Err(cancelled()),
        _ => Err(BuildError::new(ErrorKind::Faiss, format!("Faiss: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn openblas_get_corename() -> *const c_char;
        fn openblas_get_num_threads() -> i32;
    }

    #[test]
    fn blas_uses_one_thread_and_the_same_kernels_on_every_machine() {
        // SAFETY: both functions of OpenBLAS take nothing; the name is a static string.
        let (kernels, threads) = unsafe { (CStr::from_ptr(openblas_get_corename()), openblas_get_num_threads()) };
        assert_eq!((kernels.to_str(), threads), (Ok("Haswell"), 1));
    }

    #[test]
    fn an_exception_of_faiss_is_an_error_with_its_words() {
        let error = raise().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Faiss);
        assert!(error.to_string().contains("d % M == 0"), "{error}");
    }
}
