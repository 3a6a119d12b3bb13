//! What a cache keeps: a bounded number of answers, each of a bounded size.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, Response};

/// How many answers are kept. With one more, the oldest is forgotten.
pub const MOST: usize = 32;

/// How many bytes a question or an answer may have.
pub const LONGEST: usize = 64 * 1024;

/// A path, and the message as it was sent to it.
pub type Question = (String, Bytes);

/// All of a response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The headers.
    pub headers: HeaderMap,
    /// The messages, with the prefix of each.
    pub messages: Bytes,
    /// The trailers, with the status.
    pub trailers: Option<HeaderMap>,
}

impl From<Answer> for Response<Body> {
    fn from(answer: Answer) -> Self {
        let trailers = ready(answer.trailers.map(Ok));
        let body = Full::new(answer.messages).with_trailers(trailers);
        let mut response = Self::new(Body::new(body));
        *response.headers_mut() = answer.headers;
        response
    }
}

/// The answers to questions that were asked. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Answers(Arc<Mutex<VecDeque<(Question, Answer)>>>);

impl Answers {
    /// The answer to `question`, if it is still known.
    pub fn find(&self, question: &Question) -> Option<Answer> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(asked, _)| asked == question);
        found.map(|(_, answer)| answer.clone())
    }

    /// Keeps `answer` until [`MOST`] others have come.
    pub fn keep(&self, question: Question, answer: Answer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(MOST - 1);
        kept.push_front((question, answer));
    }
}

/// All of `body`, messages and trailers.
///
/// # Errors
///
/// If `body` is longer than [`LONGEST`], or breaks off: a body that is as if nobody had read it.
pub async fn whole(mut body: Body) -> Result<(Bytes, Option<HeaderMap>), Body> {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) if frame.is_trailers() => trailers = frame.into_trailers().ok(),
            Ok(frame) if fits(&frame, data.len()) => {
                data.extend(frame.into_data().unwrap_or_default());
            }
            frame => {
                let read = stream::iter([Ok(Frame::data(data.into())), frame]);
                let rest = BodyStream::new(body);
                return Err(Body::new(StreamBody::new(read.chain(rest))));
            }
        }
    }
    Ok((data.into(), trailers))
}

fn fits(frame: &Frame<Bytes>, size: usize) -> bool {
    frame
        .data_ref()
        .is_some_and(|more| size + more.len() <= LONGEST)
}
