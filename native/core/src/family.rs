//! Factory strings: which family of index they ask for, and what it takes to build it.

mod choice;
mod codes;
mod fit;
mod grammar;
mod metrics;
mod refused;
mod scanner;
mod training_memory;
mod training_rows;

pub(crate) use choice::FamilyRule;
#[cfg(test)]
pub(crate) use refused::REFUSED;
pub(crate) use training_rows::TrainingRows;

use self::grammar::{Base, Factory};
use crate::error::{BuildError, Result};
use crate::faiss_index::OuterIdMap;
use crate::index_layout::Labels;
use crate::spec::{IdMap, Metric};

/// How the rows of all shards become one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MergePlan {
    /// List after list, ids ascending.
    ByLists,
    /// One sequence of codes in id order, with an id map around it.
    ByPosition,
    /// All rows in id order are added to one index, with an id map around it: what is stored of a row depends on
    /// the rows before it.
    SingleTask,
}

/// A factory string that was understood and fits the dimension and the metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Family {
    factory_string: String,
    inner_factory_string: String,
    plan: MergePlan,
    id_map: OuterIdMap,
    training_rows: TrainingRows,
}

impl Family {
    /// Understands `factory_string` for rows of `dimension`, or says why it cannot be built.
    pub(crate) fn parse(factory_string: &str, dimension: u64, metric: Metric, id_map: IdMap) -> Result<Self> {
        let refuse = |why: String| refused(factory_string, &why);
        let factory = parse_factory(factory_string, metric)?;
        fit::fit(&factory, dimension).map_err(refuse)?;
        let plan = plan_of(&factory);
        let training_rows = training_rows::training_rows(&factory, dimension);
        let id_map = id_map_of(&factory, plan, id_map);
        let (factory_string, inner_factory_string) = (factory_string.to_owned(), factory.inner);
        Ok(Self { factory_string, inner_factory_string, plan, id_map, training_rows })
    }

    /// Refuses a string that no dimension makes right.
    pub(crate) fn check_syntax(factory_string: &str, metric: Metric) -> Result<()> {
        parse_factory(factory_string, metric).map(drop)
    }

    pub(crate) fn factory_string(&self) -> &str {
        &self.factory_string
    }

    /// The string without its id map: what is trained.
    pub(crate) fn inner_factory_string(&self) -> &str {
        &self.inner_factory_string
    }

    pub(crate) fn merge_plan(&self) -> MergePlan {
        self.plan
    }

    /// What stands around the index in its file.
    pub(crate) fn id_map(&self) -> OuterIdMap {
        self.id_map
    }

    /// What the lists of [`MergePlan::ByLists`] store of a row's identity.
    pub(crate) fn labels(&self) -> Labels {
        if self.id_map == OuterIdMap::None { Labels::Ids } else { Labels::Positions }
    }

    /// One sentence for the log: how this index will be built.
    pub(crate) fn describe(&self) -> String {
        let how = match (self.plan, self.labels()) {
            (MergePlan::ByLists, Labels::Ids) => "shards are merged list by list",
            (MergePlan::ByLists, Labels::Positions) => "shards are merged list by list under an id map",
            (MergePlan::ByPosition, _) => "shards are merged in id order under an id map",
            (MergePlan::SingleTask, _) => "one task adds all rows in id order under an id map",
        };
        format!("{}: {how}", self.factory_string)
    }

    pub(crate) fn training_rows(&self) -> TrainingRows {
        self.training_rows
    }

    /// Bytes that training on `rows` rows of `dimension` takes at its peak, beside those rows.
    pub(crate) fn training_memory(&self, dimension: u64, rows: u64) -> Result<f64> {
        let factory = Factory::parse(&self.factory_string).map_err(|why| refused(&self.factory_string, &why))?;
        Ok(training_memory::training_memory(&factory, dimension, rows))
    }
}

fn parse_factory(factory_string: &str, metric: Metric) -> Result<Factory> {
    let factory = Factory::parse(factory_string).map_err(|why| refused(factory_string, &why))?;
    metrics::check_metric(&factory, metric).map_err(|why| refused(factory_string, &why))?;
    Ok(factory)
}

fn plan_of(factory: &Factory) -> MergePlan {
    match &factory.base {
        Base::Graph { .. } => MergePlan::SingleTask,
        Base::Lists { codes, .. } | Base::Codes(codes) if codes.is_local_search() => MergePlan::SingleTask,
        Base::Lists { .. } => MergePlan::ByLists,
        Base::Codes(_) => MergePlan::ByPosition,
    }
}

fn id_map_of(factory: &Factory, plan: MergePlan, wanted: IdMap) -> OuterIdMap {
    // Second codes are stored by position, and only an id map leads from there to an id.
    let has_second_codes = factory.refinement.is_some()
        || matches!(&factory.base, Base::Lists { codes: codes::Codes::Refined { .. }, .. });
    match factory.id_map {
        OuterIdMap::None if plan == MergePlan::ByLists && !has_second_codes && wanted == IdMap::Auto => {
            OuterIdMap::None
        }
        OuterIdMap::None => OuterIdMap::Plain,
        stated => stated,
    }
}

fn refused(factory_string: &str, why: &str) -> BuildError {
    BuildError::invalid(format!("factoryString='{factory_string}': {why}"))
}

#[cfg(test)]
mod tests;
