//! Medians and the tables that show them.

/// Samples of one figure, one list a peer.
pub(crate) struct Samples(Vec<Vec<f64>>);

impl Samples {
    pub(crate) fn new(peers: usize) -> Self {
        Self(vec![Vec::new(); peers])
    }

    pub(crate) fn add(&mut self, peer: usize, sample: f64) {
        if let Some(samples) = self.0.get_mut(peer) {
            samples.push(sample);
        }
    }

    pub(crate) fn median(&self, peer: usize) -> f64 {
        let samples = self.0.get(peer).cloned().unwrap_or_default();
        quantile(samples, 0.5)
    }
}

/// Of an empty list: not a number.
pub(crate) fn quantile(mut samples: Vec<f64>, part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a list in memory"
    )]
    let at = (samples.len().saturating_sub(1) as f64 * part).round() as usize;
    samples.get(at).copied().unwrap_or(f64::NAN)
}

/// Markdown, so that it can be put where it is read.
pub(crate) fn print(title: &str, columns: &[&str], rows: &[(String, Vec<String>)]) {
    println!("\n**{title}**\n\n| | {} |", columns.join(" | "));
    println!("|---|{}", "---:|".repeat(columns.len()));
    for (name, cells) in rows {
        println!("| {name} | {} |", cells.join(" | "));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn per(total: f64, count: usize) -> f64 {
    total / count as f64
}
