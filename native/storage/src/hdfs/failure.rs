//! What the errors of HDFS mean here.

use hdfs_native::HdfsError;

use crate::StorageError;

const CREDENTIALS: &str = "a cluster with Kerberos needs HADOOP_CONF_DIR with hadoop.security.authentication=kerberos, \
    and a ticket (kinit, libgssapi_krb5.so.2) or a file of delegation tokens named by HADOOP_TOKEN_FILE_LOCATION";
const ENCRYPTION_ZONE: &str = "it is in an encryption zone, which is read and written only through a JVM (Spark or \
    Hadoop jobs)";

/// The error of an `operation` on `uri`, with the words of the name node but not its stack trace.
pub(super) fn storage_error(operation: &'static str, uri: &str, error: HdfsError) -> StorageError {
    let uri = uri.to_owned();
    let denied = |uri, message: &str| {
        let message = format!("{}; {CREDENTIALS}", first_line(message));
        StorageError::PermissionDenied { uri, message }
    };
    let message = match error {
        HdfsError::FileNotFound(_) => return StorageError::NotFound { uri },
        HdfsError::AlreadyExists(_) => return StorageError::AlreadyExists { uri },
        HdfsError::IsADirectoryError(_) => return StorageError::is_a_directory(operation, &uri),
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            let name = class.rsplit(['.', '$']).next().unwrap_or_default();
            match name {
                "FileNotFoundException" => return StorageError::NotFound { uri },
                "AccessControlException" if message.contains("Permission denied") => {
                    return StorageError::PermissionDenied { uri, message: first_line(&message) };
                }
                "AccessControlException" | "AuthorizationException" | "InvalidToken" | "SaslException" => {
                    return denied(uri, &message);
                }
                _ => format!("{name}: {}", first_line(&message)),
            }
        }
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => {
            return denied(uri, &error.to_string());
        }
        HdfsError::OperationFailed(message) if message.contains("libgssapi") => return denied(uri, &message),
        HdfsError::UnsupportedFeature(message) if message.contains("encryption zone") => ENCRYPTION_ZONE.to_owned(),
        HdfsError::InvalidArgument(message) if message.contains("fs.defaultFS") => {
            format!("{message}: an HDFS URI without a host needs it in core-site.xml, in the directory HADOOP_CONF_DIR")
        }
        HdfsError::IOError(error) => error.to_string(),
        other => first_line(&other.to_string()),
    };
    StorageError::Io { operation, uri, message }
}

/// Answers of a name node go on with a stack trace.
pub(super) fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn errors_keep_their_meaning_and_name_the_uri() {
        let rpc = |class: &str, message: &str| HdfsError::RPCError(class.to_owned(), message.to_owned());
        let uri = "hdfs://node/a";
        for (error, text) in [
            (HdfsError::FileNotFound("/a".into()), "hdfs://node/a does not exist"),
            (rpc("java.io.FileNotFoundException", "File does not exist: /a\n\tat x"), "hdfs://node/a does not exist"),
            (HdfsError::AlreadyExists("/a\n\tat x".into()), "hdfs://node/a already exists"),
            (HdfsError::IsADirectoryError("/a".into()), "cannot open hdfs://node/a: it is a directory"),
            (
                rpc("org.apache.hadoop.security.AccessControlException", "Permission denied: user=x\n\tat y"),
                "no permission for hdfs://node/a: Permission denied: user=x",
            ),
            (
                rpc("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "Name node is in safe mode.\n\tat x"),
                "cannot open hdfs://node/a: SafeModeException: Name node is in safe mode.",
            ),
            (
                HdfsError::IOError(io::Error::new(io::ErrorKind::TimedOut, "no answer within 300 seconds")),
                "cannot open hdfs://node/a: no answer within 300 seconds",
            ),
        ] {
            assert_eq!(storage_error("open", uri, error).to_string(), text);
        }
    }

    #[test]
    fn missing_credentials_and_encryption_zones_say_what_to_do() {
        for (error, words) in [
            (HdfsError::NoSASLMechanism, "HADOOP_TOKEN_FILE_LOCATION"),
            (HdfsError::OperationFailed("Failed to load libgssapi_krb".into()), "libgssapi_krb5.so.2"),
            (
                HdfsError::FatalRPCError(
                    "org.apache.hadoop.security.AccessControlException".into(),
                    "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]".into(),
                ),
                "hadoop.security.authentication=kerberos",
            ),
            (
                HdfsError::RPCError(
                    "org.apache.hadoop.security.token.SecretManager$InvalidToken".into(),
                    "expired".into(),
                ),
                "expired; a cluster with Kerberos",
            ),
            (
                HdfsError::UnsupportedFeature("file is in an HDFS encryption zone; reading or writing it".into()),
                "only through a JVM",
            ),
        ] {
            let text = storage_error("open", "hdfs://node/a", error).to_string();
            assert!(text.contains(words) && text.contains("hdfs://node/a"), "{text}");
        }
    }
}
