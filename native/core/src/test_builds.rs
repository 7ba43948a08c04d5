//! Whole builds in memory, for tests.

use std::sync::Arc;

use faiss_indexer_storage::{MemoryStorage, Storage, Storages};

use crate::error::Result;
use crate::receipts::Receipts;
use crate::stage::{Stage, StageKind, StageRequest};
use crate::{plan_training, publish, start_build};

pub(crate) const OUTPUT: &str = "memory:/out";

/// Rows of a test: deterministic, clustered, with ids that are neither dense nor in order.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) dimension: usize,
    pub(crate) ids: Vec<i64>,
    pub(crate) vectors: Vec<f32>,
}

impl Rows {
    pub(crate) fn new(count: usize, dimension: usize) -> Self {
        let mut state = 0x1234_5678_9ABC_DEF0_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(state >> 48).unwrap()) / 32_768.0 - 1.0
        };
        let centers: Vec<f32> = (0..20 * dimension).map(|_| random()).collect();
        let vectors = (0..count)
            .flat_map(|row| {
                let center = &centers[row % 20 * dimension..(row % 20 + 1) * dimension];
                center.iter().map(|middle| middle + 0.3 * random()).collect::<Vec<_>>()
            })
            .collect();
        let ids = (0..i64::try_from(count).unwrap()).map(|row| (row * 7_919 + 13) % 1_000_003 - 500_000).collect();
        Self { dimension, ids, vectors }
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.vectors[row * self.dimension..(row + 1) * self.dimension]
    }

    /// The rows at `places`, in that order.
    pub(crate) fn select(&self, places: impl IntoIterator<Item = usize>) -> Self {
        let mut selected = Self { dimension: self.dimension, ids: Vec::new(), vectors: Vec::new() };
        for place in places {
            selected.ids.push(self.ids[place]);
            selected.vectors.extend_from_slice(self.row(place));
        }
        selected
    }

    pub(crate) fn in_id_order(&self) -> Self {
        let mut places: Vec<usize> = (0..self.ids.len()).collect();
        places.sort_by_key(|place| self.ids[*place]);
        self.select(places)
    }

    /// A fixed shuffle, then round robin over `count` partitions.
    pub(crate) fn partitions(&self, count: usize) -> Vec<Self> {
        let mut places: Vec<usize> = (0..self.ids.len()).collect();
        if count > 1 {
            places.sort_by_key(|place| crate::row_hash::row_hash(i64::try_from(*place).unwrap(), 99));
        }
        (0..count).map(|part| self.select(places.iter().copied().skip(part).step_by(count))).collect()
    }
}

/// One build in a memory storage of its own.
#[derive(Debug)]
pub(crate) struct TestBuild {
    pub(crate) memory: MemoryStorage,
    pub(crate) storages: Storages,
    pub(crate) threads: usize,
}

/// What a finished build left behind.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) index: Vec<u8>,
    pub(crate) trained: Vec<u8>,
    pub(crate) pairs: Vec<(String, String)>,
}

/// A build that waits to be published.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) build: String,
    pub(crate) receipts: Vec<String>,
    trained: Vec<u8>,
}

impl TestBuild {
    pub(crate) fn new() -> Self {
        let memory = MemoryStorage::default();
        let storages = Storages::new().with_memory(Arc::new(memory.clone()));
        Self { memory, storages, threads: 1 }
    }

    pub(crate) fn run(&self, spec: &[(&str, &str)], partitions: &[Rows]) -> Result<Built> {
        let Merged { build, receipts, trained } = self.merged(spec, partitions)?;
        let pairs = publish(&build, &receipts, &self.storages)?;
        Ok(Built { index: self.read(&format!("{OUTPUT}/faiss.index")), trained, pairs })
    }

    /// Everything but publishing.
    pub(crate) fn merged(&self, spec: &[(&str, &str)], partitions: &[Rows]) -> Result<Merged> {
        let dimension = partitions[0].dimension.to_string();
        // Measuring takes longer than most of the small builds of tests.
        let all = [("dimension", dimension.as_str()), ("report", "false")].into_iter().chain(spec.iter().copied());
        let pairs: Vec<_> = all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let mut build = start_build(&pairs, OUTPUT, &self.storages)?;
        let (samples, evaluates) = loop {
            let samples = self.every(StageKind::Sample, &build, &[], partitions)?;
            let decision = plan_training(&build, &samples)?;
            build = decision.build;
            if !decision.resample {
                break (samples, decision.evaluates);
            }
        };
        let trained = self.task(StageKind::Train, &build, &samples, 0, None)?;
        let trained_uri = Receipts::parse(std::slice::from_ref(&trained))?.trained()?.uri.clone();
        let trained_bytes = self.read(&trained_uri);
        let shards = self.every(StageKind::Encode, &build, std::slice::from_ref(&trained), partitions)?;
        let for_merge = [vec![trained], shards].concat();
        let merged = self.task(StageKind::Merge, &build, &for_merge, 0, None)?;
        let mut receipts = [for_merge, vec![merged]].concat();
        if evaluates {
            receipts.push(self.task(StageKind::Evaluate, &build, &receipts, 0, None)?);
        }
        Ok(Merged { build, receipts: [samples, receipts].concat(), trained: trained_bytes })
    }

    pub(crate) fn every(
        &self,
        kind: StageKind,
        build: &str,
        receipts: &[String],
        partitions: &[Rows],
    ) -> Result<Vec<String>> {
        (0..).zip(partitions).map(|(number, rows)| self.task(kind, build, receipts, number, Some(rows))).collect()
    }

    pub(crate) fn task(
        &self,
        kind: StageKind,
        build: &str,
        receipts: &[String],
        partition: u32,
        rows: Option<&Rows>,
    ) -> Result<String> {
        let stage = self.open(kind, build, receipts, partition)?;
        if let Some(rows) = rows {
            // A batch size that fits neither the rows nor the encoder's blocks.
            for (ids, vectors) in rows.ids.chunks(77).zip(rows.vectors.chunks(77 * rows.dimension)) {
                stage.append(ids, vectors)?;
            }
        }
        stage.finish()
    }

    pub(crate) fn open(&self, kind: StageKind, build: &str, receipts: &[String], partition: u32) -> Result<Stage> {
        Stage::open(StageRequest {
            kind,
            build: build.to_owned(),
            receipts: receipts.to_vec(),
            partition,
            threads: self.threads,
            storages: self.storages.clone(),
        })
    }

    pub(crate) fn read(&self, uri: &str) -> Vec<u8> {
        let file = self.memory.open(uri).unwrap();
        let mut bytes = vec![0; usize::try_from(file.length()).unwrap()];
        file.read_exact_at(0, &mut bytes).unwrap();
        bytes
    }

    /// Names of what is in the output directory.
    pub(crate) fn published(&self) -> Vec<String> {
        let uris = self.memory.list(OUTPUT).unwrap();
        uris.iter().map(|uri| uri.rsplit('/').next().unwrap().to_owned()).collect()
    }
}
