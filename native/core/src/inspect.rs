//! What an index file holds, without loading it and without Faiss.

use std::fmt;

use faiss_indexer_storage::{Storages, join};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::build_context::{MANIFEST_NAME, shard_directory};
use crate::error::{BuildError, ErrorKind, Result};
use crate::index_file::{IndexFile, InvertedLists, Node, Role, all_sizes, metric_name};
use crate::index_filename::index_filename_in;
use crate::manifest::read_manifest;
use crate::numbers::to_f64;
use crate::spec::{DuplicateIds, IndexSpec, Metric};

/// What is known of an index. As JSON, every name is in camel case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexDescription {
    /// The file.
    pub uri: String,
    /// Its length.
    pub bytes: u64,
    /// As a factory string would have it; a file does not tell everything that a factory string says.
    pub family: String,
    /// The metric as a spec names it, or by Faiss' name or number.
    pub metric: String,
    /// The argument of metrics that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_arg: Option<f32>,
    /// Components of a vector.
    pub dimension: u64,
    /// Vectors in the index.
    pub rows: u64,
    /// Whether the index is trained.
    pub trained: bool,
    /// The class of the id map around the index.
    pub id_map: Option<&'static str>,
    /// What vectors go through first.
    pub transforms: Vec<String>,
    /// Bytes per row of the code that is searched.
    pub code_size: Option<u64>,
    /// Bytes per row of the code that refines the result.
    pub second_code_size: Option<u64>,
    /// The inverted lists.
    pub lists: Option<ListsDescription>,
    /// Every index of the file inside the one that holds it, with all parameters.
    pub structure: Value,
    /// The manifest beside the file, if a directory was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Value>,
}

impl IndexDescription {
    /// The metric to search by, as a spec names it: that of the manifest; without one `asked`, or else that of the file,
    /// in which ip and cosine look the same.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSpec`] if `asked` is no metric, or another than the manifest's.
    pub fn searched_metric(&self, asked: Option<&str>) -> Result<String> {
        let metric_of = |asked: &str| -> Result<Metric> {
            Ok(IndexSpec::from_pairs(&[("metric".to_owned(), asked.to_owned())])?.metric)
        };
        let asked_metric = asked.map(metric_of).transpose()?;
        let Some(stated) = self.stated_spec()?.map(|spec| spec.metric) else {
            return Ok(asked.unwrap_or(&self.metric).to_owned());
        };
        let stated_name = || self.stated("metric").as_str().unwrap_or_default();
        match asked_metric {
            Some(other) if other != stated => Err(BuildError::invalid(format!(
                "metric='{}' is not that of {}, which was built for {}",
                asked.unwrap_or_default(),
                self.uri,
                stated_name()
            ))),
            _ => Ok(stated_name().to_owned()),
        }
    }

    /// Whether the build left out all but the first of the rows that share an id; false without a manifest.
    ///
    /// # Errors
    /// [`ErrorKind::CorruptFile`] if the manifest states no spec.
    pub fn keeps_first_of_repeated_ids(&self) -> Result<bool> {
        Ok(self.stated_spec()?.is_some_and(|spec| spec.duplicate_ids == DuplicateIds::KeepFirst))
    }

    fn stated(&self, key: &str) -> &Value {
        self.manifest.as_ref().map_or(&Value::Null, |manifest| &manifest["spec"][key])
    }

    fn stated_spec(&self) -> Result<Option<IndexSpec>> {
        let spec = |manifest: &Value| serde_json::from_value(manifest["spec"].clone());
        let read = self.manifest.as_ref().map(spec).transpose();
        read.map_err(|error| BuildError::corrupt(&self.uri, format!("the spec in its manifest: {error}")))
    }
}

/// What is known of inverted lists.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListsDescription {
    /// Number of lists.
    pub count: u64,
    /// Lists without rows.
    pub empty: u64,
    /// Rows of the shortest list.
    pub min: u64,
    /// Rows per list on average.
    pub mean: f64,
    /// Rows of the longest list.
    pub max: u64,
    /// Faiss' measure of how uneven the lists are: 1 when all have the same length. Absent without rows.
    pub imbalance_factor: Option<f64>,
    /// How Faiss wrote the lists.
    pub format: &'static str,
}

/// What a manifest states of the file beside it, and what the file is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredShape {
    pub(crate) family: String,
    pub(crate) nlist: Option<u64>,
    pub(crate) code_size: Option<u64>,
    pub(crate) second_code_size: Option<u64>,
}

impl StoredShape {
    pub(crate) fn of(root: &Node) -> Self {
        let nodes = root.with_rows();
        let mut sizes = nodes.iter().filter_map(|node| node.code_size);
        let code_size = sizes.next();
        let beside_lists = nodes.iter().find(|node| node.lists.is_some()).and_then(|node| node.codes_row_bytes);
        let nlist = nodes.iter().find_map(|node| node.lists.as_ref()).map(|lists| lists.nlist);
        Self { family: root.family.clone(), nlist, code_size, second_code_size: beside_lists.or(sizes.next()) }
    }
}

/// Describes an index file, or the published index of a directory.
///
/// # Errors
/// [`ErrorKind::NotFound`]; [`ErrorKind::CorruptFile`] for what is no index file, or not to its last byte; storage
/// errors.
pub fn inspect(uri: &str, storages: &Storages) -> Result<IndexDescription> {
    let (index_uri, directory) = locate(uri, storages)?;
    let index = IndexFile::open(&index_uri, storages)?;
    let manifest = match directory {
        Some(directory) => manifest_of(&directory, storages)?,
        None => None,
    };
    Ok(describe(&index, manifest))
}

/// Describes an index file, the published index of a directory, or every shard that a directory's manifest names.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_all(uri: &str, storages: &Storages) -> Result<Vec<IndexDescription>> {
    let storage = storages.resolve(uri)?;
    let manifest = join(uri, MANIFEST_NAME);
    let is_file = storage.stat(uri)?.is_some_and(|status| !status.is_directory);
    if is_file || storage.stat(&manifest)?.is_none() {
        return Ok(vec![inspect(uri, storages)?]);
    }
    match read_manifest(&manifest, storages)?.manifest.shards.as_slice() {
        [] => Ok(vec![inspect(uri, storages)?]),
        shards => shards.iter().map(|shard| inspect(&join(uri, &shard.directory), storages)).collect(),
    }
}

/// Bytes of the index file in `directory`, or of those in the directories below it; 0 for what is no published index.
///
/// # Errors
/// Storage errors.
pub fn index_bytes(directory: &str, storages: &Storages) -> Result<u64> {
    let storage = storages.resolve(directory)?;
    let of = |directory: &str| {
        let index = index_filename_in(directory, storages).and_then(|name| Ok(storage.stat(&join(directory, &name))?));
        index.ok().flatten().filter(|index| !index.is_directory).map_or(0, |index| index.length)
    };
    let children = storage.list(directory).unwrap_or_default();
    Ok(of(directory) + children.iter().map(|child| of(child)).sum::<u64>())
}

/// The number of rows of every inverted list of what [`inspect`] describes; nothing for an index without lists.
///
/// # Errors
/// As [`inspect`], and [`ErrorKind::OutOfMemory`] for more lists than memory holds.
pub fn inspect_list_sizes(uri: &str, storages: &Storages) -> Result<Vec<u64>> {
    let (index_uri, _) = locate(uri, storages)?;
    let index = IndexFile::open(&index_uri, storages)?;
    index.with_lists().map_or(Ok(Vec::new()), |(_, lists)| all_sizes(lists, index.file.as_ref(), &index.uri))
}

/// The index file, and the directory if one was named.
fn locate(uri: &str, storages: &Storages) -> Result<(String, Option<String>)> {
    let storage = storages.resolve(uri)?;
    let found = storage.stat(uri)?;
    if found.as_ref().is_some_and(|status| !status.is_directory) {
        return Ok((uri.to_owned(), None));
    }
    let name = index_filename_in(uri, storages)?;
    let inside = join(uri, &name);
    match found {
        // Some stores know no directories.
        _ if storage.stat(&inside)?.is_some() => Ok((inside, Some(uri.to_owned()))),
        found => {
            let shard = join(uri, &shard_directory(0));
            let message = if storage.stat(&join(&shard, &name))?.is_some() {
                format!("{uri} holds shards; name one of them, such as {shard}")
            } else if found.is_some() {
                format!("the directory {uri} holds no {name}")
            } else {
                format!("{uri} does not exist")
            };
            Err(BuildError::new(ErrorKind::NotFound, message))
        }
    }
}

fn manifest_of(directory: &str, storages: &Storages) -> Result<Option<Value>> {
    let uri = join(directory, MANIFEST_NAME);
    if storages.resolve(&uri)?.stat(&uri)?.is_none() {
        return Ok(None);
    }
    let manifest = read_manifest(&uri, storages)?;
    serde_json::from_str(&manifest.text).map(Some).map_err(|error| BuildError::corrupt(&uri, error))
}

fn describe(index: &IndexFile, manifest: Option<Value>) -> IndexDescription {
    let root = &index.root;
    let shape = StoredShape::of(root);
    let transforms = root.with_rows().iter().flat_map(|node| &node.transforms).map(|step| step.name.clone()).collect();
    IndexDescription {
        uri: index.uri.clone(),
        bytes: root.span.end,
        family: shape.family,
        metric: metric_name(root.header.metric),
        metric_arg: root.header.metric_arg,
        dimension: root.header.dimension,
        rows: root.header.rows,
        trained: root.header.trained,
        id_map: root.id_map.as_ref().map(|_| root.kind),
        transforms,
        code_size: shape.code_size,
        second_code_size: shape.second_code_size,
        lists: index.with_lists().map(|(_, lists)| describe_lists(lists)),
        structure: structure(root, None),
        manifest,
    }
}

fn describe_lists(lists: &InvertedLists) -> ListsDescription {
    let summary = &lists.summary;
    let rows = to_f64(summary.rows);
    let count = to_f64(lists.nlist);
    #[expect(clippy::as_conversions, reason = "a factor needs no more than a double's precision")]
    let squares = summary.sum_of_squares as f64;
    ListsDescription {
        count: lists.nlist,
        empty: lists.nlist - summary.filled,
        min: summary.least,
        mean: if lists.nlist == 0 { 0.0 } else { rows / count },
        max: summary.most,
        // `imbalance_factor` in Faiss' utils.cpp.
        imbalance_factor: (summary.rows > 0).then(|| squares * count / (rows * rows)),
        format: lists.format.name(),
    }
}

fn structure(node: &Node, role: Option<Role>) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    if let Some(role) = role {
        put("role", serde_json::to_value(role).unwrap_or_default());
    }
    put("type", node.kind.into());
    put("fourcc", node.fourcc.to_string().into());
    put("offset", node.span.start.into());
    put("bytes", (node.span.end - node.span.start).into());
    put("dimension", node.header.dimension.into());
    put("rows", node.header.rows.into());
    put("metric", metric_name(node.header.metric).into());
    if let Some(size) = node.code_size {
        put("codeSize", size.into());
    }
    for (name, value) in &node.parameters {
        put(name, serde_json::to_value(value).unwrap_or_default());
    }
    if !node.transforms.is_empty() {
        put("transforms", serde_json::to_value(&node.transforms).unwrap_or_default());
    }
    if let Some(lists) = &node.lists {
        put("listFormat", lists.format.name().into());
        if let crate::index_file::ListFormat::OnDisk { file, .. } = &lists.format {
            put("listFile", file.as_str().into());
        }
    }
    if !node.parts.is_empty() {
        put("parts", node.parts.iter().map(|(role, part)| structure(part, Some(*role))).collect());
    }
    Value::Object(map)
}

impl fmt::Display for IndexDescription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(formatter, "{name:<16}{value}");
        line("index", self.uri.clone())?;
        line("family", self.family.clone())?;
        line("metric", self.metric.clone() + &self.metric_arg.map(|arg| format!(" ({arg})")).unwrap_or_default())?;
        line("dimension", self.dimension.to_string())?;
        line("rows", self.rows.to_string())?;
        line("trained", if self.trained { "yes" } else { "no" }.to_owned())?;
        line("id map", self.id_map.unwrap_or("none").to_owned())?;
        if !self.transforms.is_empty() {
            line("transforms", self.transforms.join(", "))?;
        }
        if let Some(size) = self.code_size {
            let second = self.second_code_size.map(|size| format!(", and {size} to refine")).unwrap_or_default();
            line("code", format!("{size} bytes a row{second}"))?;
        }
        if let Some(lists) = &self.lists {
            line("lists", format!("{} ({} empty)", lists.count, lists.empty))?;
            line("rows per list", format!("min {}, mean {:.1}, max {}", lists.min, lists.mean, lists.max))?;
            if let Some(factor) = lists.imbalance_factor {
                line("imbalance", format!("{factor:.3} (1 = all lists alike)"))?;
            }
        }
        line("bytes", self.bytes.to_string())?;
        if let Some(manifest) = &self.manifest {
            for (name, key) in [("factory string", "factoryString"), ("fingerprint", "fingerprint")] {
                line(name, manifest[key].as_str().unwrap_or_default().to_owned())?;
            }
        }
        Ok(())
    }
}
