//! As much of HTTP/2 as tells a request from a ping.

/// What a client's side of an HTTP/2 connection begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// A frame that has passed to its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    kind: u8,
    length: usize,
    pub(super) stream: u32,
}

impl Frame {
    /// A message, or a part of one: a body's bytes.
    pub(super) fn is_message(self) -> bool {
        self.kind == DATA && self.length > 0
    }

    /// Headers come with answers as well; a call that failed has nothing else.
    pub(super) fn is_answer(self) -> bool {
        self.kind == HEADERS || self.kind == DATA
    }
}

/// Finds frames in one direction of a connection, in whatever pieces it is read.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    /// Bytes to pass before the next header; those of the current frame's payload, or of the preface.
    payload: usize,
}

impl Frames {
    /// Of a client's side, whose preface is still to come.
    pub(super) fn after_preface() -> Self {
        Self { header: Vec::new(), payload: PREFACE.len() }
    }

    /// The frames that these bytes complete.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let wanted = if self.payload > 0 { self.payload } else { HEADER - self.header.len() };
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.payload > 0 {
                self.payload -= part.len();
            } else {
                self.header.extend_from_slice(part);
                self.payload = if self.header.len() == HEADER { length(&self.header) } else { 0 };
            }
            if self.header.len() == HEADER && self.payload == 0 {
                frames.push(frame(&self.header));
                self.header.clear();
            }
        }
        frames
    }
}

fn length(header: &[u8]) -> usize {
    header[..3].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn frame(header: &[u8]) -> Frame {
    let stream = header[5..].iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)) & 0x7fff_ffff;
    Frame { kind: header[3], length: length(header), stream }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: u8, stream: u8, payload: usize) -> Vec<u8> {
        let mut bytes =
            [&[0], &u16::try_from(payload).unwrap().to_be_bytes()[..], &[kind, 0, 0x80, 0, 0, stream]].concat();
        bytes.extend(std::iter::repeat_n(7, payload));
        bytes
    }

    #[test]
    fn frames_are_found_however_they_are_split() {
        let ping = 6;
        let all = [PREFACE.to_vec(), bytes(HEADERS, 1, 20), bytes(DATA, 1, 300), bytes(ping, 0, 8), bytes(DATA, 3, 0)]
            .concat();
        for size in [1, 7, 9, 64, all.len()] {
            let mut frames = Frames::after_preface();
            let found: Vec<Frame> = all.chunks(size).flat_map(|part| frames.pass(part)).collect();
            let seen: Vec<_> = found.iter().map(|frame| (frame.kind, frame.length, frame.stream)).collect();
            assert_eq!(seen, [(HEADERS, 20, 1), (DATA, 300, 1), (ping, 8, 0), (DATA, 0, 3)], "pieces of {size}");
            let messages: Vec<bool> = found.iter().map(|frame| frame.is_message()).collect();
            assert_eq!(messages, [false, true, false, false]);
        }
    }

    #[test]
    fn a_frame_counts_when_its_last_byte_has_come() {
        let mut frames = Frames::default();
        let data = bytes(DATA, 5, 4);
        assert_eq!(frames.pass(&data[..12]), []);
        assert_eq!(frames.pass(&data[12..]).len(), 1);
    }
}
