//! How good an index is: its neighbours against those of exact search.
//!
//! [`ExactSearch`] finds the true neighbours of some [`Queries`] while all rows stream by; [`evaluate`] searches
//! [`LoadedIndex`]es for the same queries and compares.

mod exact_search;
mod list_balance;
mod loaded_index;
mod nearest_rows;
mod queries;
mod recall;
mod suggestion;

pub use exact_search::ExactSearch;
pub use list_balance::ListBalance;
pub use loaded_index::{LoadedIndex, SearchSettings, Setting};
pub use nearest_rows::Neighbours;
pub use queries::Queries;
pub use recall::{Evaluation, RecallAt, RecallPoint, evaluate};
pub use suggestion::{default_sweep, rule_of_thumb, suggest};
