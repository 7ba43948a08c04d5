//! `ANN_INDEX_METADATA`: a struct of Thrift in the binary protocol
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md>).

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{BuildError, ErrorKind, Result};

const BOOL: u8 = 2;
const I32: u8 = 8;
const I64: u8 = 10;
const STOP: u8 = 0;

/// Seconds since 1970 (field 1, i64), whether there are groups (field 3, bool), and how many (field 4, i32).
pub(crate) fn group_metadata(groups: usize, time: SystemTime) -> Result<Vec<u8>> {
    let too_many = |_| BuildError::invalid(format!("{groups} groups are too many for one output"));
    let groups = i32::try_from(groups).map_err(too_many)?;
    let out_of_range = |_| BuildError::new(ErrorKind::Internal, "the clock of this machine is out of range");
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).map_err(out_of_range)?;
    let mut bytes = vec![I64, 0, 1];
    bytes.extend(seconds.to_be_bytes());
    bytes.extend([BOOL, 0, 3, 1, I32, 0, 4]);
    bytes.extend(groups.to_be_bytes());
    bytes.push(STOP);
    Ok(bytes)
}
