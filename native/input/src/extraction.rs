//! From decoded columns to a batch.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, OffsetSizeTrait};
use arrow_buffer::{ArrowNativeType, NullBuffer};
use arrow_schema::DataType;
use half::f16;

use crate::batch::{Batch, Rejected};
use crate::error::{InputError, Result};
use crate::number::{to_f32, to_u64};
use crate::row_file::FirstEmbedding;

/// A decoded column and where it, or a struct around it, is null.
pub(crate) struct DecodedColumn<'a> {
    pub(crate) name: &'a str,
    pub(crate) array: &'a dyn Array,
    pub(crate) nulls: Option<&'a NullBuffer>,
}

/// Rows of a file as a batch. `first_row` is the number of the first in the file `uri`.
pub(crate) fn batch_of(
    ids: &DecodedColumn<'_>,
    embeddings: &DecodedColumn<'_>,
    dimension: usize,
    uri: &str,
    first_row: u64,
) -> Result<Batch> {
    let broken = |message: &str| InputError::unreadable(uri, format!("row {first_row}"), message);
    if ids.array.len() != embeddings.array.len() {
        return Err(broken("its columns differ in length"));
    }
    let numbers = signed_ids(ids).map_err(|refused| match refused {
        RefusedIds::TooLarge { row, id } => InputError::IdTooLarge {
            uri: uri.to_owned(),
            column: ids.name.to_owned(),
            row: first_row.saturating_add(to_u64(row)),
            id,
        },
        RefusedIds::Type => broken(&format!("ids of type {}", ids.array.data_type())),
    })?;
    let lists = Lists::of(embeddings.array)
        .ok_or_else(|| broken(&format!("embeddings of type {}", embeddings.array.data_type())))?;
    let mut batch = Batch::default();
    batch.ids.reserve_exact(numbers.len());
    batch.vectors.reserve_exact(lists.components().min(numbers.len().saturating_mul(dimension)));
    for (row, id) in numbers.into_iter().enumerate() {
        if ids.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            batch.rejected.push(Rejected::NullId);
        } else if embeddings.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            batch.rejected.push(Rejected::NullEmbedding { id });
        } else {
            let components = lists.row(row);
            if components.len() != dimension {
                batch.rejected.push(Rejected::WrongDimension { id, dimension: components.len() });
            } else if lists.has_null(&components) {
                batch.rejected.push(Rejected::NullComponent { id });
            } else {
                lists.append(components, &mut batch.vectors);
                batch.ids.push(id);
            }
        }
    }
    Ok(batch)
}

/// The first row that has components. `first_row` is the number of the first in the file.
pub(crate) fn first_embedding(embeddings: &DecodedColumn<'_>, first_row: u64) -> Option<FirstEmbedding> {
    let lists = Lists::of(embeddings.array)?;
    let not_null = |row: &usize| embeddings.nulls.is_none_or(|nulls| nulls.is_valid(*row));
    let mut rows = (0..embeddings.array.len()).filter(not_null).map(|row| (row, lists.row(row).len()));
    let (row, components) = rows.find(|(_, components)| *components > 0)?;
    Some(FirstEmbedding { row: first_row.saturating_add(to_u64(row)), components })
}

enum RefusedIds {
    TooLarge { row: usize, id: u64 },
    Type,
}

/// The ids; what stands for a null is any number.
fn signed_ids(ids: &DecodedColumn<'_>) -> std::result::Result<Vec<i64>, RefusedIds> {
    fn widened<T: ArrowPrimitiveType>(array: &dyn Array) -> Vec<i64>
    where
        T::Native: Into<i64>,
    {
        array.as_primitive::<T>().values().iter().map(|id| (*id).into()).collect()
    }
    let signed = match ids.array.data_type() {
        DataType::Int8 => widened::<Int8Type>(ids.array),
        DataType::Int16 => widened::<Int16Type>(ids.array),
        DataType::Int32 => widened::<Int32Type>(ids.array),
        DataType::Int64 => widened::<Int64Type>(ids.array),
        DataType::UInt8 => widened::<UInt8Type>(ids.array),
        DataType::UInt16 => widened::<UInt16Type>(ids.array),
        DataType::UInt32 => widened::<UInt32Type>(ids.array),
        DataType::UInt64 => {
            let is_null = |row| ids.nulls.is_some_and(|nulls| nulls.is_null(row));
            let mut signed = Vec::with_capacity(ids.array.len());
            for (row, id) in ids.array.as_primitive::<UInt64Type>().values().iter().enumerate() {
                match i64::try_from(*id) {
                    Ok(id) => signed.push(id),
                    Err(_) if is_null(row) => signed.push(0),
                    Err(_) => return Err(RefusedIds::TooLarge { row, id: *id }),
                }
            }
            signed
        }
        _ => return Err(RefusedIds::Type),
    };
    Ok(signed)
}

/// A list array of any kind, over floats of any width.
struct Lists<'a> {
    spans: Spans<'a>,
    components: Components<'a>,
    nulls: Option<&'a NullBuffer>,
}

enum Spans<'a> {
    Small(&'a [i32]),
    Large(&'a [i64]),
    Fixed(usize),
}

enum Components<'a> {
    Half(&'a [f16]),
    Single(&'a [f32]),
    Double(&'a [f64]),
}

impl<'a> Lists<'a> {
    fn of(array: &'a dyn Array) -> Option<Self> {
        let (spans, values) = match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                (Spans::Small(lists.value_offsets()), lists.values())
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                (Spans::Large(lists.value_offsets()), lists.values())
            }
            DataType::FixedSizeList(_, length) => {
                (Spans::Fixed(usize::try_from(*length).ok()?), array.as_fixed_size_list().values())
            }
            _ => return None,
        };
        let components = match values.data_type() {
            DataType::Float16 => Components::Half(values.as_primitive::<Float16Type>().values()),
            DataType::Float32 => Components::Single(values.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Components::Double(values.as_primitive::<Float64Type>().values()),
            _ => return None,
        };
        let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
        Some(Self { spans, components, nulls })
    }

    /// Where the components of a row are.
    fn row(&self, row: usize) -> Range<usize> {
        fn between<O: OffsetSizeTrait + ArrowNativeType>(offsets: &[O], row: usize) -> Range<usize> {
            offsets[row].as_usize()..offsets[row + 1].as_usize()
        }
        match self.spans {
            Spans::Small(offsets) => between(offsets, row),
            Spans::Large(offsets) => between(offsets, row),
            Spans::Fixed(length) => row * length..(row + 1) * length,
        }
    }

    fn components(&self) -> usize {
        match self.components {
            Components::Half(values) => values.len(),
            Components::Single(values) => values.len(),
            Components::Double(values) => values.len(),
        }
    }

    fn has_null(&self, components: &Range<usize>) -> bool {
        self.nulls.is_some_and(|nulls| components.clone().any(|component| nulls.is_null(component)))
    }

    fn append(&self, components: Range<usize>, vectors: &mut Vec<f32>) {
        match self.components {
            Components::Half(values) => vectors.extend(values[components].iter().map(|value| value.to_f32())),
            Components::Single(values) => vectors.extend_from_slice(&values[components]),
            Components::Double(values) => vectors.extend(values[components].iter().map(|value| to_f32(*value))),
        }
    }
}
