//! What a key accepts: the check, its words for people, and how a value looks in JSON.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use serde_json::Value;

use crate::domain::network::Subnet;

/// The kernel's limit on interface names.
const BRIDGE_NAME_BYTES_MAX: usize = 15;

/// Longer than any name, path or key of an API.
const TEXT_BYTES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    AbsolutePath,
    Address,
    /// Of a key that lost its meaning.
    Anything,
    Bridge,
    Decimal {
        min: f64,
        max: f64,
    },
    Domain,
    Email,
    Flag,
    /// Who takes part; `groups` reads them.
    Groups,
    /// A name or an address.
    Host,
    Integer {
        min: i64,
        max: i64,
    },
    /// A list of mappings, whose keys are registered under `path[]`.
    Items,
    Listen,
    /// A list of addresses and ranges.
    Networks,
    /// A path, seen from the settings file if it is relative.
    RelativePath,
    Size {
        min: u64,
    },
    Subnet,
    Text,
    Url,
    /// One of these, in any case.
    Words(&'static [&'static str]),
}

impl Kind {
    /// The value in its usual spelling, or nothing if it is not accepted.
    pub(super) fn checked(self, text: &str) -> Option<String> {
        if self == Self::Anything {
            return Some(text.to_owned());
        }
        if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            return None;
        }
        let accepted = match self {
            Self::Words(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text))?;
                return Some((*word).to_owned());
            }
            Self::Flag => return flag(text).map(|flag| flag.to_string()),
            Self::Networks => return network(text).map(|network| network.to_string()),
            Self::Integer { min, max } => text.parse().is_ok_and(|n| (min..=max).contains(&n)),
            Self::Decimal { min, max } => text.parse().is_ok_and(|n| (min..=max).contains(&n)),
            Self::Size { min } => bytes(text).is_some_and(|bytes| bytes >= min),
            Self::AbsolutePath => Path::new(text).is_absolute(),
            Self::Address => text.parse::<IpAddr>().is_ok(),
            Self::Listen => text.parse::<SocketAddr>().is_ok(),
            Self::Subnet => text.parse::<Subnet>().is_ok(),
            Self::Bridge => is_bridge(text),
            Self::Domain => is_host_name(text),
            Self::Host => is_host_name(text) || text.parse::<IpAddr>().is_ok(),
            Self::Email => is_email(text),
            Self::Url => is_url(text),
            Self::Text | Self::RelativePath => true,
            Self::Anything | Self::Groups | Self::Items => false,
        };
        accepted.then(|| text.to_owned())
    }

    /// What to write, for the author of a value that is not accepted.
    pub(super) fn accepted(self) -> String {
        match self {
            Self::AbsolutePath => "an absolute path".to_owned(),
            Self::Address => "an IP address, for example 203.0.113.7".to_owned(),
            Self::Bridge => "1 to 15 letters, digits and `-`".to_owned(),
            Self::Decimal { min, max } => format!("a number between {min} and {max}"),
            Self::Domain => "a host name, for example thon.example.org".to_owned(),
            Self::Email => "an e-mail address".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Groups => "a mapping, for example `red: [alice, bob]`".to_owned(),
            Self::Host => "a host name or an IP address".to_owned(),
            Self::Integer { min, max } => format!("a whole number between {min} and {max}"),
            Self::Items => "a list of mappings".to_owned(),
            Self::Listen => "ADDRESS:PORT, for example 0.0.0.0:443 or [::]:443".to_owned(),
            Self::Networks => {
                "addresses and ranges, for example [10.0.0.0/24, 192.0.2.7]".to_owned()
            }
            Self::RelativePath => "a path".to_owned(),
            Self::Size { min } => format!(
                "at least {}MiB, as bytes or with KiB, MiB or GiB, for example 2GiB",
                min >> 20
            ),
            Self::Subnet => "an IPv4 range with 8 to 29 bits, for example 10.201.0.0/20".to_owned(),
            Self::Text | Self::Anything => "a text on one line".to_owned(),
            Self::Url => "an address that begins with https:// or http://".to_owned(),
            Self::Words(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// One column of a table.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::AbsolutePath => "absolute path",
            Self::Address => "address",
            Self::Anything => "",
            Self::Bridge => "name",
            Self::Decimal { .. } | Self::Integer { .. } => "number",
            Self::Domain => "host name",
            Self::Email => "e-mail",
            Self::Flag => "yes or no",
            Self::Groups => "map",
            Self::Host => "host",
            Self::Items | Self::Networks => "list",
            Self::Listen => "address:port",
            Self::RelativePath => "path",
            Self::Size { .. } => "size",
            Self::Subnet => "IPv4 range",
            Self::Text => "text",
            Self::Url => "URL",
            Self::Words(_) => "word",
        }
    }

    /// A value that was checked, as a program would like to get it.
    pub(super) fn json(self, text: &str) -> Value {
        let json = match self {
            Self::Flag => flag(text).map(Value::from),
            Self::Integer { .. } => text.parse::<i64>().ok().map(Value::from),
            // `2` stays `2`.
            Self::Decimal { .. } => {
                let whole = text.parse::<i64>().map(Value::from);
                whole.or_else(|_| text.parse::<f64>().map(Value::from)).ok()
            }
            _ => None,
        };
        json.unwrap_or_else(|| text.into())
    }
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A range, or a single address. Not everybody at once: then anybody could claim to be anybody.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = canonical(text.parse().ok().or_else(single)?);
    (network.prefix_len() > 0).then_some(network)
}

/// Peers are compared as IPv4 when they are, so a range of mapped addresses would never match.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let bits = network.prefix_len().checked_sub(MAPPED_BITS);
    match (network.addr().to_canonical(), bits) {
        (IpAddr::V4(v4), Some(bits)) if matches!(network, IpNet::V6(_)) => {
            IpNet::new(v4.into(), bits).unwrap_or(network)
        }
        _ => network,
    }
}

pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = text.strip_prefix(digits)?.trim().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn is_bridge(text: &str) -> bool {
    (1..=BRIDGE_NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !name.contains(char::is_whitespace) && is_host_name(host)
    })
}

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.starts_with(['/', '?', '#']) && !rest.is_empty())
        && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests;
