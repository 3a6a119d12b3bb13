//! What the length of an answer gives away, and what it does not.

use std::io::Read;

use flate2::Compression;
use flate2::read::GzEncoder;

use super::*;
use crate::eavesdropper::guess;

#[tokio::test]
async fn the_length_of_compressed_answers_gives_the_pass_away() {
    let (stub, sizes) = measured(start().await).await;
    for encoding in [Gzip, Deflate] {
        let guessed = guess(6, async |text| {
            let mut stub = stub.clone().accept_compressed(encoding);
            stub.look_up(words(text)).await?;
            Ok(only(sizes.take()).1.bytes)
        });
        let guessed = guessed.await.unwrap();
        assert_eq!(guessed.as_deref(), PASS.strip_prefix("pass="));
    }
}

#[tokio::test]
async fn the_length_of_an_answer_that_is_not_compressed_gives_nothing_away() {
    let (stub, sizes) = measured(start().await).await;
    let stub = stub.accept_compressed(Gzip);
    let guessed = guess(1, async |text| {
        let private = Words {
            private: true,
            ..words(text)
        };
        stub.clone().look_up(private).await?;
        let (_, reply) = only(sizes.take());
        assert_eq!(reply.encoding, None);
        // Two bytes for `reports`, thirteen for the pass, and two before each.
        assert_eq!(reply.bytes as usize, text.len() + 2 + 2 + 13);
        Ok(reply.bytes)
    });
    assert_eq!(guessed.await.unwrap(), None);
}

/// A guess is text like any other: it can be right only where the pass says the same.
#[tokio::test]
async fn most_passes_are_given_away() {
    let mut given_away = 0;
    for number in 0..50_u32 {
        let digits = format!("{:06}", number.wrapping_mul(2_654_435_761) % 1_000_000);
        let guessed = guess(6, async |text| {
            let findings = Findings {
                text: text.to_owned(),
                reports: 12,
                pass: format!("pass={digits}"),
            };
            let message = findings.encode_to_vec();
            let mut zipped = Vec::new();
            let mut encoder = GzEncoder::new(&message[..], Compression::new(6));
            encoder.read_to_end(&mut zipped).unwrap();
            Ok(u32::try_from(zipped.len()).unwrap())
        });
        given_away += usize::from(guessed.await.unwrap() == Some(digits));
    }
    assert!(given_away >= 40, "{given_away} of 50");
}
