//! The status codes.

/// The name of a status code: `3` is `INVALID_ARGUMENT`.
pub fn status_name(code: &[u8]) -> Option<&'static str> {
    let code: usize = std::str::from_utf8(code).ok()?.parse().ok()?;
    [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ]
    .get(code)
    .copied()
}
