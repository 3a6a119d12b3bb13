//! Exercise 2: reads what can be read of an error's details.

use tonic::Status;
use tonic_types::StatusExt;

/// The wrong fields that `status` names, with what is wrong, in order.
pub fn wrong_fields(status: &Status) -> Vec<(String, String)> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations[..]);
    violations
        .unwrap_or_default()
        .iter()
        .map(|wrong| (wrong.field.clone(), wrong.description.clone()))
        .collect()
}
