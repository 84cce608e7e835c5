//! What the editors may take, against what the host has.

use crate::config::Config;
use crate::server::catalogue as code;
use crate::server::trouble::Trouble;

pub(super) fn memory(config: &Config, host_bytes: u64) -> Result<String, Trouble> {
    let each = config.sandbox.resources.memory_bytes;
    let users = config.users().count();
    let wanted = each.saturating_mul(u64::try_from(users).unwrap_or(u64::MAX));
    let text = format!(
        "{users} editors of {} MiB, on a host with {} MiB",
        each >> 20,
        host_bytes >> 20
    );
    if wanted > host_bytes {
        return Err(code::MEMORY_SHORT.says(text));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::FixedVars;

    #[test]
    fn limits_above_what_the_host_has_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.yaml");
        let text = "groups: {red: [ana, ben]}\nsandbox: {memory: 1GiB}\n";
        std::fs::write(&path, text).unwrap();
        let vars = FixedVars {
            root: true,
            ..FixedVars::default()
        };
        let config = crate::config::load(Some(&path), &vars).unwrap();
        assert!(memory(&config, 2 << 30).is_ok());
        let short = memory(&config, (2 << 30) - 1).unwrap_err();
        assert_eq!(short.entry.code, "THN-MEM-01");
    }
}
