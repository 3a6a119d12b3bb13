//! The service that reports a server's load apart from its calls.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::ServerMetrics;
use super::pb::open_rca_service_server::{OpenRcaService, OpenRcaServiceServer};
use super::pb::{OrcaLoadReport, OrcaLoadReportRequest};

/// The shortest time between two reports of one stream: 30 s, unless [`OutOfBand::min_interval`] says
/// otherwise.
pub const MIN_REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// What [`OutOfBand::min_interval`] can't go below: 100 ms.
///
/// `weighted_round_robin` doesn't look at weights more often.
pub const LEAST_REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// How many streams of reports are open at once, over all connections: 10,000, unless
/// [`OutOfBand::max_streams`] says otherwise.
pub const MAX_REPORT_STREAMS: usize = 10_000;

/// How large a request may be: an interval, and names that are ignored.
const MAX_REQUEST: usize = 64 * 1024;

/// The service `xds.service.orca.v3.OpenRcaService`, to be added to a server.
#[derive(Clone, Debug)]
pub struct OutOfBand {
    metrics: ServerMetrics,
    min_interval: Duration,
    streams: Arc<Semaphore>,
}

impl OutOfBand {
    /// Reports what `metrics` hold.
    pub fn new(metrics: &ServerMetrics) -> Self {
        Self {
            metrics: metrics.clone(),
            min_interval: MIN_REPORT_INTERVAL,
            streams: Arc::new(Semaphore::new(MAX_REPORT_STREAMS)),
        }
    }

    /// The shortest time between two reports of one stream, not below [`LEAST_REPORT_INTERVAL`].
    /// A client that asks for less, or for nothing, gets this. There is no longest.
    pub fn min_interval(self, interval: Duration) -> Self {
        let min_interval = interval.max(LEAST_REPORT_INTERVAL);
        Self {
            min_interval,
            ..self
        }
    }

    /// How many streams may be open at once. Past that, RESOURCE_EXHAUSTED.
    pub fn max_streams(self, limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let streams = Arc::new(Semaphore::new(limit));
        Self { streams, ..self }
    }

    /// What `add_service` takes.
    pub fn service(self) -> OpenRcaServiceServer<Self> {
        OpenRcaServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }

    /// What a client gets that asks for this.
    fn interval(&self, asked: &OrcaLoadReportRequest) -> Duration {
        let asked = asked.report_interval.and_then(|asked| {
            // prost's own conversion panics at the most negative one.
            let (seconds, nanos) = (asked.seconds.try_into().ok()?, asked.nanos.try_into().ok()?);
            Some(Duration::new(seconds, nanos))
        });
        asked.unwrap_or_default().max(self.min_interval)
    }
}

#[tonic::async_trait]
impl OpenRcaService for OutOfBand {
    type StreamCoreMetricsStream = BoxStream<OrcaLoadReport>;

    async fn stream_core_metrics(
        &self,
        request: Request<OrcaLoadReportRequest>,
    ) -> Result<Response<Self::StreamCoreMetricsStream>, Status> {
        let closed = self.metrics.closed();
        if *closed.borrow() {
            return Err(shutting_down());
        }
        let Ok(place) = self.streams.clone().try_acquire_owned() else {
            return Err(Status::resource_exhausted("too many streams of reports"));
        };
        let reports = Reports {
            metrics: self.metrics.clone(),
            interval: self.interval(request.get_ref()),
            closed,
            begun: false,
            _place: place,
        };
        let reports = stream::unfold(Some(reports), async |reports| {
            let mut reports = reports?;
            match reports.next().await {
                Ok(report) => Some((Ok(report), Some(reports))),
                Err(end) => Some((Err(end), None)),
            }
        });
        Ok(Response::new(Box::pin(reports)))
    }
}

/// One stream.
struct Reports {
    metrics: ServerMetrics,
    interval: Duration,
    closed: watch::Receiver<bool>,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Reports {
    /// The first report at once, and each other after the interval, whether it's news or not.
    async fn next(&mut self) -> Result<OrcaLoadReport, Status> {
        if self.begun {
            let closed = self.closed.wait_for(|closed| *closed);
            if timeout(self.interval, closed).await.is_ok() {
                return Err(shutting_down());
            }
        }
        self.begun = true;
        Ok(self.metrics.metrics().into())
    }
}

fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}
