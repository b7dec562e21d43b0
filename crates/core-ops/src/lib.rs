//! core-ops
