//! What describes an Arrow IPC file or stream: its schema, where its record batches are, and where in them the columns.

use std::collections::HashMap;

use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::read_footer_length;
use arrow_ipc::{CompressionType, Endianness, MessageHeader, MetadataVersion, root_as_footer, root_as_message};
use arrow_schema::{DataType, Fields, Schema, UnionMode};

use crate::arrow_buffer::Decoded;
use crate::error::Result;
use crate::file_bytes::FileBytes;
use crate::number::{to_u64, to_usize};

/// A message of the file: its length, its flatbuffer, and its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) start: u64,
    /// Of the length and the flatbuffer.
    pub(crate) metadata_length: u64,
    pub(crate) body_length: u64,
}

/// All messages of a file.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(crate) schema: Schema,
    pub(crate) dictionary_ids: DictionaryIds,
    pub(crate) batches: Vec<Block>,
    pub(crate) dictionaries: Vec<Block>,
    pub(crate) checksum: u32,
}

/// The number of the dictionary of a column, by the names of its field and those around it.
pub(crate) type DictionaryIds = HashMap<Vec<String>, i64>;

const CONTINUATION: [u8; 4] = [0xFF; 4];

/// Before a flatbuffer: the mark and the length.
const PREFIX_BYTES: u64 = 8;

/// `ARROW1` and the length before it.
const TRAILER_BYTES: u64 = 10;

impl Messages {
    /// Reads the footer of an Arrow IPC file.
    pub(crate) fn of_file(file: &FileBytes) -> Result<Self> {
        Self::from_footer(file).map_err(|message| file.failed("footer", message))
    }

    /// Goes from message to message of an Arrow IPC stream and leaves the bodies out. The format lets a stream end
    /// without a mark; a file cut between two messages could then not be told from a whole one, so such are refused.
    pub(crate) fn of_stream(file: &FileBytes) -> Result<Self> {
        Self::from_stream(file).map_err(|message| file.failed("messages", message))
    }

    fn from_footer(file: &FileBytes) -> Decoded<Self> {
        let no_footer = "it does not end as an Arrow IPC file does; was it cut short?";
        let trailer_start = file.length().checked_sub(TRAILER_BYTES).ok_or(no_footer)?;
        let mut trailer = [0; 10];
        file.fill(trailer_start, &mut trailer).map_err(|error| error.to_string())?;
        let length = read_footer_length(trailer).map_err(|_| no_footer)?;
        let start = trailer_start.checked_sub(to_u64(length)).ok_or("it is longer than the file")?;
        let bytes = file.range(start, length).map_err(|error| error.to_string())?;
        let footer = root_as_footer(&bytes).map_err(|error| error.to_string())?;
        let blocks = |blocks: Option<&[arrow_ipc::Block]>| -> Decoded<Vec<Block>> {
            blocks.unwrap_or_default().iter().map(|block| Block::of(block, start)).collect()
        };
        let batches: Option<Vec<_>> = footer.recordBatches().map(|blocks| blocks.iter().copied().collect());
        let dictionaries: Option<Vec<_>> = footer.dictionaries().map(|blocks| blocks.iter().copied().collect());
        let (schema, dictionary_ids) = read_schema(footer.schema().ok_or("it has no schema")?)?;
        Ok(Self {
            schema,
            dictionary_ids,
            batches: blocks(batches.as_deref())?,
            dictionaries: blocks(dictionaries.as_deref())?,
            checksum: crc32c::crc32c(&bytes),
        })
    }

    fn from_stream(file: &FileBytes) -> Decoded<Self> {
        let mut found: Option<Self> = None;
        let (mut start, mut checksum) = (0_u64, 0);
        loop {
            let mut prefix = [0; 8];
            file.fill(start, &mut prefix).map_err(|error| {
                format!("{error}; it lacks the mark at the end of an Arrow IPC stream, was it cut short?")
            })?;
            let [mark @ .., a, b, c, d] = prefix;
            if mark != CONTINUATION {
                return Err(format!("there is no message at byte {start}"));
            }
            let length = u32::from_le_bytes([a, b, c, d]);
            if length == 0 {
                let missing = || "it has no schema".to_owned();
                return found.map(|messages| Self { checksum, ..messages }).ok_or_else(missing);
            }
            let metadata_length = PREFIX_BYTES + u64::from(length);
            let block = Block { start, metadata_length, body_length: 0 };
            let bytes = block.message(file)?;
            checksum = crc32c::crc32c_append(checksum, &bytes);
            let message = root_as_message(&bytes).map_err(|error| format!("message at byte {start}: {error}"))?;
            let body_length = u64::try_from(message.bodyLength()).map_err(|_| "a body has a negative length")?;
            let block = Block { body_length, ..block };
            let next = start.checked_add(metadata_length).and_then(|end| end.checked_add(body_length));
            match (message.header_type(), &mut found) {
                (MessageHeader::Schema, None) => {
                    let schema = message.header_as_schema().ok_or("its schema is empty")?;
                    let (schema, dictionary_ids) = read_schema(schema)?;
                    let (batches, dictionaries) = (Vec::new(), Vec::new());
                    found = Some(Self { schema, dictionary_ids, batches, dictionaries, checksum });
                }
                (MessageHeader::RecordBatch, Some(messages)) => messages.batches.push(block),
                (MessageHeader::DictionaryBatch, Some(messages)) => messages.dictionaries.push(block),
                (other, _) => return Err(format!("a message of type {other:?} at byte {start} is out of place")),
            }
            start = next.ok_or("a body is too long")?;
        }
    }
}

impl Block {
    fn of(block: &arrow_ipc::Block, data_end: u64) -> Decoded<Self> {
        let convert = || {
            let start = u64::try_from(block.offset()).ok()?;
            let metadata_length = u64::try_from(block.metaDataLength()).ok()?;
            let body_length = u64::try_from(block.bodyLength()).ok()?;
            let end = start.checked_add(metadata_length)?.checked_add(body_length)?;
            (end <= data_end).then_some(Self { start, metadata_length, body_length })
        };
        convert().ok_or_else(|| format!("a block lies outside of the file: {block:?}"))
    }

    pub(crate) fn body_start(&self) -> u64 {
        self.start.saturating_add(self.metadata_length)
    }

    /// The flatbuffer.
    pub(crate) fn message(&self, file: &FileBytes) -> Decoded<Vec<u8>> {
        let mut bytes = file.range(self.start, to_usize(self.metadata_length)).map_err(|error| error.to_string())?;
        // Before Arrow 0.15, the length had no mark before it.
        let prefix = if bytes.starts_with(&CONTINUATION) { 8 } else { 4 };
        if bytes.len() < prefix {
            return Err(format!("the message at byte {} is too short", self.start));
        }
        bytes.drain(..prefix);
        Ok(bytes)
    }
}

fn read_schema(schema: arrow_ipc::Schema<'_>) -> Decoded<(Schema, DictionaryIds)> {
    if schema.endianness() != Endianness::Little {
        return Err("its numbers are big-endian".to_owned());
    }
    let mut ids = DictionaryIds::new();
    for field in schema.fields().into_iter().flatten() {
        add_dictionary_ids(field, &[], &mut ids);
    }
    Ok((try_fb_to_schema(schema).map_err(|error| error.to_string())?, ids))
}

fn add_dictionary_ids(field: arrow_ipc::Field<'_>, above: &[String], ids: &mut DictionaryIds) {
    let path = [above, &[field.name().unwrap_or_default().to_owned()]].concat();
    for child in field.children().into_iter().flatten() {
        add_dictionary_ids(child, &path, ids);
    }
    if let Some(dictionary) = field.dictionary() {
        ids.insert(path, dictionary.id());
    }
}

/// One level of a column in a record batch: its node and its buffers, which are ranges of the body.
#[derive(Debug, Clone)]
pub(crate) struct Level {
    pub(crate) rows: u64,
    pub(crate) nulls: u64,
    pub(crate) buffers: Vec<(u64, u64)>,
}

/// A record batch that is being gone through in the order of its schema.
pub(crate) struct BatchWalk<'a> {
    batch: arrow_ipc::RecordBatch<'a>,
    version: MetadataVersion,
    body_length: u64,
    node: usize,
    buffer: usize,
    variadic: usize,
}

impl<'a> BatchWalk<'a> {
    pub(crate) fn new(batch: arrow_ipc::RecordBatch<'a>, version: MetadataVersion, body_length: u64) -> Self {
        Self { batch, version, body_length, node: 0, buffer: 0, variadic: 0 }
    }

    pub(crate) fn rows(&self) -> Decoded<u64> {
        u64::try_from(self.batch.length()).map_err(|_| "it counts a negative number of rows".to_owned())
    }

    pub(crate) fn compression(&self) -> Option<CompressionType> {
        self.batch.compression().map(|compression| compression.codec())
    }

    /// The levels of the column `path` from the outermost struct to the innermost values. Walks on from where the last
    /// call ended, so each column needs a walk of its own.
    pub(crate) fn find(mut self, fields: &Fields, path: &[String]) -> Decoded<Vec<Level>> {
        let mut levels = Vec::new();
        let mut fields = fields;
        for (depth, name) in path.iter().enumerate() {
            let found = fields.iter().position(|field| field.name() == name).ok_or("a column is missing")?;
            for field in &fields[..found] {
                self.skip(field.data_type())?;
            }
            let data_type = fields[found].data_type();
            if depth + 1 == path.len() {
                self.take_all(data_type, &mut levels)?;
            } else {
                levels.push(self.take(data_type)?);
                fields = match data_type {
                    DataType::Struct(children) => children,
                    _ => return Err("a column is missing".to_owned()),
                };
            }
        }
        Ok(levels)
    }

    fn take_all(&mut self, data_type: &DataType, levels: &mut Vec<Level>) -> Decoded<()> {
        levels.push(self.take(data_type)?);
        for child in children(data_type) {
            self.take_all(child, levels)?;
        }
        Ok(())
    }

    fn skip(&mut self, data_type: &DataType) -> Decoded<()> {
        self.node += 1;
        self.buffer += self.buffer_count(data_type)?;
        for child in children(data_type) {
            self.skip(child)?;
        }
        Ok(())
    }

    fn take(&mut self, data_type: &DataType) -> Decoded<Level> {
        let few = "it describes fewer columns than the schema";
        let nodes = self.batch.nodes().filter(|nodes| self.node < nodes.len()).ok_or(few)?;
        let node = nodes.get(self.node);
        let first = self.buffer;
        self.node += 1;
        self.buffer += self.buffer_count(data_type)?;
        let buffers = self.batch.buffers().filter(|buffers| self.buffer <= buffers.len()).ok_or(few)?;
        let within_body = |number: usize| {
            let buffer = buffers.get(number);
            let range = u64::try_from(buffer.offset()).ok().zip(u64::try_from(buffer.length()).ok());
            range
                .filter(|(start, length)| start.checked_add(*length).is_some_and(|end| end <= self.body_length))
                .ok_or_else(|| format!("a buffer lies outside of its body: {buffer:?}"))
        };
        let count = |count: i64| u64::try_from(count).map_err(|_| "a node has a negative length".to_owned());
        Ok(Level {
            rows: count(node.length())?,
            nulls: count(node.null_count())?,
            buffers: (first..self.buffer).map(within_body).collect::<Decoded<_>>()?,
        })
    }

    /// The number of buffers of one level, by Arrow's columnar format.
    fn buffer_count(&mut self, data_type: &DataType) -> Decoded<usize> {
        let count = match data_type {
            DataType::Null | DataType::RunEndEncoded(..) => 0,
            DataType::FixedSizeList(..) | DataType::Struct(_) => 1,
            DataType::Union(_, mode) => {
                let validity = usize::from(self.version < MetadataVersion::V5);
                validity + if *mode == UnionMode::Dense { 2 } else { 1 }
            }
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::ListView(_)
            | DataType::LargeListView(_) => 3,
            DataType::Utf8View | DataType::BinaryView => {
                let counts = self.batch.variadicBufferCounts().filter(|counts| self.variadic < counts.len());
                let count = counts.ok_or("the number of buffers of a view is missing")?.get(self.variadic);
                self.variadic += 1;
                2 + usize::try_from(count).map_err(|_| "a view has a negative number of buffers")?
            }
            _ => 2,
        };
        Ok(count)
    }
}

fn children(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::ListView(child)
        | DataType::LargeListView(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => vec![child.data_type()],
        DataType::Struct(children) => children.iter().map(|child| child.data_type()).collect(),
        DataType::Union(children, _) => children.iter().map(|(_, child)| child.data_type()).collect(),
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}
