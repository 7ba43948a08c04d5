//! One vocabulary in several spellings: `factoryString` in a spec, `--factory-string` and `--factory_string` here.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};
use faiss_indexer_core::{Result, spec_defaults};

/// The flag for a key of a spec, without its dashes.
pub(crate) fn flag_of(key: &str) -> String {
    let mut flag = String::new();
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            flag.push('-');
        }
        flag.push(letter.to_ascii_lowercase());
    }
    flag
}

/// `--factory_string=X_Y` as `--factory-string=X_Y`; anything else as it is.
pub(crate) fn with_dashes(word: OsString) -> OsString {
    match word.to_str() {
        Some(text) if text.starts_with("--") => {
            let end = text.find('=').unwrap_or(text.len());
            OsString::from(text[..end].replace('_', "-") + &text[end..])
        }
        _ => word,
    }
}

/// Adds core's defaults to the help of the flags that have one, or where they are taken from; and leaves it to core to
/// refuse negative numbers.
pub(crate) fn with_defaults(command: Command) -> Result<Command> {
    let defaults = spec_defaults()?;
    Ok(command.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        command.mut_args(|argument| {
            let takes_values = argument.get_action().takes_values();
            let argument = argument.allow_negative_numbers(takes_values);
            let flag = argument.get_long().unwrap_or_default();
            let found = defaults.iter().find(|(key, _)| flag_of(key) == flag);
            let value = found.and_then(|(key, value)| match (name.as_str(), key.as_str()) {
                ("build", _) => Some(readable(key, value)),
                ("add" | "merge", "overwrite") => None,
                ("add", _) => Some("that of the index".to_owned()),
                ("merge", _) => Some("that of the first index".to_owned()),
                _ => None,
            });
            match (value, argument.get_help().cloned()) {
                (Some(value), Some(help)) => argument.help(format!("{help} [default: {value}]")),
                _ => argument,
            }
        })
    }))
}

/// Names the nearest flag where clap finds none near enough to name one.
pub(crate) fn with_nearest_flag(mut error: Error, command: &Command) -> Error {
    let unknown = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(unknown))) if unknown.starts_with("--") => unknown,
        _ => return error,
    };
    if error.get(ContextKind::SuggestedArg).is_some() {
        return error;
    }
    let used = std::env::args().nth(1).and_then(|name| command.find_subcommand(name));
    let flags = used.unwrap_or(command).get_arguments().filter_map(|argument| argument.get_long());
    let nearest = flags.min_by_key(|flag| strsim::damerau_levenshtein(unknown.trim_start_matches('-'), flag));
    if let Some(nearest) = nearest {
        let nearest = ContextValue::String(format!("--{nearest}"));
        error.insert(ContextKind::SuggestedArg, nearest);
    }
    error
}

fn readable(key: &str, value: &str) -> String {
    const MEBIBYTE: u64 = 1 << 20;
    match value.parse::<u64>() {
        Ok(bytes) if key == "memoryLimit" && bytes % MEBIBYTE == 0 => format!("{}MiB", bytes / MEBIBYTE),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_may_be_written_with_underscores_and_values_stay() {
        for (typed, read) in [
            ("--factory_string", "--factory-string"),
            ("--output=a_b", "--output=a_b"),
            ("--id_column=entity_id", "--id-column=entity_id"),
            ("a_b", "a_b"),
            ("-a_b", "-a_b"),
            ("--", "--"),
        ] {
            assert_eq!(with_dashes(typed.into()), read);
        }
    }

    #[test]
    fn keys_become_flags() {
        for (key, flag) in [("factoryString", "factory-string"), ("seed", "seed"), ("idMap", "id-map")] {
            assert_eq!(flag_of(key), flag);
        }
    }
}
