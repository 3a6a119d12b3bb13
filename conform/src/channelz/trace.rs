//! What has happened recently.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::moment::Moment;
use super::pb;
use super::pb::channel_trace_event::{ChildRef, Severity};
use super::short;

/// How many events each trace keeps: the newest 30, as grpc-go's does.
pub const MAX_TRACE_EVENTS: usize = 30;

/// The newest events of a channel, a subchannel or a server.
#[derive(Debug)]
pub(super) struct Trace {
    created: Moment,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    logged: i64,
    newest: VecDeque<pb::ChannelTraceEvent>,
}

impl Trace {
    /// A trace whose first event is that its owner was created.
    pub(super) fn new() -> Self {
        let trace = Self {
            created: Moment::now(),
            events: Mutex::default(),
        };
        trace.push(Severity::CtInfo, "created", None);
        trace
    }

    pub(super) fn push(&self, severity: Severity, what: &str, child_ref: Option<ChildRef>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.logged += 1;
        if events.newest.len() == MAX_TRACE_EVENTS {
            events.newest.pop_front();
        }
        events.newest.push_back(pb::ChannelTraceEvent {
            description: short(what),
            severity: severity.into(),
            timestamp: Moment::now().timestamp(),
            child_ref,
        });
    }

    pub(super) fn to_pb(&self) -> pb::ChannelTrace {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        pb::ChannelTrace {
            num_events_logged: events.logged,
            creation_timestamp: self.created.timestamp(),
            events: events.newest.iter().cloned().collect(),
        }
    }
}
