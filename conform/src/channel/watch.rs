//! Who watches over whole calls, from outside of all that repeats them.

use std::sync::Arc;

#[cfg(feature = "channelz")]
use crate::channelz::ChannelEntry;
#[cfg(feature = "metrics")]
use crate::metrics::{ChannelMetrics, Measurement};
#[cfg(feature = "channelz")]
use crate::status::OnEnd;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::codegen::http::{Request, Response};

use super::activity::{Activity, Open};

/// Those that a channel has.
pub(super) struct Watchers {
    pub(super) activity: Arc<Activity>,
    #[cfg(feature = "metrics")]
    pub(super) metrics: Option<Arc<ChannelMetrics>>,
    #[cfg(feature = "channelz")]
    pub(super) entry: Option<ChannelEntry>,
}

/// One call that is watched.
pub(super) struct Watched {
    _open: Open,
    #[cfg(feature = "metrics")]
    measurement: Option<Measurement>,
    #[cfg(feature = "channelz")]
    on_end: Option<OnEnd>,
}

impl Watchers {
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            activity: Activity::new(),
            #[cfg(feature = "metrics")]
            metrics: None,
            #[cfg(feature = "channelz")]
            entry: None,
        }
    }

    /// A call begins; `None` if the channel takes no more.
    pub(super) fn begin(&self, request: Request<Body>) -> Option<(Watched, Request<Body>)> {
        let open = self.activity.begin()?;
        #[cfg(feature = "metrics")]
        let (measurement, request) = match &self.metrics {
            Some(metrics) => {
                let (measurement, request) = metrics.call(request);
                (Some(measurement), request)
            }
            None => (None, request),
        };
        let watched = Watched {
            _open: open,
            #[cfg(feature = "metrics")]
            measurement,
            #[cfg(feature = "channelz")]
            on_end: self.entry.as_ref().map(ChannelEntry::call),
        };
        Some((watched, request))
    }
}

impl Watched {
    /// The answer is here. What follows of it is watched on, if somebody does.
    pub(super) fn finish(
        self,
        answer: Result<Response<Body>, StdError>,
    ) -> Result<Response<Body>, StdError> {
        #[cfg(feature = "metrics")]
        let answer = match self.measurement {
            Some(measurement) => measurement.finish(answer),
            None => answer,
        };
        #[cfg(feature = "channelz")]
        let answer = match (self.on_end, answer) {
            (Some(on_end), Ok(response)) => Ok(on_end.watch(response)),
            (_, answer) => answer,
        };
        answer
    }
}
