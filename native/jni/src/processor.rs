use std::arch::is_x86_feature_detected;

/// The parts of x86-64-v3, which Faiss is compiled for, that this processor lacks.
pub(crate) fn missing_features() -> Vec<&'static str> {
    let features = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("bmi1", is_x86_feature_detected!("bmi1")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("lzcnt", is_x86_feature_detected!("lzcnt")),
        ("movbe", is_x86_feature_detected!("movbe")),
    ];
    features.into_iter().filter_map(|(name, present)| (!present).then_some(name)).collect()
}
