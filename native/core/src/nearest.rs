//! The known word that a mistyped one most likely meant.

pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase());
    known.into_iter().min_by_key(|candidate| distance(candidate))
}
