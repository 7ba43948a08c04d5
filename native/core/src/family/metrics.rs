//! Which metrics go with which family: what Faiss refuses, answers with noise, or silently takes for another metric.

use super::codes::{Codes, Norm, Scalar};
use super::grammar::{Base, Coarse, Factory, Graph, Transform};
use crate::spec::Metric;

const ALL: [Metric; 5] = [Metric::L2, Metric::Ip, Metric::Cosine, Metric::L1, Metric::Linf];
const L2_AND_PRODUCTS: &[Metric] = &[Metric::L2, Metric::Ip, Metric::Cosine];
const PRODUCTS: &[Metric] = &[Metric::Ip, Metric::Cosine];
const L2_ONLY: &[Metric] = &[Metric::L2];

/// A part of a family, the metrics that it goes with, and what is wrong with the others.
struct Restriction {
    allowed: &'static [Metric],
    reason: &'static str,
}

/// Refuses a metric that `factory` cannot be searched by.
pub(super) fn check_metric(factory: &Factory, metric: Metric) -> Result<(), String> {
    let restrictions = restrictions(factory);
    let Some(broken) = restrictions.iter().find(|restriction| !restriction.allowed.contains(&metric)) else {
        return Ok(());
    };
    let allowed: Vec<&str> = ALL
        .into_iter()
        .filter(|metric| restrictions.iter().all(|restriction| restriction.allowed.contains(metric)))
        .map(name)
        .collect();
    let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
    Err(format!("metric={} does not go with it: {}; allowed: {allowed}", name(metric), broken.reason))
}

fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::L2 => "l2",
        Metric::Ip => "ip",
        Metric::Cosine => "cosine",
        Metric::L1 => "l1",
        Metric::Linf => "linf",
    }
}

fn restrictions(factory: &Factory) -> Vec<Restriction> {
    let mut found = Vec::new();
    let mut restrict = |allowed, reason| found.push(Restriction { allowed, reason });
    let rotates = |transform: &Transform| !matches!(transform, Transform::Normalization | Transform::Padding { .. });
    if factory.transforms.iter().any(rotates) {
        restrict(L2_AND_PRODUCTS, "a rotation changes l1 and linf distances");
    }
    let codes = match &factory.base {
        Base::Codes(codes) => codes,
        Base::Lists { coarse, codes } => {
            match coarse {
                Coarse::Flat { .. } => (),
                Coarse::Graph { .. } => restrict(L2_AND_PRODUCTS, "a graph of centroids is trained for these only"),
                Coarse::Multi { .. } => restrict(L2_ONLY, "Faiss has the multi-index for l2 only"),
            }
            codes
        }
        Base::Graph { kind, codes, .. } => {
            if *kind == Graph::Nsg {
                restrict(L2_AND_PRODUCTS, "NSG prunes its edges by these only");
            }
            if matches!(codes, Codes::Product { .. }) {
                restrict(L2_ONLY, "Faiss builds a graph over PQ codes for l2, whatever is asked for");
            }
            codes
        }
    };
    for codes in [Some(codes), factory.refinement.as_ref()].into_iter().flatten() {
        if let Some(restriction) = restriction_of(codes) {
            found.push(restriction);
        }
    }
    if factory.refinement.is_some() {
        found.push(Restriction { allowed: L2_AND_PRODUCTS, reason: "Faiss refines by these only" });
    }
    found
}

fn restriction_of(codes: &Codes) -> Option<Restriction> {
    let (allowed, reason) = match codes {
        Codes::Flat => return None,
        Codes::Scalar(Scalar::Direct) => (
            &[Metric::L2, Metric::Ip][..],
            "it stores whole numbers, which components of rows of length 1 are not, and has no l1 or linf",
        ),
        Codes::Scalar(_) => (L2_AND_PRODUCTS, "scalar quantizers have these only"),
        Codes::Product { .. } | Codes::ProductFastScan { .. } => {
            (L2_AND_PRODUCTS, "Faiss answers others over product quantizers with an error or with noise")
        }
        Codes::Refined { .. } => (L2_ONLY, "Faiss has PQa+b for l2 only"),
        Codes::Additive(additive) => match additive.norm {
            Norm::None => (PRODUCTS, "without the norm (_Nnone) rows are ranked by inner product"),
            _ => (L2_AND_PRODUCTS, "additive quantizers have these only"),
        },
        Codes::AdditiveFastScan { additive, .. } => match additive.norm {
            Norm::Unstated | Norm::None => {
                (PRODUCTS, "fast scan over sums needs a norm for l2: append _Nrq2x4 or _Nlsq2x4")
            }
            Norm::FastScan => (L2_ONLY, "fast scan over sums goes without a norm for inner products"),
            Norm::Plain => {
                (&[][..], "fast scan over sums takes the norms _Nrq2x4 and _Nlsq2x4 (l2) or none (ip, cosine)")
            }
        },
        Codes::Lsh { .. } => (L2_ONLY, "Faiss has LSH for l2 only"),
        Codes::SpectralHash { .. } => (L2_ONLY, "Faiss takes every metric for l2 here"),
        Codes::RaBitQ => (L2_AND_PRODUCTS, "RaBitQ estimates these only"),
    };
    Some(Restriction { allowed, reason })
}
