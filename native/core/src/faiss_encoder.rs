//! Lists and codes of rows, each as Faiss gives them to a row that comes alone.

#![expect(unsafe_code, reason = "the C++ shim is reached through extern functions")]

use std::ffi::{c_char, c_void};
use std::ptr;

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::{FaissIndex, Shape, check};
use crate::numbers::to_usize;

/// A trained index made ready to encode.
#[derive(Debug)]
pub(crate) struct FaissRowEncoder {
    encoder: *mut c_void,
    /// What the encoder points into.
    index: FaissIndex,
}

// SAFETY: the encoder is owned by this value alone and tied to no thread.
unsafe impl Send for FaissRowEncoder {}
// SAFETY: the only method that reaches the encoder reads it and const members of Faiss, which are documented as safe
// for concurrent use.
unsafe impl Sync for FaissRowEncoder {}

unsafe extern "C" {
    fn faiss_shim_encoder_create(
        index: *const c_void,
        shape: *const Shape,
        out: *mut *mut c_void,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_shim_encoder_drop(encoder: *mut c_void);
    fn faiss_shim_encode(
        encoder: *const c_void,
        rows: i64,
        vectors: *const f32,
        lists: *mut i64,
        codes: *mut u8,
        cancel: *const u8,
        message: *mut *mut c_char,
    ) -> i32;
}

impl FaissRowEncoder {
    pub(crate) fn new(mut index: FaissIndex) -> Result<Self> {
        let (pointer, shape, mut encoder) = (index.as_pointer(), index.shape(), ptr::null_mut());
        // SAFETY: `pointer` is a live index, which the new value owns and leaves alone; `encoder` is valid for one
        // write.
        check(|message| unsafe { faiss_shim_encoder_create(pointer, &shape, &mut encoder, message) })?;
        Ok(Self { encoder, index })
    }

    pub(crate) fn shape(&self) -> Shape {
        self.index.shape()
    }

    /// Writes the list number and the code (the first and then the second, not packed) of each row of `vectors`.
    /// `lists` has one entry per row, or none for an index without inverted lists.
    pub(crate) fn encode(
        &self,
        vectors: &[f32],
        lists: &mut [i64],
        codes: &mut [u8],
        cancellation: &Cancellation,
    ) -> Result<()> {
        let shape = self.shape();
        let rows = self.index.rows_in(vectors)?;
        let count = to_usize(u64::try_from(rows).unwrap_or_default())?;
        let fits = codes.len() == count * to_usize(shape.row_bytes())?
            && lists.len() == if shape.nlist == 0 { 0 } else { count };
        if !fits {
            return Err(BuildError::new(ErrorKind::Internal, "encode was given buffers of the wrong size"));
        }
        let cancel = cancellation.as_byte();
        // SAFETY: the lengths of all three buffers were checked against the rows and the shape above.
        check(|message| unsafe {
            let (vectors, lists, codes) = (vectors.as_ptr(), lists.as_mut_ptr(), codes.as_mut_ptr());
            faiss_shim_encode(self.encoder, rows, vectors, lists, codes, cancel, message)
        })
    }
}

impl Drop for FaissRowEncoder {
    fn drop(&mut self) {
        // SAFETY: this value owns the encoder, whose index is dropped after it.
        unsafe { faiss_shim_encoder_drop(self.encoder) }
    }
}
