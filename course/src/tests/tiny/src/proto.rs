//! Nothing is generated.
