//! Recipes in whole deployments: what clients at all sites asked of them, and
//! whether each kept its promise.
//!
//! ```text
//!  client: mutex ┐
//!          queue ├── trades, all at once ──▶ log of calls ──▶ judges, one a promise
//!           once ┘   under one nemesis
//! ```
//!
//! A call that was begun and has no answer, because its client was killed or
//! gave it up, may have had its effect or not.
//!
//! | module | what it holds |
//! |---|---|
//! | [`log`] | calls and their answers |
//! | [`trades`] | which recipes are used |
//! | `work` | how clients use them |
//! | [`judges`] | the promises |
//! | [`sometimes`] | which rare things must have happened |

pub mod judges;
pub mod log;
pub mod sometimes;
pub mod trades;
pub(crate) mod work;
