//! WebSockets: code-server's refusals, then an echo.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

use sha1::{Digest, Sha1};

use crate::access::{authorized, same_origin};
use crate::config::Config;
use crate::http::Request;

const MAX_FRAME: u64 = 64 * 1024 * 1024;

pub fn echo(
    request: &Request,
    config: &Config,
    reader: &mut BufReader<TcpStream>,
    writer: &mut TcpStream,
) -> io::Result<()> {
    // code-server's order and its bare refusals.
    if !same_origin(request) {
        return writer.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n");
    }
    if !authorized(request, config) {
        return writer.write_all(b"HTTP/1.1 401 Unauthorized\r\n\r\n");
    }
    let Some(key) = request.header("sec-websocket-key") else {
        return writer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    };
    let accept = base64(&Sha1::digest(format!(
        "{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    )));
    writer.write_all(
        format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes(),
    )?;
    loop {
        let mut start = [0; 2];
        match reader.read_exact(&mut start) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let length = match start[1] & 0x7f {
            126 => {
                let mut wide = [0; 2];
                reader.read_exact(&mut wide)?;
                u64::from(u16::from_be_bytes(wide))
            }
            127 => {
                let mut wide = [0; 8];
                reader.read_exact(&mut wide)?;
                u64::from_be_bytes(wide)
            }
            short => u64::from(short),
        };
        if length > MAX_FRAME || start[1] & 0x80 == 0 {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "a frame that is too large or not masked",
            ));
        }
        let mut mask = [0; 4];
        reader.read_exact(&mut mask)?;
        let mut payload = vec![0; length as usize];
        reader.read_exact(&mut payload)?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        let first = match start[0] & 0x0f {
            9 => 0x8a,
            10 => continue,
            _ => start[0],
        };
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(short as u8),
            middle @ 126..=65535 => {
                frame.push(126);
                frame.extend_from_slice(&(middle as u16).to_be_bytes());
            }
            long => {
                frame.push(127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&payload);
        writer.write_all(&frame)?;
        if first & 0x0f == 8 {
            return Ok(());
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = u32::from(group[0]) << 16
            | u32::from(*group.get(1).unwrap_or(&0)) << 8
            | u32::from(*group.get(2).unwrap_or(&0));
        for place in 0..4 {
            if place <= group.len() {
                out.push(ALPHABET[(word >> (18 - 6 * place) & 63) as usize] as char);
            } else {
                out.push('=');
            }
        }
    }
    out
}
