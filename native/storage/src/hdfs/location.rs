use crate::{Result, StorageError};

/// The two parts of an `hdfs:` URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Location<'a> {
    /// `host:port`, `host`, or a name service; none for the default file system.
    pub(super) authority: Option<&'a str>,
    /// Absolute, without empty names in it.
    pub(super) path: String,
}

impl<'a> Location<'a> {
    pub(super) fn parse(operation: &'static str, uri: &'a str) -> Result<Self> {
        let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None if rest.starts_with('/') => ("", rest),
            None => {
                let message =
                    "an HDFS URI is written hdfs://namenode:port/path, hdfs://nameservice/path or hdfs:///path";
                return Err(StorageError::Io { operation, uri: uri.to_owned(), message: message.to_owned() });
            }
        };
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        Ok(Self { authority: Some(authority).filter(|name| !name.is_empty()), path: format!("/{}", names.join("/")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_and_path_are_told_apart_and_the_path_is_taken_literally() {
        for (uri, authority, path) in [
            ("hdfs://node:8020/a/b", Some("node:8020"), "/a/b"),
            ("hdfs://nameservice/a//b/", Some("nameservice"), "/a/b"),
            ("HDFS://node", Some("node"), "/"),
            ("hdfs:///a%20b c", None, "/a%20b c"),
            ("hdfs:/a", None, "/a"),
        ] {
            assert_eq!(Location::parse("open", uri), Ok(Location { authority, path: path.to_owned() }), "{uri}");
        }
        for uri in ["hdfs:a", "hdfs:"] {
            let error = Location::parse("open", uri).unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot open {uri}: an HDFS URI is written")), "{error}");
        }
    }
}
