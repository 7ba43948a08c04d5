//! Formats are told apart by the first bytes of a file, whatever its name.

use crate::error::{InputError, Result};
use crate::file_bytes::FileBytes;
use crate::number::{to_u64, to_usize};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Parquet,
    ArrowFile,
    ArrowStream,
    Npy,
}

const LONGEST_MAGIC: usize = 6;

const MAGICS: [(&[u8], FileFormat); 4] = [
    (b"PAR1", FileFormat::Parquet),
    (b"ARROW1", FileFormat::ArrowFile),
    // The mark of an encapsulated message since Arrow 0.15.
    (b"\xFF\xFF\xFF\xFF", FileFormat::ArrowStream),
    (b"\x93NUMPY", FileFormat::Npy),
];

const REFUSED_MAGICS: [(&[u8], &str); 6] = [
    (b"", "is empty"),
    (b"PARE", "is a Parquet file with an encrypted footer"),
    (b"PK\x03\x04", "is a zip or .npz archive, which has to be unpacked first"),
    (b"\x1F\x8B", "is compressed with gzip, which has to be undone first"),
    (b"\x28\xB5\x2F\xFD", "is compressed with zstd, which has to be undone first"),
    (b"FEA1", "is a file of Feather version 1, which has to be written again as version 2"),
];

impl FileFormat {
    pub(crate) fn of(file: &FileBytes) -> Result<Self> {
        let length = to_u64(LONGEST_MAGIC).min(file.length());
        let start = file.range(0, to_usize(length)).map_err(|error| file.failed("its first bytes", error))?;
        Self::of_first_bytes(&start).map_err(|found| InputError::UnknownFormat { uri: file.uri().to_owned(), found })
    }

    /// What a person calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::ArrowFile => "Arrow IPC",
            Self::ArrowStream => "an Arrow IPC stream",
            Self::Npy => ".npy",
        }
    }

    fn of_first_bytes(start: &[u8]) -> std::result::Result<Self, &'static str> {
        if let Some((_, format)) = MAGICS.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Ok(*format);
        }
        let is = |magic: &[u8]| if magic.is_empty() { start.is_empty() } else { start.starts_with(magic) };
        let refused = REFUSED_MAGICS.iter().find(|(magic, _)| is(magic));
        Err(refused.map_or("is of an unknown format", |(_, found)| *found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        for (start, expected) in [
            (&b"PAR1\x15\x04"[..], Ok(FileFormat::Parquet)),
            (b"ARROW1", Ok(FileFormat::ArrowFile)),
            (b"\xFF\xFF\xFF\xFF\x70\x00", Ok(FileFormat::ArrowStream)),
            (b"\x93NUMPY", Ok(FileFormat::Npy)),
            (b"", Err("is empty")),
            (b"PAR", Err("is of an unknown format")),
            (b"id,emb", Err("is of an unknown format")),
            (b"PARE\x00\x00", Err("is a Parquet file with an encrypted footer")),
            (b"PK\x03\x04\x14\x00", Err("is a zip or .npz archive, which has to be unpacked first")),
        ] {
            assert_eq!(FileFormat::of_first_bytes(start), expected);
        }
    }
}
