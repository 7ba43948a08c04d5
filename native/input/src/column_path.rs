//! Which columns of a file are the ids and the embeddings, and whether their types will do.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields};

use crate::error::{InputError, Result};
use crate::number::to_usize;

/// A column by the names of the structs around it and its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnPath {
    /// As the user wrote it.
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
}

/// The two columns of one file.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) id: ColumnPath,
    pub(crate) embedding: ColumnPath,
    /// The length of the embeddings when the type is of one length.
    pub(crate) fixed_dimension: Option<usize>,
}

const ID_TYPES: &str = "integers of 8 to 64 bits, signed or not, also dictionary-encoded";
const EMBEDDING_TYPES: &str =
    "lists, large lists and fixed-size lists of floats of 16, 32 or 64 bits, also dictionary-encoded";

impl Columns {
    /// Finds and checks both columns among `fields`, those of the file `uri`.
    pub(crate) fn find(fields: &Fields, id: &str, embedding: &str, uri: &str) -> Result<Self> {
        let (id, id_field) = ColumnPath::find(fields, id, uri)?;
        if !is_integer(plain_type(id_field.data_type())) {
            return Err(wrong_type(&id, id_field, ID_TYPES, uri));
        }
        let (embedding, field) = ColumnPath::find(fields, embedding, uri)?;
        let fixed_dimension = match plain_type(field.data_type()) {
            DataType::List(item) | DataType::LargeList(item) if is_float(item) => None,
            DataType::FixedSizeList(item, length) if is_float(item) => Some(u64::try_from(*length).map_or(0, to_usize)),
            _ => return Err(wrong_type(&embedding, field, EMBEDDING_TYPES, uri)),
        };
        Ok(Self { id, embedding, fixed_dimension })
    }
}

impl ColumnPath {
    fn find<'a>(fields: &'a Fields, name: &str, uri: &str) -> Result<(Self, &'a Field)> {
        let mut path = Vec::new();
        match descend(fields, name, &mut path) {
            Search::Found(field) => Ok((Self { name: name.to_owned(), path }, field)),
            Search::Twice => Err(InputError::ColumnTwice { column: name.to_owned(), uri: uri.to_owned() }),
            Search::Missing => {
                let mut names = Vec::new();
                add_names(fields, "", &mut names);
                Err(InputError::MissingColumn {
                    column: name.to_owned(),
                    uri: uri.to_owned(),
                    nearest: nearest(name, &names),
                    columns: listed(&names),
                })
            }
        }
    }

    /// The column of a batch, and where it or a struct around it is null.
    pub(crate) fn of(&self, batch: &RecordBatch) -> Option<(ArrayRef, Option<NullBuffer>)> {
        let (first, rest) = self.path.split_first()?;
        let mut array = batch.column_by_name(first)?.clone();
        let mut nulls = array.logical_nulls();
        for name in rest {
            let child = array.as_struct_opt()?.column_by_name(name)?.clone();
            nulls = NullBuffer::union(nulls.as_ref(), child.logical_nulls().as_ref());
            array = child;
        }
        Some((array, nulls))
    }
}

enum Search<'a> {
    Found(&'a Field),
    Twice,
    Missing,
}

/// A column whose whole name is `name` wins over one inside a struct.
fn descend<'a>(fields: &'a Fields, name: &str, path: &mut Vec<String>) -> Search<'a> {
    let mut named = fields.iter().filter(|field| field.name() == name);
    match (named.next(), named.next()) {
        (Some(_), Some(_)) => return Search::Twice,
        (Some(field), None) => {
            path.push(name.to_owned());
            return Search::Found(field);
        }
        (None, _) => {}
    }
    for (dot, _) in name.match_indices('.') {
        let (outer, inner) = (&name[..dot], &name[dot + 1..]);
        let mut structs = fields.iter().filter(|field| field.name() == outer);
        let Some(field) = structs.next() else { continue };
        let DataType::Struct(children) = field.data_type() else { continue };
        if structs.next().is_some() {
            return Search::Twice;
        }
        path.push(outer.to_owned());
        match descend(children, inner, path) {
            Search::Missing => {
                path.pop();
            }
            found => return found,
        }
    }
    Search::Missing
}

fn add_names(fields: &Fields, above: &str, names: &mut Vec<String>) {
    for field in fields {
        let name = format!("{above}{}", field.name());
        if let DataType::Struct(children) = field.data_type() {
            add_names(children, &format!("{name}."), names);
        } else {
            names.push(name);
        }
    }
}

/// The name that is most like `name`, when a slip of the keyboard or another spelling explains the difference.
fn nearest(name: &str, names: &[String]) -> Option<String> {
    let simple = |name: &str| name.to_lowercase().replace(['_', '-', ' '], "");
    let distance = |other: &str| strsim::damerau_levenshtein(&simple(name), &simple(other));
    let near = names.iter().map(|other| (distance(other), other)).min()?;
    (near.0 <= 1 + name.chars().count() / 4).then(|| near.1.clone())
}

/// What is listed of a wide file.
const LISTED_COLUMNS: usize = 40;

fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED_COLUMNS).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".clone_into(&mut text),
        count if count > LISTED_COLUMNS => text.push_str(&format!(" and {} more", count - LISTED_COLUMNS)),
        _ => {}
    }
    text
}

fn wrong_type(column: &ColumnPath, field: &Field, allowed: &'static str, uri: &str) -> InputError {
    let found = match field.data_type() {
        DataType::Struct(children) => {
            let mut names = Vec::new();
            add_names(children, &format!("{}.", column.name), &mut names);
            format!("struct, with the columns {}", listed(&names))
        }
        other => other.to_string(),
    };
    InputError::ColumnType { column: column.name.clone(), uri: uri.to_owned(), found, allowed }
}

/// The type of the values of a dictionary, any other type itself.
fn plain_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer()
}

fn is_float(item: &Field) -> bool {
    matches!(plain_type(item.data_type()), DataType::Float16 | DataType::Float32 | DataType::Float64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn fields() -> Fields {
        let floats = |name: &str| Field::new_list(name, Field::new("item", DataType::Float32, true), true);
        let features = Fields::from(vec![floats("embedding"), Field::new("id", DataType::Int64, true), floats("a.b")]);
        Fields::from(vec![
            Field::new("entityId", DataType::Int64, false),
            floats("vector"),
            Field::new("features", DataType::Struct(features), true),
            floats("features.id"),
            Field::new("double", DataType::Int32, false),
            Field::new("double", DataType::Int32, false),
        ])
    }

    #[test]
    fn a_path_goes_through_structs_and_a_whole_name_wins() {
        for (name, expected) in [
            ("entityId", &["entityId"][..]),
            ("features.embedding", &["features", "embedding"]),
            ("features.id", &["features.id"]),
            ("features.a.b", &["features", "a.b"]),
        ] {
            let (found, field) =
                ColumnPath::find(&fields(), name, "f").map(|(path, field)| (path, field.clone())).unwrap();
            assert_eq!(found.path, expected);
            assert_eq!(Some(field.name()), found.path.last());
        }
    }

    #[test]
    fn what_is_missing_twice_or_of_a_wrong_type_is_told_with_file_and_choice() {
        let text =
            |id: &str, embedding: &str| Columns::find(&fields(), id, embedding, "/in/f").unwrap_err().to_string();
        let columns = "its columns are 'entityId', 'vector', 'features.embedding', 'features.id', 'features.a.b', \
                       'features.id', 'double', 'double'";
        assert_eq!(
            text("entity_id", "vector"),
            format!("/in/f has no column 'entity_id' (did you mean 'entityId'?); {columns}")
        );
        assert_eq!(text("zzzzzz", "vector"), format!("/in/f has no column 'zzzzzz'; {columns}"));
        assert_eq!(text("double", "vector"), "/in/f has more than one column 'double'");
        assert_eq!(
            text("vector", "vector"),
            "the column 'vector' of /in/f is of type List(Float32); \
             allowed are integers of 8 to 64 bits, signed or not, also dictionary-encoded"
        );
        assert_eq!(
            text("entityId", "features"),
            "the column 'features' of /in/f is of type struct, with the columns 'features.embedding', 'features.id', \
             'features.a.b'; allowed are lists, large lists and fixed-size lists of floats of 16, 32 or 64 bits, \
             also dictionary-encoded"
        );
    }

    #[test]
    fn a_fixed_size_list_tells_the_dimension() {
        let item = Arc::new(Field::new("item", DataType::Float16, true));
        let fixed = Field::new("e", DataType::FixedSizeList(item, 7), true);
        let id = Field::new("i", DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::UInt64)), true);
        let columns = Columns::find(&Fields::from(vec![id, fixed]), "i", "e", "f").unwrap();
        assert_eq!(columns.fixed_dimension, Some(7));
    }
}
