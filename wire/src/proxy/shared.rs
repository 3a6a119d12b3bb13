//! What the connections of a tap share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::faults::{Control, Faults};
use super::record::Record;
use super::reflection::Reflection;
use super::save::Save;
use crate::decoder::{Decoder, Direction, End, Event, EventKind};
use crate::grpc::Descriptors;

#[derive(Debug)]
pub(crate) struct Shared {
    pub faults: Faults,
    pub control: watch::Sender<Control>,
    pub connections: AtomicUsize,
    pub record: Arc<Record>,
    pub save: Option<Save>,
    pub descriptors: Descriptors,
    pub reflection: Option<Reflection>,
    #[cfg(feature = "tls")]
    pub tls: Option<super::tls::Tls>,
    began: Instant,
    calls: Arc<AtomicU64>,
}

impl Shared {
    pub fn new(
        faults: Faults,
        descriptors: Descriptors,
        reflection: Option<Reflection>,
        save: Option<Save>,
    ) -> Self {
        Self {
            faults,
            control: watch::Sender::new(Control {
                delay: faults.delay,
                ..Control::default()
            }),
            connections: AtomicUsize::new(0),
            record: Arc::default(),
            save,
            descriptors,
            reflection,
            #[cfg(feature = "tls")]
            tls: None,
            began: Instant::now(),
            calls: Arc::default(),
        }
    }

    #[cfg(feature = "tls")]
    pub fn with_tls(self, tls: Option<super::tls::Tls>) -> Self {
        Self { tls, ..self }
    }

    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn decoder(&self, connection: u64) -> Decoder {
        Decoder::with(connection, self.calls.clone(), self.descriptors.clone())
    }

    /// The number of the next connection.
    pub fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::SeqCst) as u64 + 1
    }

    /// Records an event.
    pub fn push(&self, event: Event) {
        if let Some(reflection) = &self.reflection
            && let Some(path) = event.frame().filter(|frame| frame.is_request())
            && let Some(path) = path.path()
        {
            reflection.needs(path, &self.descriptors);
        }
        self.record.push(event);
    }

    /// Records bytes that were decoded.
    pub fn save_bytes(&self, at: Duration, connection: u64, to: Direction, held: bool, b: &[u8]) {
        if let Some(save) = &self.save
            && !b.is_empty()
        {
            save.bytes(at, connection, to, held, b);
        }
    }

    /// Records what happened to a connection, besides bytes.
    pub fn happens(&self, connection: u64, kind: EventKind) {
        let at = self.now();
        if let Some(save) = &self.save {
            save.event(at, connection, &kind);
        }
        self.push(Event::new(connection, at, kind));
    }

    /// Records the end of a connection.
    pub fn closed(&self, connection: u64, decoder: &Decoder, end: End) {
        let event = decoder.closed(end, self.now());
        if let Some(save) = &self.save {
            save.event(event.at, connection, &event.kind);
        }
        self.push(event);
    }
}
