//! Header blocks: HPACK by a crate, and around it the bounds that the crate does not have.

use std::collections::HashMap;
use std::fmt;

use loona_hpack::Decoder;

/// How large a dynamic table may grow, in bytes as HPACK counts them, whatever the peers agree on.
pub const TABLE_BOUND: u32 = 64 * 1024;

/// How long a header block may be before it is decoded.
pub const BLOCK_BOUND: usize = 64 * 1024;

/// How large a list of headers may be after it is decoded, counted like a table. What is over it is left out.
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
    /// The name as text. Bytes that are no UTF-8 are replaced.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// The value as text. Bytes that are no UTF-8 are replaced.
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

/// A Huffman-coded string that is not known yet, in which header it stands, and whether (1) as its value.
type NewString = (Vec<u8>, usize, usize);

/// A block, decoded.
pub(crate) struct Decoded {
    pub fields: Vec<Field>,
    /// Headers beyond the bound, which are left out.
    pub left_out: usize,
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

    /// Each block changes the table that the next one needs. When one is missed, all that follow are lost.
    pub fn lose(&mut self) {
        self.lost = true;
        self.decoder = Decoder::new();
        self.strings = HashMap::new();
    }

    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Decodes one whole block, or says why it cannot.
    pub fn decode(&mut self, block: &[u8]) -> Result<Decoded, String> {
        let mut fields: Vec<Field> = Vec::new();
        let (mut size, mut left_out) = (0, 0);
        let (plain, new) = match self.without_huffman(block) {
            Some(replaced) => replaced,
            // Broken: the decoder will say how.
            None => (block.to_vec(), Vec::new()),
        };
        let decoded = self.decoder.decode_with_cb(&plain, |name, value| {
            size += name.len() + value.len() + ENTRY;
            if size > LIST_BOUND {
                left_out += 1;
            } else {
                fields.push(Field {
                    name: name.into_owned(),
                    value: value.into_owned(),
                });
            }
        });
        match decoded {
            Ok(()) => {
                for (coded, header, part) in new {
                    if let Some(field) = fields.get(header) {
                        self.remember(coded, if part == 0 { &field.name } else { &field.value });
                    }
                }
                Ok(Decoded { fields, left_out })
            }
            Err(error) => {
                self.lose();
                Err(error.to_string().to_lowercase())
            }
        }
    }

    /// Replaces Huffman-coded strings that were seen before by the plain ones.
    ///
    /// The crate decodes Huffman bit by bit, with a new table for each string, and that takes longer than all the
    /// rest. The strings, though, are the same again and again.
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

/// Where each header of a block begins and ends. RFC 7541, section 6. `None` if the block is broken.
pub(crate) fn representations(mut block: &[u8]) -> Option<Vec<(Representation, usize)>> {
    let mut found = Vec::new();
    while let Some(&first) = block.first() {
        let (kind, prefix) = match first {
            0x80.. => (Representation::Indexed, 7),
            0x40.. => (Representation::Remembered, 6),
            0x20.. => (Representation::TableSize, 5),
            0x10.. => (Representation::NeverRemembered, 4),
            _ => (Representation::NotRemembered, 4),
        };
        let (index, mut size) = integer(block, prefix)?;
        if !matches!(kind, Representation::Indexed | Representation::TableSize) {
            let strings = if index == 0 { 2 } else { 1 };
            for _ in 0..strings {
                let (length, head) = integer(block.get(size..)?, 7)?;
                size = size.checked_add(head)?.checked_add(length)?;
            }
        }
        found.push((kind, size));
        block = block.get(size..)?;
    }
    Some(found)
}

/// RFC 7541, section 5.1.
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
