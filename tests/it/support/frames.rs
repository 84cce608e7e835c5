//! `Frames`: an HTTP/2 client that sends whatever it is told, also what no library would.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{Wire, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) struct Frames<W> {
    wire: W,
    next_stream: u32,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Reset,
    /// The whole connection ended.
    Gone,
}

impl<W: Wire> Frames<W> {
    pub(crate) async fn start(wire: W) -> Self {
        let mut frames = Self {
            wire,
            next_stream: 1,
        };
        frames.wire.write_all(PREFACE).await.unwrap();
        frames.send(SETTINGS, 0, 0, &[]).await.unwrap();
        frames
    }

    pub(crate) async fn send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> std::io::Result<()> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = len[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.wire.write_all(&frame).await?;
        self.wire.flush().await
    }

    /// Opens a stream with these fields, in this order; pseudo-headers are fields like any other.
    pub(crate) async fn ask(
        &mut self,
        fields: &[(&str, &str)],
        is_whole: bool,
    ) -> std::io::Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            literal(&mut block, name.as_bytes());
            literal(&mut block, value.as_bytes());
        }
        let flags = END_HEADERS | if is_whole { END_STREAM } else { 0 };
        self.send(HEADERS, flags, stream, &block).await?;
        Ok(stream)
    }

    /// Reads until the stream is over.
    pub(crate) async fn end_of(&mut self, stream: u32) -> End {
        within(async {
            loop {
                let Ok((kind, flags, id)) = self.next().await else {
                    return End::Gone;
                };
                match kind {
                    GOAWAY => return End::Gone,
                    RST_STREAM if id == stream => return End::Reset,
                    HEADERS | DATA if id == stream && flags & END_STREAM != 0 => {
                        return End::Answered;
                    }
                    _ => {}
                }
            }
        })
        .await
    }

    /// The other side's settings: number and value.
    pub(crate) async fn settings(&mut self) -> Vec<(u16, u32)> {
        let (kind, payload) = within(self.frame()).await.unwrap();
        assert_eq!(kind.0, SETTINGS);
        let setting = |six: &[u8]| {
            let number = u16::from_be_bytes([six[0], six[1]]);
            (number, u32::from_be_bytes([six[2], six[3], six[4], six[5]]))
        };
        payload.chunks_exact(6).map(setting).collect()
    }

    /// Answers what the protocol wants answered.
    async fn next(&mut self) -> std::io::Result<(u8, u8, u32)> {
        let ((kind, flags, stream), payload) = self.frame().await?;
        if flags & ACK == 0 && kind == SETTINGS {
            self.send(SETTINGS, ACK, 0, &[]).await?;
        }
        if flags & ACK == 0 && kind == PING {
            self.send(PING, ACK, 0, &payload).await?;
        }
        Ok((kind, flags, stream))
    }

    async fn frame(&mut self) -> std::io::Result<((u8, u8, u32), Vec<u8>)> {
        let mut head = [0; 9];
        self.wire.read_exact(&mut head).await?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.wire.read_exact(&mut payload).await?;
        Ok(((kind, flags, stream), payload))
    }
}

/// A string without Huffman's code.
fn literal(block: &mut Vec<u8>, text: &[u8]) {
    let mut len = text.len();
    if len < 127 {
        block.push(u8::try_from(len).unwrap());
    } else {
        block.push(127);
        len -= 127;
        while len >= 128 {
            block.push(u8::try_from(len % 128).unwrap() | 128);
            len /= 128;
        }
        block.push(u8::try_from(len).unwrap());
    }
    block.extend(text);
}
