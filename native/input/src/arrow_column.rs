//! A column of a record batch, decoded a few rows at a time.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, make_array, new_empty_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_ipc::CompressionType;
use arrow_schema::{DataType, Field};
use arrow_select::take::{TakeOptions, take};

use crate::arrow_buffer::{BufferReader, Decoded};
use crate::arrow_message::{DictionaryIds, Level};
use crate::file_bytes::FileBytes;
use crate::number::to_usize;

/// The values of dictionaries by their numbers.
pub(crate) type Dictionaries = HashMap<i64, ArrayRef>;

/// Where the buffers of a record batch are and what they need to be understood.
pub(crate) struct BatchBody<'a> {
    pub(crate) file: &'a Arc<FileBytes>,
    pub(crate) start: u64,
    pub(crate) compression: Option<CompressionType>,
    pub(crate) dictionary_ids: &'a DictionaryIds,
    pub(crate) dictionaries: &'a Dictionaries,
}

/// Decodes a column from front to back.
pub(crate) struct ColumnReader {
    /// Of the structs around the column.
    validities: Vec<Option<BufferReader>>,
    values: LevelReader,
}

struct LevelReader {
    rows: u64,
    validity: Option<BufferReader>,
    content: Content,
}

enum Content {
    Numbers { data_type: DataType, width: u64, values: BufferReader },
    Lists { offset_width: OffsetWidth, offsets: BufferReader, child: Box<LevelReader> },
    FixedLists { length: u64, child: Box<LevelReader> },
    Keys { keys: Box<LevelReader>, values: ArrayRef },
}

#[derive(Clone, Copy)]
enum OffsetWidth {
    Four,
    Eight,
}

impl ColumnReader {
    /// `data_type` is the type of the column at the end of `path`; `levels` are those of the structs around it, its own
    /// and those below.
    pub(crate) fn open(body: &BatchBody<'_>, data_type: &DataType, path: &[String], levels: &[Level]) -> Decoded<Self> {
        let outer = path.len().saturating_sub(1).min(levels.len());
        let (structs, own) = levels.split_at(outer);
        let validities = structs.iter().map(|level| validity(body, level)).collect::<Decoded<_>>()?;
        let mut own = own.iter();
        Ok(Self { validities, values: LevelReader::open(body, data_type, path, &mut own)? })
    }

    /// The next rows, `start` being where the last call ended, and where they or a struct around them are null.
    pub(crate) fn read(&mut self, start: u64, count: u64) -> Decoded<(ArrayRef, Option<NullBuffer>)> {
        let array = self.values.read(start, count)?;
        let mut nulls = array.logical_nulls();
        for validity in self.validities.iter_mut().flatten() {
            nulls = NullBuffer::union(nulls.as_ref(), Some(&read_nulls(validity, start, count)?));
        }
        Ok((array, nulls))
    }
}

impl LevelReader {
    fn open<'a>(
        body: &BatchBody<'_>,
        data_type: &DataType,
        path: &[String],
        levels: &mut impl Iterator<Item = &'a Level>,
    ) -> Decoded<Self> {
        let level = levels.next().ok_or("a column lacks a level")?;
        let validity = validity(body, level)?;
        let content = match data_type {
            DataType::List(item) | DataType::LargeList(item) => Content::Lists {
                offset_width: if matches!(data_type, DataType::List(_)) {
                    OffsetWidth::Four
                } else {
                    OffsetWidth::Eight
                },
                offsets: buffer(body, level, 1)?,
                child: Box::new(Self::open(body, item.data_type(), &below(path, item), levels)?),
            },
            DataType::FixedSizeList(item, length) => Content::FixedLists {
                length: u64::try_from(*length).map_err(|_| "a list has a negative length")?,
                child: Box::new(Self::open(body, item.data_type(), &below(path, item), levels)?),
            },
            DataType::Dictionary(keys, _) => {
                let values = body.dictionary_ids.get(path).and_then(|id| body.dictionaries.get(id));
                let keys = Self { rows: level.rows, validity, content: numbers(body, keys, level)? };
                let values = values.ok_or("a dictionary is missing, or is inside another")?.clone();
                return Ok(Self {
                    rows: level.rows,
                    validity: None,
                    content: Content::Keys { keys: Box::new(keys), values },
                });
            }
            number => numbers(body, number, level)?,
        };
        Ok(Self { rows: level.rows, validity, content })
    }

    fn data_type(&self) -> DataType {
        let item = |child: &Self| Arc::new(Field::new("item", child.data_type(), true));
        match &self.content {
            Content::Numbers { data_type, .. } => data_type.clone(),
            Content::Lists { offset_width: OffsetWidth::Four, child, .. } => DataType::List(item(child)),
            Content::Lists { offset_width: OffsetWidth::Eight, child, .. } => DataType::LargeList(item(child)),
            Content::FixedLists { length, child } => {
                DataType::FixedSizeList(item(child), i32::try_from(*length).unwrap_or(i32::MAX))
            }
            Content::Keys { values, .. } => values.data_type().clone(),
        }
    }

    fn read(&mut self, start: u64, count: u64) -> Decoded<ArrayRef> {
        let data_type = self.data_type();
        if count == 0 {
            return Ok(new_empty_array(&data_type));
        }
        let end = start.checked_add(count).filter(|end| *end <= self.rows);
        let end =
            end.ok_or_else(|| format!("a column has {} values, {count} are needed from {start} on", self.rows))?;
        let nulls = self.validity.as_mut().map(|validity| read_nulls(validity, start, count)).transpose()?;
        let array = ArrayData::builder(data_type).len(to_usize(count)).nulls(nulls).align_buffers(true);
        let array = match &mut self.content {
            Content::Numbers { width, values, .. } => {
                array.add_buffer(values.range(bytes(start, *width)?, bytes(end, *width)?)?.into())
            }
            Content::Lists { offset_width, offsets, child } => {
                let width = offset_width.bytes();
                let after_last = end.checked_add(1).ok_or("too many rows")?;
                let offsets = offset_width.parse(&offsets.range(bytes(start, width)?, bytes(after_last, width)?)?)?;
                let (first, last) = offsets.first().zip(offsets.last()).ok_or("a list has no offsets")?;
                let values = child.read(*first, *last - *first)?;
                array.add_buffer(offset_width.buffer(&offsets, *first)?).add_child_data(values.to_data())
            }
            Content::FixedLists { length, child } => {
                array.add_child_data(child.read(bytes(start, *length)?, bytes(count, *length)?)?.to_data())
            }
            Content::Keys { keys, values } => {
                let keys = keys.read(start, count)?;
                return take(values.as_ref(), keys.as_ref(), Some(TakeOptions { check_bounds: true }))
                    .map_err(|error| format!("a dictionary has no such value: {error}"));
            }
        };
        array.build().map(make_array).map_err(|error| error.to_string())
    }
}

impl OffsetWidth {
    fn bytes(self) -> u64 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Offsets that are known not to fall.
    fn parse(self, bytes: &[u8]) -> Decoded<Vec<u64>> {
        let offsets: Option<Vec<u64>> = match self {
            Self::Four => {
                bytes.as_chunks().0.iter().map(|offset| u64::try_from(i32::from_le_bytes(*offset)).ok()).collect()
            }
            Self::Eight => {
                bytes.as_chunks().0.iter().map(|offset| u64::try_from(i64::from_le_bytes(*offset)).ok()).collect()
            }
        };
        offsets.filter(|offsets| offsets.is_sorted()).ok_or_else(|| "the offsets of a list are out of order".to_owned())
    }

    /// The offsets less `first`.
    fn buffer(self, offsets: &[u64], first: u64) -> Decoded<Buffer> {
        let moved = offsets.iter().map(|offset| offset - first);
        let too_long = |_| "a list is too long".to_owned();
        match self {
            Self::Four => {
                Ok(moved.map(i32::try_from).collect::<std::result::Result<Vec<_>, _>>().map_err(too_long)?.into())
            }
            Self::Eight => {
                Ok(moved.map(i64::try_from).collect::<std::result::Result<Vec<_>, _>>().map_err(too_long)?.into())
            }
        }
    }
}

fn numbers(body: &BatchBody<'_>, data_type: &DataType, level: &Level) -> Decoded<Content> {
    let width = data_type.primitive_width().ok_or_else(|| format!("a column of type {data_type} holds no numbers"))?;
    let width = u64::try_from(width).map_err(|error| error.to_string())?;
    Ok(Content::Numbers { data_type: data_type.clone(), width, values: buffer(body, level, 1)? })
}

fn buffer(body: &BatchBody<'_>, level: &Level, number: usize) -> Decoded<BufferReader> {
    let (start, length) = level.buffers.get(number).ok_or("a column lacks a buffer")?;
    BufferReader::open(body.file, body.start.saturating_add(*start), *length, body.compression)
}

/// Writers may leave the validity out, or fill it, when nothing is null.
fn validity(body: &BatchBody<'_>, level: &Level) -> Decoded<Option<BufferReader>> {
    match level.nulls {
        0 => Ok(None),
        _ => buffer(body, level, 0).map(Some),
    }
}

fn read_nulls(validity: &mut BufferReader, start: u64, count: u64) -> Decoded<NullBuffer> {
    let end = start.checked_add(count).ok_or("too many rows")?;
    let bits = validity.range(start / 8, end.div_ceil(8))?;
    Ok(NullBuffer::new(BooleanBuffer::new(bits.into(), to_usize(start % 8), to_usize(count))))
}

fn bytes(count: u64, width: u64) -> Decoded<u64> {
    count.checked_mul(width).ok_or_else(|| "a column is too long".to_owned())
}

fn below(path: &[String], item: &Field) -> Vec<String> {
    [path, &[item.name().clone()]].concat()
}
