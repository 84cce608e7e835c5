//! Who may come in: code-server's session cookie, login form and origin check.

use std::fmt::Write as _;
use std::io::{self, BufReader};
use std::net::TcpStream;

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::http::{Body, Request, Response, pairs, percent_decoded};

pub fn authorized(request: &Request, config: &Config) -> bool {
    let Some(expected) = &config.hashed_password else {
        return true;
    };
    request
        .headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case("cookie"))
        .flat_map(|(_, value)| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        // The cookie parser of code-server keeps the first of a name.
        .find(|(name, _)| *name == config.cookie)
        .is_some_and(|(_, value)| {
            percent_decoded(value.trim_matches('"'), false).trim() == expected
        })
}

/// code-server's form, for the access mode in which visitors type a password.
pub fn login(
    request: &Request,
    config: &Config,
    body: &mut Body,
    reader: &mut BufReader<TcpStream>,
) -> io::Result<Response> {
    let home = |response: Response| response.with("Location", "./");
    let Some(expected) = &config.hashed_password else {
        return Ok(home(Response::text(302, "Found")));
    };
    if authorized(request, config) {
        return Ok(home(Response::text(302, "Found")));
    }
    let mut error = "";
    if request.method == "POST" {
        let form = String::from_utf8_lossy(&body.whole(reader)?).into_owned();
        let password = pairs(&form)
            .into_iter()
            .find(|(name, _)| name == "password")
            .map(|(_, value)| value)
            .unwrap_or_default();
        let mut hash = String::new();
        for byte in Sha256::digest(password.trim()) {
            let _ = write!(hash, "{byte:02x}");
        }
        if hash == *expected {
            let cookie = format!("{}={expected}; Path=/; SameSite=Lax", config.cookie);
            return Ok(home(Response::text(302, "Found")).with("Set-Cookie", &cookie));
        }
        error = "<p>Incorrect password</p>\n";
    }
    let page = format!(
        "<!doctype html>\n<title>stand-in login</title>\n{error}<form method=\"post\"><input type=\"password\" name=\"password\"></form>\n"
    );
    Ok(Response::new(200, "text/html; charset=utf-8", page))
}

/// code-server's `authenticateOrigin`: Forwarded's host, then the first of X-Forwarded-Host, then Host.
pub fn same_origin(request: &Request) -> bool {
    let Some(origin) = request.header("origin").filter(|origin| !origin.is_empty()) else {
        return true;
    };
    let Some((scheme, rest)) = origin.split_once("://") else {
        return false;
    };
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => "",
    };
    let authority = rest
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let authority = if default.is_empty() {
        authority.as_str()
    } else {
        authority.strip_suffix(default).unwrap_or(&authority)
    };
    let forwarded = request.header("forwarded").and_then(|value| {
        value
            .split([';', ','])
            .filter_map(|part| part.split_once('='))
            .find(|(key, value)| key.trim().eq_ignore_ascii_case("host") && !value.is_empty())
    });
    let host = forwarded
        .map(|(_, value)| value)
        .or_else(|| {
            request
                .header("x-forwarded-host")
                .and_then(|value| value.split(',').next())
                .filter(|value| !value.is_empty())
        })
        .or_else(|| request.header("host").filter(|value| !value.is_empty()));
    host.is_some_and(|host| host.trim().to_ascii_lowercase() == authority)
}
