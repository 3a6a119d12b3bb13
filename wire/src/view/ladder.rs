//! Prints what happens as a ladder: the client on the left, the server on the right, an arrow an
//! event.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Color, Style};

use super::labels::{self, Part};
use super::printer::Printer;
use super::secret::{is_secret, masked};
use super::times::{roughly, timeout_text};
use crate::decoder::{
    Call, Direction, End, Event, EventKind, Frame, Headers, Payload, Role, TlsRecord,
};
use crate::grpc::{Descriptors, Message, PREFIX, status_details, status_name};
use crate::http2::{ErrorCode, Field, RecordType, Setting};
use crate::text::{count, percent_decoded, safe, width, wrap};

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Every frame as it is, also those that belong to no call, and every header.
    pub all: bool,
    /// The bytes of each frame, with each part labelled.
    pub bytes: bool,
    /// A colour for each call.
    pub colour: bool,
    /// Tokens too: the values of `authorization`, and of others that hold secrets.
    pub secrets: bool,
}

/// Between the two lines. With the mark and the lines themselves it is 80 columns, which a
/// projector shows.
const INNER: usize = 74;

/// For text, with an arrow's end on one side and a little air on the other.
const TEXT: usize = INNER - 6;

/// How many lines one text takes at most.
const LINES: usize = 6;

/// How many bytes stand on a line.
const BYTES: usize = 12;

/// How many lines of bytes one part of a frame takes at most.
const BYTE_LINES: usize = 6;

/// The ladder says nothing of the time of a call that took less than this.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The `grpc-status` of a call that has run out of time.
const DEADLINE_EXCEEDED: &str = "4";

/// Headers that are the same in every call, or that say nothing of it.
const USUAL: [(&str, &str); 10] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", ""),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("content-type", "application/grpc+proto"),
    ("user-agent", ""),
    ("date", ""),
    (":path", ""),
    ("grpc-status", ""),
];

const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// Writes a ladder, line by line.
///
/// ```
/// use std::time::Duration;
/// use wire::{Decoder, Direction, Ladder, Printer, Show};
///
/// let mut decoder = Decoder::new(1);
/// let bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
/// let mut ladder = Ladder::new(Vec::new(), Show::default());
/// for event in decoder.read(Direction::ToServer, bytes, Duration::ZERO) {
///     ladder.event(&event).unwrap();
/// }
/// let text = String::from_utf8(ladder.into_inner()).unwrap();
/// assert!(text.contains("│── RST_STREAM CANCEL ──"));
/// ```
#[derive(Debug)]
pub struct Ladder<W> {
    out: W,
    show: Show,
    /// For the details of errors; messages know their types.
    descriptors: Descriptors,
    begun: bool,
    /// Which connection the last call was on. That a connection opens is not shown before it is
    /// used: other things happen at the same time.
    connection: u64,
}

impl<W: Write> Printer for Ladder<W> {
    fn listening(&mut self, address: &str, server: &str) -> io::Result<()> {
        writeln!(self.out, "listening on {address}, passing on to {server}")
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let connection = event.connection;
        match &event.kind {
            EventKind::Opened if self.show.all => {
                self.gap()?;
                let text = format!("connection {connection}");
                self.arrow(None, Direction::ToServer, &text, false)
            }
            EventKind::HalfClosed(direction) if self.show.all => {
                let text = format!("connection {connection}: nothing more to come");
                self.arrow(None, *direction, &text, false)
            }
            EventKind::Opened | EventKind::HalfClosed(_) => Ok(()),
            EventKind::Frame(frame) => self.frame(frame),
            EventKind::Tls(record) => self.tls(record),
            EventKind::Note(text) => self.note(connection, text),
            EventKind::Closed { end, open, .. } => self.closed(event, end, open),
        }
    }

    fn missed(&mut self, events: u64) -> io::Result<()> {
        self.centred(&format!(
            "{} missing here: faster than they could be printed",
            count(events, "event")
        ))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Ladder<W> {
    /// A ladder that is written to `out`.
    pub fn new(out: W, show: Show) -> Self {
        Self {
            out,
            show,
            descriptors: Descriptors::built_in(),
            begun: false,
            connection: 1,
        }
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// The types by which the details of errors are shown. By default those that are built in.
    pub fn descriptors(mut self, descriptors: Descriptors) -> Self {
        self.descriptors = descriptors;
        self
    }

    /// What encryption leaves to be seen.
    fn tls(&mut self, record: &TlsRecord) -> io::Result<()> {
        let TlsRecord {
            direction, kind, ..
        } = *record;
        if let Some(hello) = &record.hello {
            self.arrow(None, direction, "TLS ClientHello", false)?;
            let name = hello.server_name.as_deref().map_or("none".to_owned(), safe);
            let protocols = safe(&hello.protocols.join(", "));
            for line in short(&format!("server name: {name}")) {
                self.below(None, direction, &line)?;
            }
            for line in short(&format!("ALPN: {protocols}")) {
                self.below(None, direction, &line)?;
            }
            return Ok(());
        }
        // It means nothing since TLS 1.3.
        if kind == RecordType::ChangeCipherSpec && !self.show.all {
            return Ok(());
        }
        let text = format!("{kind}, {}", count(record.length, "byte"));
        self.arrow(None, direction, &text, false)
    }

    fn closed(&mut self, event: &Event, end: &End, open: &[Arc<Call>]) -> io::Result<()> {
        for call in open {
            self.broken_off(call, end)?;
        }
        let text = match end {
            End::Refused(reason) => reason.clone(),
            End::ResetByTap => "was reset here, as requested".to_owned(),
            _ if !self.show.all => return Ok(()),
            End::Reset(direction) => format!("reset by the {}", direction.sender()),
            End::Finished | End::Dropped => "closed".to_owned(),
        };
        let text = match event.kind {
            EventKind::Closed {
                to_server,
                to_client,
                ..
            } if self.show.all => {
                format!("{text}; {to_server} bytes to the server, {to_client} to the client")
            }
            _ => text,
        };
        self.note(event.connection, &text)
    }

    fn broken_off(&mut self, call: &Call, end: &End) -> io::Result<()> {
        let why = match end {
            End::ResetByTap => "the wire view reset the connection",
            End::Reset(Direction::ToServer) => "the client reset the connection",
            End::Reset(Direction::ToClient) => "the server reset the connection",
            _ => "the connection was closed",
        };
        let text = format!("broken off: {why}");
        self.row(Some(call), &format!("{text:^INNER$}"))
    }

    fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        let by_frame = self.show.all || self.show.bytes;
        if by_frame {
            if !self.show.all && !frame.belongs_to_a_call() && frame.violation.is_none() {
                return Ok(());
            }
            self.before(frame)?;
            self.as_it_is(frame)?;
        } else {
            self.as_part_of_a_call(frame)?;
        }
        if let Some(violation) = &frame.violation {
            self.details(frame, &format!("against the rules: {violation}"))?;
        }
        if self.show.bytes {
            for part in labels::parts(frame, self.show.secrets) {
                self.bytes(frame, &part)?;
            }
        }
        Ok(())
    }

    /// Sets a call apart from what came before it.
    fn before(&mut self, frame: &Frame) -> io::Result<()> {
        if !frame.is_request() {
            return Ok(());
        }
        self.gap()?;
        if std::mem::replace(&mut self.connection, frame.connection) != frame.connection {
            self.centred(&format!("on connection {}", frame.connection))?;
        }
        Ok(())
    }

    /// What the frame means for its call. How messages are cut into frames is left out: it can
    /// differ from run to run.
    fn as_part_of_a_call(&mut self, frame: &Frame) -> io::Result<()> {
        match &frame.payload {
            Payload::Headers(headers) => {
                self.before(frame)?;
                self.line(frame, headers_line(frame, headers))?;
                for field in &headers.fields {
                    if !is_usual(field) {
                        let text = self.field_text(field);
                        self.details(frame, &text)?;
                    }
                }
                self.left_out(frame, headers)?;
                self.elapsed(frame)
            }
            Payload::Data {
                messages,
                unfinished,
                padding,
            } => {
                for message in messages {
                    self.message(frame, message)?;
                }
                let opaque = messages.is_empty() && unfinished.is_none();
                if opaque && frame.length > *padding {
                    let text = format!("DATA, {}", count(frame.length - padding, "byte"));
                    self.line(frame, vec![text])?;
                }
                if frame.is_end_stream() {
                    self.line(frame, vec![end_stream(frame.direction).to_owned()])?;
                }
                Ok(())
            }
            Payload::Reset(code) => {
                self.line(frame, vec![format!("RST_STREAM {code}")])?;
                self.elapsed(frame)
            }
            Payload::GoAway { error, debug, .. } => {
                // A client that leaves in order may say so or not: it depends on how fast it
                // leaves.
                if *error == ErrorCode::NO_ERROR && frame.direction == Direction::ToServer {
                    return Ok(());
                }
                self.line(frame, vec![format!("GOAWAY {error}")])?;
                self.debug(frame, debug)
            }
            Payload::Opaque if frame.violation.is_some() => {
                let text = format!("{}, {}", frame.kind, count(frame.length, "byte"));
                self.line(frame, vec![text])
            }
            _ if frame.violation.is_some() => self.line(frame, vec![frame.kind.to_string()]),
            _ => Ok(()),
        }
    }

    /// The frame with its type, its stream, its size, its flags, and all that is in it.
    fn as_it_is(&mut self, frame: &Frame) -> io::Result<()> {
        let mut parts = vec![frame.kind.to_string()];
        if frame.stream != 0 {
            parts.push(format!("stream {}", frame.stream));
        }
        parts.push(count(frame.length, "byte"));
        parts.extend(frame.flag_names().into_iter().map(str::to_owned));
        self.line(frame, vec![parts.join(", ")])?;
        for text in self.contents(frame) {
            self.details(frame, &text)?;
        }
        match &frame.payload {
            Payload::Headers(headers) => self.left_out(frame, headers),
            Payload::GoAway { debug, .. } => self.debug(frame, debug),
            _ => Ok(()),
        }
    }

    /// What is in a frame, a text each.
    fn contents(&self, frame: &Frame) -> Vec<String> {
        match &frame.payload {
            Payload::Headers(Headers { decoded: false, .. }) => {
                vec!["headers that can't be read".to_owned()]
            }
            Payload::Headers(headers) => headers
                .fields
                .iter()
                .map(|field| self.field_text(field))
                .collect(),
            Payload::HeadersPart => vec!["headers that go on in the next frame".to_owned()],
            Payload::Data {
                padding,
                messages,
                unfinished,
            } => data_contents(*padding, messages, *unfinished),
            Payload::Reset(code) => vec![code.to_string()],
            Payload::Settings(settings) => {
                let settings = settings.iter();
                settings
                    .map(|(id, value)| format!("{}: {value}", Setting(*id)))
                    .collect()
            }
            Payload::GoAway {
                last_stream, error, ..
            } => {
                vec![format!("{error}, last stream {last_stream}")]
            }
            Payload::WindowUpdate(more) => vec![format!("{} more", count(more, "byte"))],
            Payload::Ping(_) | Payload::Opaque => Vec::new(),
        }
    }

    fn message(&mut self, frame: &Frame, message: &Message) -> io::Result<()> {
        let name = if message.is_trailers {
            "trailers"
        } else {
            "message"
        };
        let text = format!("{name} {}", message.text());
        self.line(frame, vec![text, message.size_text()])
    }

    fn debug(&mut self, frame: &Frame, debug: &[u8]) -> io::Result<()> {
        if debug.is_empty() {
            return Ok(());
        }
        let text = safe(&String::from_utf8_lossy(debug));
        self.details(frame, &format!("it says: {text}"))
    }

    fn field_text(&self, field: &Field) -> String {
        let (name, value) = (safe(&field.name()), field.value.as_slice());
        match name.as_str() {
            "grpc-timeout" => timeout_text(&field.value()),
            _ if !self.show.secrets && is_secret(field) => format!("{name}: {}", masked(field)),
            "grpc-message" => format!("{name}: {}", safe(&percent_decoded(value))),
            "grpc-status-details-bin" => match status_details(value, &self.descriptors) {
                Some(details) => format!("{name}: {details}"),
                None => format!("{name}: {}", safe(&field.value())),
            },
            _ => format!("{name}: {}", safe(&field.value())),
        }
    }

    fn left_out(&mut self, frame: &Frame, headers: &Headers) -> io::Result<()> {
        if headers.left_out == 0 {
            return Ok(());
        }
        self.details(
            frame,
            &format!("and {} more", count(headers.left_out, "header")),
        )
    }

    /// How long a call took whose end has to do with time. What other calls take differs from run to
    /// run.
    fn elapsed(&mut self, frame: &Frame) -> io::Result<()> {
        let Some(call) = &frame.call else {
            return Ok(());
        };
        let took = frame.at.saturating_sub(call.began);
        let reset = frame.reset().is_some() && frame.direction == Direction::ToServer;
        let late = frame.is_trailers()
            && (frame.header("grpc-status").as_deref() == Some(DEADLINE_EXCEEDED)
                || call.timeout.is_some_and(|timeout| took >= timeout / 2));
        if (late || reset) && took >= AT_ONCE {
            self.details(frame, &format!("after about {}", roughly(took)))?;
        }
        Ok(())
    }

    /// An arrow with text. What does not fit stands below.
    fn line(&mut self, frame: &Frame, parts: Vec<String>) -> io::Result<()> {
        let mut parts = parts.into_iter();
        let mut text = parts.next().unwrap_or_default();
        let mut below = Vec::new();
        for part in parts {
            if below.is_empty() && width(&text) + 2 + width(&part) <= TEXT {
                text.push_str(", ");
                text.push_str(&part);
            } else {
                below.push(part);
            }
        }
        let mut lines = short(&text).into_iter();
        let first = lines.next().unwrap_or_default();
        let call = frame.call.as_deref();
        self.arrow(call, frame.direction, &first, frame.held)?;
        for line in lines {
            self.below(call, frame.direction, &line)?;
        }
        for part in below {
            self.details(frame, &part)?;
        }
        Ok(())
    }

    /// Text below an arrow, on the side from which it comes.
    fn details(&mut self, frame: &Frame, text: &str) -> io::Result<()> {
        for line in short(text) {
            self.below(frame.call.as_deref(), frame.direction, &line)?;
        }
        Ok(())
    }

    fn arrow(
        &mut self,
        call: Option<&Call>,
        direction: Direction,
        text: &str,
        held: bool,
    ) -> io::Result<()> {
        // What is held does not arrive.
        let (head, tail) = if held { ("╳", "┄") } else { ("", "─") };
        let text_width = width(text);
        let shaft = |rest: usize| tail.repeat((INNER - 5).saturating_sub(text_width + rest));
        let line = match (direction, held) {
            (Direction::ToServer, false) => format!("── {text} {}>", shaft(0)),
            (Direction::ToClient, false) => format!("<{} {text} ──", shaft(0)),
            (Direction::ToServer, true) => format!("── {text} {} {head} ", shaft(2)),
            (Direction::ToClient, true) => format!(" {head} {} {text} ──", shaft(2)),
        };
        self.row(call, &line)
    }

    fn below(&mut self, call: Option<&Call>, direction: Direction, text: &str) -> io::Result<()> {
        let blank = " ".repeat((INNER - 5).saturating_sub(width(text)));
        let line = match direction {
            Direction::ToServer => format!("     {text}{blank}"),
            Direction::ToClient => format!("{blank}{text}     "),
        };
        self.row(call, &line)
    }

    fn bytes(&mut self, frame: &Frame, part: &Part) -> io::Result<()> {
        let lines = part.bytes.chunks(BYTES);
        let left_out = lines.len().saturating_sub(BYTE_LINES);
        let mut labels = wrap(&safe(&part.label), INNER - 8 - 3 * BYTES)
            .into_iter()
            .take(BYTE_LINES);
        for line in lines.take(BYTE_LINES) {
            let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let (hex, label) = (hex.join(" "), labels.next().unwrap_or_default());
            self.labelled(frame, &hex, &label)?;
        }
        for label in labels {
            self.labelled(frame, "", &label)?;
        }
        if left_out > 0 {
            let text = format!(
                "and {} more",
                count(part.bytes.len() - BYTES * BYTE_LINES, "byte")
            );
            self.labelled(frame, &text, "")?;
        }
        Ok(())
    }

    fn labelled(&mut self, frame: &Frame, hex: &str, label: &str) -> io::Result<()> {
        let columns = 3 * BYTES;
        let line = format!("     {hex:columns$} {label}");
        let blank = " ".repeat(INNER.saturating_sub(width(&line)));
        self.row(frame.call.as_deref(), &format!("{line}{blank}"))
    }

    /// A sentence on a connection. A recording may come from anywhere, so it is not trusted.
    fn note(&mut self, connection: u64, text: &str) -> io::Result<()> {
        self.centred(&format!("connection {connection}: {}", safe(text)))
    }

    fn centred(&mut self, text: &str) -> io::Result<()> {
        for line in short(text) {
            let blank = INNER.saturating_sub(width(&line));
            let (left, right) = (blank / 2, blank - blank / 2);
            self.row(None, &format!("{:left$}{line}{:right$}", "", ""))?;
        }
        Ok(())
    }

    fn gap(&mut self) -> io::Result<()> {
        if !self.begun {
            return Ok(());
        }
        self.row(None, &" ".repeat(INNER))
    }

    fn row(&mut self, call: Option<&Call>, inner: &str) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            writeln!(self.out, "  client{}server", " ".repeat(INNER - 8))?;
        }
        let mark = call.map_or_else(String::new, |call| mark(call.number));
        match call {
            Some(call) if self.show.colour => {
                let colour = COLOURS[(call.number % COLOURS.len() as u64) as usize];
                let style = Style::new().fg_color(Some(Color::Ansi(colour)));
                writeln!(
                    self.out,
                    "{style}{mark:<3}{style:#} │{style}{inner}{style:#}│"
                )
            }
            _ => writeln!(self.out, "{mark:<3} │{inner}│"),
        }
    }
}

/// A, B, C, and after Z: AA, AB. No call has the number 0.
fn mark(number: u64) -> String {
    let mut rest = number;
    let mut letters = Vec::new();
    while rest > 0 {
        rest -= 1;
        letters.push(b'A' + (rest % 26) as u8);
        rest /= 26;
    }
    letters.reverse();
    let mark = String::from_utf8(letters).unwrap_or_default();
    // Three letters are enough for eighteen thousand calls; then they begin anew.
    mark[mark.len().saturating_sub(3)..].to_owned()
}

fn short(text: &str) -> Vec<String> {
    // Before it is broken into lines: a message may have 256 KiB.
    let most = text
        .char_indices()
        .nth(TEXT * LINES)
        .map(|(i, _)| &text[..i]);
    let mut lines = wrap(most.unwrap_or(text), TEXT);
    if most.is_some() || lines.len() > LINES {
        lines.truncate(LINES);
        if let Some(last) = lines.last_mut() {
            while width(last) > TEXT - 2 {
                last.pop();
            }
            last.push_str(" …");
        }
    }
    lines
}

fn headers_line(frame: &Frame, headers: &Headers) -> Vec<String> {
    if !headers.decoded {
        let text = format!("HEADERS that can't be read, {} bytes", headers.encoded);
        return vec![text];
    }
    let header = |name: &str| frame.header(name).map(|value| safe(&value));
    let mut parts = Vec::new();
    match headers.role {
        Role::Request | Role::Push => {
            let kind = if headers.role == Role::Push {
                "PUSH_PROMISE"
            } else {
                "HEADERS"
            };
            parts.push(format!("{kind} {}", header(":path").unwrap_or_default()));
        }
        _ => {
            let mut shown = Vec::new();
            if let Some(status) = header(":status") {
                shown.push(format!(":status: {status}"));
            }
            if let Some(code) = header("grpc-status") {
                let name =
                    status_name(code.as_bytes()).unwrap_or("a status that gRPC doesn't know");
                shown.push(format!("grpc-status: {code} {name}"));
            }
            if shown.is_empty() {
                parts.push("HEADERS".to_owned());
            } else {
                parts.push(format!("HEADERS {}", shown.remove(0)));
                parts.append(&mut shown);
            }
        }
    }
    if headers.end_stream {
        parts.push("END_STREAM".to_owned());
    }
    parts
}

fn is_usual(field: &Field) -> bool {
    let name = field.name.as_slice();
    name == b":status"
        || USUAL.iter().any(|(usual, value)| {
            name == usual.as_bytes() && (value.is_empty() || field.value == value.as_bytes())
        })
}

fn data_contents(
    padding: u32,
    messages: &[Message],
    unfinished: Option<(u32, Option<u32>)>,
) -> Vec<String> {
    let text = |message: &Message| format!("message {}: {}", message.number, message_text(message));
    let mut contents: Vec<_> = messages.iter().map(text).collect();
    contents.extend(unfinished.map(|(there, length)| match length {
        Some(length) => {
            let there = there.saturating_sub(PREFIX as u32);
            format!("{there} of {length} bytes of a message so far")
        }
        None => format!("{there} of the {PREFIX} bytes before a message"),
    }));
    if padding > 0 {
        contents.push(format!("{} of padding", count(padding, "byte")));
    }
    contents
}

fn message_text(message: &Message) -> String {
    format!("{}, {}", message.text(), message.size_text())
}

fn end_stream(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "END_STREAM: the client has nothing more to send",
        Direction::ToClient => "END_STREAM: the server has nothing more to send",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_marked_with_letters() {
        let marks = [1, 2, 26, 27, 28, 702, 703].map(mark);
        assert_eq!(marks, ["A", "B", "Z", "AA", "AB", "ZZ", "AAA"]);
    }
}
