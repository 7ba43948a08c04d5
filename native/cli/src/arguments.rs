//! What may be typed. Values stay text here: core checks them, and knows the defaults.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use faiss_indexer_input::{USUAL_EMBEDDING_COLUMN, USUAL_ID_COLUMN};

/// Builds, extends, checks and evaluates Faiss indexes of embeddings on this machine
#[derive(Debug, Parser)]
#[command(name = "faiss-indexer", version, max_term_width = 110, infer_long_args = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Build(BuildFlags),
    Add(AddFlags),
    Merge(MergeFlags),
    Inspect(InspectFlags),
    Verify(VerifyFlags),
    Evaluate(EvaluateFlags),
    Completions(CompletionsFlags),
}

/// Builds an index of the rows of files and publishes it
///
/// The last line of stdout is one JSON object with rows, bytes, seconds per stage, fingerprint and index. Exit code 0:
/// the index is published; 2: the arguments cannot be built, nothing was written; 1: the build failed; 130: Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faiss-indexer build --input embeddings/ --output index/ --metric cosine
  faiss-indexer build --input vectors.npy --ids ids.npy --output index/ --factory-string IVF4096,PQ32
  faiss-indexer build --input embeddings/ --output index/ --metric cosine --resume")]
pub(crate) struct BuildFlags {
    #[command(flatten)]
    pub(crate) input: InputFlags,

    /// Directory for faiss.index, faiss.manifest.json and _SUCCESS
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: String,

    #[command(flatten)]
    pub(crate) index: IndexFlags,

    #[command(flatten)]
    pub(crate) task: TaskFlags,

    /// Go on with the unfinished build of the same input and spec that lies in the output directory
    #[arg(long)]
    pub(crate) resume: bool,

    #[command(flatten)]
    pub(crate) rows_of_a_step: StepFlags,

    #[command(flatten)]
    pub(crate) display: DisplayFlags,
}

/// Adds rows to a published index, without training again, and publishes the result
///
/// The index is as if one build had encoded all rows with the trained state that it has. Until it is replaced by the
/// result, and after Ctrl-C, it is as it was; a replacement that is killed is finished by the same command. The last
/// line of stdout is one JSON object, as that of build.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faiss-indexer add --index index/ --input todays-embeddings/
  faiss-indexer add --index index/ --input todays-embeddings/ --output index-with-today/")]
pub(crate) struct AddFlags {
    /// Directory of the published index
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) index: String,

    #[command(flatten)]
    pub(crate) input: InputFlags,

    /// Directory of the result; it replaces the old index when absent
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<String>,

    #[command(flatten)]
    pub(crate) task: TaskFlags,

    #[command(flatten)]
    pub(crate) rows_of_a_step: StepFlags,

    #[command(flatten)]
    pub(crate) display: DisplayFlags,
}

/// Merges published indexes that share their trained state into one
///
/// Such are the shards of one output, and indexes that grew from one by add. The last line of stdout is one JSON
/// object, as that of build.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faiss-indexer merge --input monday/ tuesday/ --output both/ --duplicate-ids keepFirst")]
pub(crate) struct MergeFlags {
    /// Directories of published indexes, two or more
    #[arg(long, value_name = "DIR", required = true, num_args = 1.., value_hint = ValueHint::DirPath)]
    pub(crate) input: Vec<String>,

    /// Directory of the new index
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: String,

    #[command(flatten)]
    pub(crate) task: TaskFlags,

    #[command(flatten)]
    pub(crate) display: DisplayFlags,
}

/// Describes an index file of ours or of Faiss: family, metric, dimension, rows, lists and sizes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faiss-indexer inspect index/
  faiss-indexer inspect --json elsewhere/of-faiss.index")]
pub(crate) struct InspectFlags {
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,

    /// The index file, or the directory of a published index
    #[arg(value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) uri: String,
}

/// Reads a published index again and checks everything that its manifest states
///
/// Exit code 0: all of it is true; 1: the first lie is named.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faiss-indexer verify index/")]
pub(crate) struct VerifyFlags {
    /// Directory of the published index
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: String,

    /// One JSON object instead of a sentence
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) display: DisplayFlags,
}

/// Searches an index and prints its recall against exact search
///
/// Recall at k is the share of the k true neighbours that are among the k found. The true ones are found by comparing
/// every query with every row of --input, which is read once. A published index is verified first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faiss-indexer evaluate --index index/ --queries queries.parquet --input embeddings/ --nprobe 1,4,16
  faiss-indexer evaluate --index index/ --queries rows.parquet --exclude-own --input embeddings/ --json")]
pub(crate) struct EvaluateFlags {
    /// Directory of a published index or of one in shards, or an index file
    #[arg(long, value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) index: String,

    /// Files or directories of the queries, in the columns of the input
    #[arg(long, value_name = "URI", required = true, num_args = 1.., value_hint = ValueHint::AnyPath)]
    pub(crate) queries: Vec<String>,

    /// File of the ids that belong to .npy queries, for --exclude-own
    #[arg(long, value_name = "URI", value_hint = ValueHint::FilePath)]
    pub(crate) query_ids: Option<String>,

    /// Files or directories that the index was built from
    #[arg(long, value_name = "URI", num_args = 1.., value_hint = ValueHint::AnyPath)]
    pub(crate) input: Vec<String>,

    #[command(flatten)]
    pub(crate) columns: ColumnFlags,

    /// Neighbours for each query; a column for each number
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) k: Vec<u32>,

    /// How many inverted lists are searched; a line for each number [default: 1,2,4,… up to all that are affordable]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) nprobe: Vec<u64>,

    /// How many candidates a search of a graph keeps; a line for each number [default: 16,32,64,128,256,512]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ef_search: Vec<u64>,

    /// Queries are rows of the data: the row with the id of a query is none of its neighbours
    #[arg(long)]
    pub(crate) exclude_own: bool,

    /// Distance; of use for a file without a manifest, in which ip and cosine look the same
    #[arg(long, value_name = "METRIC")]
    pub(crate) metric: Option<String>,

    /// One JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) display: DisplayFlags,
}

/// Prints the script that completes flags in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faiss-indexer completions bash > ~/.local/share/bash-completion/completions/faiss-indexer")]
pub(crate) struct CompletionsFlags {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,

    /// File to write instead of stdout
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

/// Where rows come from.
#[derive(Debug, Args)]
pub(crate) struct InputFlags {
    /// Files or directories of embeddings: Parquet, Arrow IPC or .npy
    #[arg(long, value_name = "URI", required = true, num_args = 1.., value_hint = ValueHint::AnyPath)]
    pub(crate) input: Vec<String>,

    #[command(flatten)]
    pub(crate) columns: ColumnFlags,

    /// What rows do that no index can hold: without id or embedding, with null, NaN or infinite components, of another
    /// dimension, too large for distances in single precision, or for cosine of length zero
    #[arg(long, value_name = "fail|skip", help_heading = "Build")]
    bad_rows: Option<String>,
}

impl InputFlags {
    /// As keys and values of a spec.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        given([("badRows", &self.bad_rows)])
    }
}

#[derive(Debug, Args)]
pub(crate) struct ColumnFlags {
    /// File of the ids that belong to .npy embeddings
    #[arg(long, value_name = "URI", value_hint = ValueHint::FilePath)]
    pub(crate) ids: Option<String>,

    /// Column of the ids
    #[arg(long, value_name = "NAME", default_value = USUAL_ID_COLUMN)]
    pub(crate) id_column: String,

    /// Column of the embeddings
    #[arg(long, value_name = "NAME", default_value = USUAL_EMBEDDING_COLUMN)]
    pub(crate) embedding_column: String,
}

/// What the index is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Index")]
pub(crate) struct IndexFlags {
    /// Faiss factory string; chosen from rows and dimension when absent
    #[arg(long, value_name = "STRING")]
    factory_string: Option<String>,

    /// How the family is chosen where none is named; pq48: OPQ48,IVF{rows/20},PQ48 where that works
    #[arg(long, value_name = "auto|pq48")]
    family_rule: Option<String>,

    /// Distance: l2, ip, cosine, l1 or linf
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,

    /// Components of an embedding; when absent, what the types of the files or else the first embedding with components
    /// say
    #[arg(long, value_name = "N")]
    pub(crate) dimension: Option<String>,

    /// Share of the rows that train, raised to what the family needs and capped at what it can use
    #[arg(long, value_name = "SHARE")]
    sample_rate: Option<String>,

    /// Chooses the sample and all that is random in training
    #[arg(long, value_name = "N")]
    seed: Option<String>,

    /// Where ids are kept: auto, or always in an IndexIDMap around the index
    #[arg(long, value_name = "auto|always")]
    id_map: Option<String>,

    /// Name of the index file, for readers that know another one than faiss.index
    #[arg(long, value_name = "NAME")]
    index_filename: Option<String>,

    /// Number of complete indexes that share the rows, for families that cannot be merged
    #[arg(long, value_name = "N")]
    shards: Option<String>,
}

impl IndexFlags {
    /// As keys and values of a spec.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        given([
            ("factoryString", &self.factory_string),
            ("familyRule", &self.family_rule),
            ("metric", &self.metric),
            ("dimension", &self.dimension),
            ("sampleRate", &self.sample_rate),
            ("seed", &self.seed),
            ("idMap", &self.id_map),
            ("indexFilename", &self.index_filename),
            ("shards", &self.shards),
        ])
    }
}

/// How the index comes to be.
#[derive(Debug, Args)]
#[command(next_help_heading = "Build")]
pub(crate) struct TaskFlags {
    /// Threads at work; all CPUs when absent
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<String>,

    /// Memory for rows that are not yet on disk, beside the trained state
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,

    /// Parts that an index is merged in, one after the other here: auto, which is one on a local disk, or a number
    #[arg(long, value_name = "auto|N")]
    merge_parts: Option<String>,

    /// What rows do that share an id
    #[arg(long, value_name = "fail|keepFirst|allow")]
    duplicate_ids: Option<String>,

    /// Replace a finished index in the output directory
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    overwrite: Option<String>,

    /// Write report.html beside the index
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    report: Option<String>,
}

impl TaskFlags {
    /// As keys and values of a spec.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        given([
            ("threads", &self.threads),
            ("memoryLimit", &self.memory_limit),
            ("mergeParts", &self.merge_parts),
            ("duplicateIds", &self.duplicate_ids),
            ("overwrite", &self.overwrite),
            ("report", &self.report),
        ])
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Build")]
pub(crate) struct StepFlags {
    /// Rows of a partition, the unit of work: --resume of a build goes on after those that are done
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) partition_rows: u64,
}

/// What is shown on stderr.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct DisplayFlags {
    /// How far a stage is; auto is bar on a terminal and lines elsewhere
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProgressChoice::Auto)]
    pub(crate) progress: ProgressChoice,

    /// Warnings and errors only, and no progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressChoice {
    Auto,
    Bar,
    Lines,
    None,
}

fn given<const N: usize>(flags: [(&str, &Option<String>); N]) -> Vec<(String, String)> {
    let given = flags.into_iter().filter_map(|(key, value)| value.clone().map(|value| (key.to_owned(), value)));
    given.collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_has_no_contradiction_and_every_command_shows_an_example() {
        let mut command = Arguments::command();
        command.build();
        command.clone().debug_assert();
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains(&format!("\n  faiss-indexer {} ", command.get_name())), "{help}");
        }
    }

    #[test]
    fn every_key_of_a_spec_has_a_flag_that_sets_it() {
        // Without a JVM there is one way to HDFS.
        for key in faiss_indexer_core::SPEC_KEYS.into_iter().filter(|key| *key != "io.hdfs") {
            let flag = format!("--{}=value of it", crate::spelling::flag_of(key));
            let Command::Build(flags) =
                Arguments::parse_from(["faiss-indexer", "build", "--input=x", "--output=y", &flag]).command
            else {
                panic!("{flag}")
            };
            let pairs = [flags.input.pairs(), flags.index.pairs(), flags.task.pairs()].concat();
            assert_eq!(pairs, [(key.to_owned(), "value of it".to_owned())]);
        }
    }

    #[test]
    fn a_switch_is_on_alone_and_takes_its_value_with_or_without_an_equals_sign() {
        for (words, value) in [
            (&["--overwrite"][..], "true"),
            (&["--overwrite=false"], "false"),
            (&["--overwrite", "false"], "false"),
            (&["--overwrite", "true"], "true"),
        ] {
            let first = ["faiss-indexer", "build", "--input=x", "--output=y"];
            for words in [[&first[..], words].concat(), [&first[..2], words, &first[2..]].concat()] {
                let Command::Build(flags) = Arguments::parse_from(&words).command else { panic!("{words:?}") };
                assert_eq!(flags.task.pairs(), [("overwrite".to_owned(), value.to_owned())], "{words:?}");
            }
        }
    }
}
