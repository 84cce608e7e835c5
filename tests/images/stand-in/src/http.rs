//! HTTP/1.1 as far as a test needs it: heads kept byte for byte, bodies read in pieces.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

const MAX_HEAD: u64 = 256 * 1024;

pub struct Request {
    pub head: Vec<u8>,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub keep_alive: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let values = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        values
            .flat_map(|(_, value)| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    pub fn parameters(&self) -> Vec<(String, String)> {
        pairs(&self.query)
    }

    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.parameter(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }
}

pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), kind.to_owned())],
            body: body.into(),
        }
    }

    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    loop {
        let start = head.len();
        if (&mut *reader).take(MAX_HEAD).read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
        if head.len() as u64 > MAX_HEAD {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the head is too large",
            ));
        }
        if matches!(&head[start..], b"\r\n" | b"\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (first.next(), first.next(), first.next())
    else {
        return Err(io::Error::new(ErrorKind::InvalidData, "no request line"));
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        keep_alive: false,
        head,
    };
    request.keep_alive = if version == "HTTP/1.0" {
        request.has_token("connection", "keep-alive")
    } else {
        !request.has_token("connection", "close")
    };
    Ok(Some(request))
}

/// A request body that is read in pieces, so that a test may upload a gigabyte.
pub enum Body {
    Length(u64),
    Chunked { left: u64, done: bool },
}

impl Body {
    pub fn of(request: &Request) -> Self {
        if request.has_token("transfer-encoding", "chunked") {
            return Self::Chunked {
                left: 0,
                done: false,
            };
        }
        Self::Length(
            request
                .header("content-length")
                .and_then(|value| value.parse().ok())
                .unwrap_or(0),
        )
    }

    pub fn read(
        &mut self,
        reader: &mut BufReader<TcpStream>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let left = match self {
            Self::Length(left) => left,
            Self::Chunked { done: true, .. } => return Ok(0),
            Self::Chunked { left, done } => {
                if *left == 0 {
                    let mut line = String::new();
                    reader.read_line(&mut line)?;
                    let size = line.trim().split(';').next().unwrap_or_default();
                    *left = u64::from_str_radix(size, 16)
                        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                    if *left == 0 {
                        *done = true;
                        loop {
                            line.clear();
                            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                                return Ok(0);
                            }
                        }
                    }
                }
                left
            }
        };
        let wanted = usize::try_from(*left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = reader.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        *left -= read as u64;
        if matches!(self, Self::Chunked { left: 0, .. }) {
            let mut line = String::new();
            reader.read_line(&mut line)?;
        }
        Ok(read)
    }

    pub fn discard(&mut self, reader: &mut BufReader<TcpStream>) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        while self.read(reader, &mut buffer)? > 0 {}
        Ok(())
    }

    pub fn whole(&mut self, reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.read(reader, &mut buffer)? {
                0 => return Ok(whole),
                read => whole.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

pub fn write_response(
    request: &Request,
    response: &Response,
    writer: &mut TcpStream,
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\n",
        response.status,
        reason(response.status)
    );
    for (name, value) in &response.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let bodiless = matches!(response.status, 100..=199 | 204 | 304);
    if !bodiless {
        let _ = write!(head, "Content-Length: {}\r\n", response.body.len());
    }
    head.push_str(if request.keep_alive {
        "\r\n"
    } else {
        "Connection: close\r\n\r\n"
    });
    let mut out = head.into_bytes();
    if request.method != "HEAD" && !bodiless {
        out.extend_from_slice(&response.body);
    }
    writer.write_all(&out)
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        502 => "Bad Gateway",
        _ => "Status",
    }
}

pub fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (percent_decoded(key, true), percent_decoded(value, true)))
        .collect()
}

pub fn percent_decoded(text: &str, form: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten();
        let decoded =
            hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match decoded {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if form && bytes[at] == b'+' {
                    b' '
                } else {
                    bytes[at]
                });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
