//! Header blocks: HPACK by a crate, and around it the bounds that the crate does not have.

use std::collections::HashMap;
use std::fmt;

use loona_hpack::Decoder;

/// How large a dynamic table may grow, in bytes as HPACK counts them, whatever the peers agree on.
pub const TABLE_BOUND: u32 = 64 * 1024;

/// How long a name or a value may be to be kept. One byte more than fits into any table: what is
/// cut to this length has the same effect on the table as what it was cut from.
pub const STRING_BOUND: usize = TABLE_BOUND as usize + 1;

/// How much of a block is taken in at once.
const PART: usize = 16 * 1024;

/// How large a list of headers may be after it is decoded, counted like a table. What is over it is
/// left out.
pub const LIST_BOUND: usize = 64 * 1024;

/// What HPACK adds to the length of a name and a value. RFC 7541, section 4.1.
const ENTRY: usize = 32;

/// How many Huffman-coded strings are remembered, and how long they may be.
const STRINGS: usize = 128;
const STRING: usize = 256;

/// One header. Both parts are bytes: nothing on the wire promises more.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// In lower case, if the sender keeps to the rules.
    pub name: Vec<u8>,
    /// As on the wire: what is base64 there is base64 here.
    pub value: Vec<u8>,
}

impl Field {
    /// The name as text. Bytes that aren't UTF-8 are replaced.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// The value as text. Bytes that aren't UTF-8 are replaced.
    pub fn value(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }

    /// How much of a table or list it takes.
    pub fn size(&self) -> usize {
        self.name.len() + self.value.len() + ENTRY
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.value())
    }
}

/// What one direction of a connection knows of header blocks.
pub(crate) struct HeaderDecoder {
    decoder: Decoder<'static>,
    strings: HashMap<Vec<u8>, Vec<u8>>,
    allowed: u32,
    lost: bool,
}

/// A Huffman-coded string that is not known yet, in which header it stands, and whether (1) as its
/// value.
type NewString = (Vec<u8>, usize, usize);

/// A block of headers, from its first frame to its last. It is decoded as it comes, header by
/// header.
#[derive(Debug)]
pub(crate) struct HeaderBlock {
    pub stream: u32,
    pub promised: Option<u32>,
    pub end_stream: bool,
    pub fields: Vec<Field>,
    /// Headers beyond the bound, which aren't in `fields`.
    pub left_out: usize,
    /// Its length on the wire.
    pub length: usize,
    /// The beginning of a header whose end has not come.
    pending: Vec<u8>,
    /// How many bytes of a string that is too long are still to come.
    skip: usize,
    size: usize,
    /// The last thing in it was a new size of the table, which belongs before a header.
    ends_in_table_size: bool,
    error: Option<String>,
}

impl HeaderBlock {
    pub fn new(stream: u32, promised: Option<u32>, end_stream: bool) -> Self {
        Self {
            stream,
            promised,
            end_stream,
            fields: Vec::new(),
            left_out: 0,
            length: 0,
            pending: Vec::new(),
            skip: 0,
            size: 0,
            ends_in_table_size: false,
            error: None,
        }
    }

    /// The first header of this name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        let field = fields.find(|field| field.name == name.as_bytes())?;
        Some(&field.value)
    }

    pub fn held_bytes(&self) -> usize {
        self.pending.capacity() + self.size + self.fields.len() * size_of::<Field>()
    }

    /// The most that is ever held.
    pub const BOUND: usize = 4 * (STRING_BOUND + PART) + LIST_BOUND * 3;
}

impl HeaderDecoder {
    pub fn new() -> Self {
        let mut this = Self {
            decoder: Decoder::new(),
            strings: HashMap::new(),
            allowed: 0,
            lost: false,
        };
        this.allow(4096); // until SETTINGS say otherwise
        this
    }

    /// The size up to which the sender may now choose to grow its table.
    pub fn allow(&mut self, size: u32) {
        self.allowed = size.min(TABLE_BOUND);
        self.decoder
            .set_max_allowed_table_size(self.allowed as usize);
    }

    pub fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Each block changes the table that the next one needs. When one is missed, all that follow
    /// are lost.
    pub fn lose(&mut self) {
        self.lost = true;
        self.decoder = Decoder::new();
        self.strings = HashMap::new();
    }

    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Takes in the next part of a block.
    pub fn feed(&mut self, block: &mut HeaderBlock, fragment: &[u8]) {
        block.length += fragment.len();
        for part in fragment.chunks(PART) {
            if self.lost || block.error.is_some() {
                return;
            }
            let skipped = block.skip.min(part.len());
            block.skip -= skipped;
            block.pending.extend_from_slice(&part[skipped..]);
            self.decode_pending(block);
        }
    }

    /// To be called after the last part: the reason why the block can't be read, if it can't.
    pub fn finish(&mut self, block: &mut HeaderBlock) -> Result<(), String> {
        if !self.lost && block.error.is_none() {
            if !block.pending.is_empty() || block.skip > 0 {
                block.error = Some("the last header is cut short".to_owned());
            } else if block.ends_in_table_size {
                block.error = Some("a new size of the table at the end of a block".to_owned());
            }
        }
        block.error.take().map_or(Ok(()), Err)
    }

    /// Decodes the headers that are complete.
    fn decode_pending(&mut self, block: &mut HeaderBlock) {
        let mut complete = 0;
        loop {
            match measure(&block.pending[complete..]) {
                Measure::Header(kind, size) => {
                    complete += size;
                    block.ends_in_table_size = kind == Representation::TableSize;
                }
                Measure::Incomplete => break,
                Measure::TooLong { at, head, length } => {
                    let at = complete + at;
                    let (end, have) = (at + head + length, block.pending.len());
                    let rest = block.pending.get(end..).unwrap_or_default().to_vec();
                    block.skip = end.saturating_sub(have);
                    block.pending.truncate(at);
                    push_length(&mut block.pending, STRING_BOUND);
                    block
                        .pending
                        .resize(block.pending.len() + STRING_BOUND, b'x');
                    block.pending.extend(rest);
                }
                Measure::Broken => {
                    block.error = Some("an integer that is too large".to_owned());
                    break;
                }
            }
        }
        if complete > 0 {
            let rest = block.pending.split_off(complete);
            let headers = std::mem::replace(&mut block.pending, rest);
            self.decode(block, &headers);
        }
    }

    /// Decodes whole headers.
    fn decode(&mut self, block: &mut HeaderBlock, headers: &[u8]) {
        /// A header of the static table, `:method: GET`, which changes nothing.
        const ANY_HEADER: u8 = 0x82;

        let (mut plain, new) = match self.without_huffman(headers) {
            Some(replaced) => replaced,
            // Broken: the decoder will say how.
            None => (headers.to_vec(), Vec::new()),
        };
        // The crate wants a header after a size of the table; here it may come with the next part.
        let mut left = if block.ends_in_table_size {
            plain.push(ANY_HEADER);
            representations(headers)
                .unwrap_or_default()
                .iter()
                .filter(|it| it.0.is_header())
                .count()
        } else {
            usize::MAX
        };
        // Which headers of this part were kept, and where.
        let mut kept = Vec::new();
        let decoded = self.decoder.decode_with_cb(&plain, |name, value| {
            if left == 0 {
                return;
            }
            left -= 1;
            let field = Field {
                name: name.into_owned(),
                value: value.into_owned(),
            };
            if block.size + field.size() > LIST_BOUND {
                block.left_out += 1;
                kept.push(None);
            } else {
                block.size += field.size();
                kept.push(Some(block.fields.len()));
                block.fields.push(field);
            }
        });
        if let Err(error) = decoded {
            block.error = Some(error.to_string().to_lowercase());
            return;
        }
        for (coded, header, part) in new {
            let field = kept.get(header).copied().flatten();
            if let Some(field) = field.and_then(|field| block.fields.get(field)) {
                self.remember(coded, if part == 0 { &field.name } else { &field.value });
            }
        }
    }

    /// Replaces Huffman-coded strings that were seen before by the plain ones.
    ///
    /// The crate decodes Huffman bit by bit, with a new table for each string, and that takes
    /// longer than all the rest. The strings, though, are the same again and again.
    fn without_huffman(&self, block: &[u8]) -> Option<(Vec<u8>, Vec<NewString>)> {
        let mut plain = Vec::with_capacity(block.len() + 64);
        let mut new = Vec::new();
        let mut header = 0;
        let mut rest = block;
        for (kind, size) in representations(block)? {
            let (mut this, next) = rest.split_at(size);
            rest = next;
            match kind {
                Representation::TableSize => plain.extend(this),
                Representation::Indexed => {
                    plain.extend(this);
                    header += 1;
                }
                Representation::Remembered
                | Representation::NotRemembered
                | Representation::NeverRemembered => {
                    let prefix = if kind == Representation::Remembered {
                        6
                    } else {
                        4
                    };
                    let (index, size) = integer(this, prefix)?;
                    plain.extend(&this[..size]);
                    this = &this[size..];
                    // The name has a number, or stands there too.
                    for part in if index == 0 { 0..2 } else { 1..2 } {
                        let (length, head) = integer(this, 7)?;
                        let (string, next) = this.split_at(head + length);
                        let coded = &string[head..];
                        match self.strings.get(coded) {
                            Some(known) if string[0] & 0x80 != 0 => {
                                push_length(&mut plain, known.len());
                                plain.extend(known);
                            }
                            _ => {
                                plain.extend(string);
                                if string[0] & 0x80 != 0 && length <= STRING {
                                    new.push((coded.to_vec(), header, part));
                                }
                            }
                        }
                        this = next;
                    }
                    header += 1;
                }
            }
        }
        Some((plain, new))
    }

    fn remember(&mut self, coded: Vec<u8>, plain: &[u8]) {
        if self.strings.len() >= STRINGS {
            self.strings.clear();
        }
        self.strings.insert(coded, plain.to_vec());
    }

    /// An upper limit of what is held: the crate does not tell how large its table is.
    pub fn held_bytes(&self) -> usize {
        let strings = self.strings.iter().map(|(a, b)| a.len() + b.len() + 64);
        let table = if self.lost { 0 } else { self.allowed.max(4096) };
        table as usize + strings.sum::<usize>()
    }

    /// The most that is ever held.
    pub const BOUND: usize = TABLE_BOUND as usize + STRINGS * (3 * STRING + 64);
}

/// How a header is written in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// As a number, for it is in a table.
    Indexed,
    /// Written out, and put into the table for the next time.
    Remembered,
    /// Written out, and not put into the table.
    NotRemembered,
    /// Written out, and never to be put into any table: a secret.
    NeverRemembered,
    /// No header: the table changes its size.
    TableSize,
}

impl Representation {
    fn is_header(self) -> bool {
        self != Self::TableSize
    }
}

/// Where each header of a block begins and ends. RFC 7541, section 6. `None` if the block is
/// broken.
pub(crate) fn representations(mut block: &[u8]) -> Option<Vec<(Representation, usize)>> {
    let mut found = Vec::new();
    while !block.is_empty() {
        let Measure::Header(kind, size) = measure(block) else {
            return None;
        };
        found.push((kind, size));
        block = block.get(size..)?;
    }
    Some(found)
}

/// What the first bytes of a block come to.
enum Measure {
    /// One header, and how many bytes it takes.
    Header(Representation, usize),
    Incomplete,
    /// A string at this offset, with so many bytes before it for its length.
    TooLong {
        at: usize,
        head: usize,
        length: usize,
    },
    Broken,
}

fn measure(block: &[u8]) -> Measure {
    let Some(&first) = block.first() else {
        return Measure::Incomplete;
    };
    let (kind, prefix) = match first {
        0x80.. => (Representation::Indexed, 7),
        0x40.. => (Representation::Remembered, 6),
        0x20.. => (Representation::TableSize, 5),
        0x10.. => (Representation::NeverRemembered, 4),
        _ => (Representation::NotRemembered, 4),
    };
    // Longer integers than this are broken, not incomplete.
    let unread = |rest: &[u8]| match rest.len() {
        0..=5 => Measure::Incomplete,
        _ => Measure::Broken,
    };
    let Some((index, mut size)) = integer(block, prefix) else {
        return unread(block);
    };
    let strings = match kind {
        Representation::Indexed | Representation::TableSize => 0,
        _ if index == 0 => 2,
        _ => 1,
    };
    for _ in 0..strings {
        let rest = block.get(size..).unwrap_or_default();
        let Some((length, head)) = integer(rest, 7) else {
            return unread(rest);
        };
        if length > STRING_BOUND {
            let at = size;
            return Measure::TooLong { at, head, length };
        }
        size += head + length;
    }
    if size > block.len() {
        Measure::Incomplete
    } else {
        Measure::Header(kind, size)
    }
}

/// RFC 7541, section 5.1. `None` if there are too few bytes, or the number is too large.
fn integer(bytes: &[u8], prefix: u32) -> Option<(usize, usize)> {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*bytes.first()?) & most;
    if value < most {
        return Some((value, 1));
    }
    for (i, byte) in bytes[1..].iter().take(4).enumerate() {
        value += usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 2));
        }
    }
    None
}

/// The length of a string that is not Huffman-coded. RFC 7541, section 5.2.
fn push_length(out: &mut Vec<u8>, length: usize) {
    const MOST: usize = 127;
    if length < MOST {
        out.push(length as u8);
        return;
    }
    out.push(MOST as u8);
    let mut rest = length - MOST;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    out.push(rest as u8);
}
