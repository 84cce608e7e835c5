//! A certificate from files, read again when they change. A pair that is half written or broken
//! changes nothing: the one from before goes on.

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustls::sign::CertifiedKey;

use super::trouble::Trouble;
use crate::config::Config;
use crate::tls::Names;
use crate::tls::provided::{Contents, Pair, Provided, Unusable};
use crate::tls::renewal::{Standing, Validity};

/// Whoever renews a certificate by hand needs some days; certbot does it thirty days before.
const FILE_WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) struct Files {
    pair: Pair,
    /// What visitors use by the settings' word.
    expected: Names,
    state: Mutex<State>,
}

struct State {
    /// Of what is served. `None` at the start, so that the first look reads them as the user that
    /// every later look is.
    digest: Option<[u8; 32]>,
    validity: Validity,
    missing: Names,
    /// What was wrong at the last look. Said at the next one if it is still so: between writing one
    /// file and the other a pair does not fit.
    wrong: Option<Unusable>,
}

/// For the first time.
pub(super) fn read(pair: &Pair) -> Result<Provided, Unusable> {
    let contents = pair.read()?;
    warn_of_open_key(pair, &contents);
    contents.load()
}

impl Files {
    pub(super) fn new(pair: Pair, provided: Provided, config: &Config) -> (Self, CertifiedKey) {
        let expected = Names::new(
            config.proxy.domain.clone(),
            config.external_ip.filter(|_| config.proxy.domain.is_none()),
        );
        let files = Self {
            pair,
            state: Mutex::new(State {
                digest: None,
                validity: provided.validity,
                missing: missing(&expected, &provided),
                wrong: None,
            }),
            expected,
        };
        (files, provided.certified)
    }

    /// The next pair if there is one, and what is wrong.
    pub(super) fn look(&self, now: Timestamp) -> (Option<CertifiedKey>, Option<Trouble>) {
        let mut state = self.state.lock();
        match self.changed(&state, now) {
            Ok(None) => {
                state.wrong = None;
                (None, self.trouble(&state, now))
            }
            Ok(Some((digest, provided))) => {
                *state = State {
                    digest: Some(digest),
                    validity: provided.validity,
                    missing: missing(&self.expected, &provided),
                    wrong: None,
                };
                tracing::info!(certificate.until = %provided.validity.until, "the certificate was read");
                (Some(provided.certified), self.trouble(&state, now))
            }
            Err(why) => {
                let is_confirmed = why.is_forbidden || state.wrong.as_ref() == Some(&why);
                let until = state.validity.until;
                state.wrong = Some(why.clone());
                let told = is_confirmed.then_some(Trouble::NotRead { why, until });
                (None, told.or_else(|| self.trouble(&state, now)))
            }
        }
    }

    fn changed(
        &self,
        state: &State,
        now: Timestamp,
    ) -> Result<Option<([u8; 32], Provided)>, Unusable> {
        let contents = self.pair.read()?;
        let digest = contents.digest();
        if state.digest == Some(digest) {
            return Ok(None);
        }
        let provided = contents.load()?;
        let is_over = |validity: Validity| now >= validity.until;
        if is_over(provided.validity) && !is_over(state.validity) {
            return Err(Unusable {
                path: self.pair.certificate.clone(),
                reason: "it has ended already".to_owned(),
                is_forbidden: false,
            });
        }
        if state.digest.is_some() {
            warn_of_open_key(&self.pair, &contents);
        }
        Ok(Some((digest, provided)))
    }

    fn trouble(&self, state: &State, now: Timestamp) -> Option<Trouble> {
        let path = self.pair.certificate.clone();
        let validity = state.validity;
        let file = |standing, at| {
            Some(Trouble::File {
                path: path.clone(),
                standing,
                at,
            })
        };
        match validity.standing(now, FILE_WARNING) {
            standing @ Standing::NotYet => file(standing, validity.from),
            standing @ Standing::Ended => file(standing, validity.until),
            _ if !state.missing.is_empty() => Some(Trouble::NotFor {
                path: path.clone(),
                names: state.missing.clone(),
            }),
            standing @ Standing::EndsSoon => file(standing, validity.until),
            Standing::Valid => None,
        }
    }
}

fn missing(expected: &Names, provided: &Provided) -> Names {
    let dns = expected.dns().filter(|name| !provided.covers_name(name));
    let addresses = expected.addresses();
    Names::new(
        dns.map(str::to_owned),
        addresses.filter(|ip| !provided.covers_address(*ip)),
    )
}

fn warn_of_open_key(pair: &Pair, contents: &Contents) {
    if contents.key_is_open {
        let path = pair.key.display();
        tracing::warn!("{path} can be read by everybody on this host: `chmod o-r {path}`");
    }
}
