//! The engine as a whole.

mod smoke;
