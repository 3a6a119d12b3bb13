//! What the tests of resolvers share.

use super::*;

mod fixed;
mod target;
mod tonic_alone;
mod update;

/// What a resolver for `text` says first, as text.
async fn first(schemes: &Schemes, text: &str) -> Vec<String> {
    let target = schemes.target(text).unwrap();
    let mut updates = UpdatesReceiver::spawn(schemes.build(&target).unwrap());
    let delivery = crate::testing::soon(updates.next()).await.unwrap();
    delivery.verdict.give(true);
    texts(&delivery.update.backends.unwrap())
}

/// Why `text` can't be used.
fn refusal(schemes: &Schemes, text: &str) -> String {
    let built = schemes
        .target(text)
        .and_then(|target| schemes.build(&target));
    let error = built.err().expect(text).to_string();
    let prefix = "can't be used: ";
    error.split_once(prefix).expect(&error).1.to_owned()
}

/// The addresses of these, with `|` between those of one backend.
pub(super) fn texts(backends: &[Backend]) -> Vec<String> {
    let text = |backend: &Backend| {
        let addresses = backend.addresses().iter().map(Address::to_string);
        addresses.collect::<Vec<_>>().join("|")
    };
    backends.iter().map(text).collect()
}
