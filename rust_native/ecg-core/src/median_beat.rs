//! The median beat of a recording of standard leads.

use crate::order::median_of;
use crate::scratch::{Buffer, zeros};

/// Number of standard leads.
pub const LEADS: usize = 12;
const BEFORE_S: f64 = 0.25;
const AFTER_S: f64 = 0.45;
const FEWEST_BEATS: usize = 3;
const MOST_BEATS: usize = 64;
const LEVEL_S: [f64; 2] = [-0.09, -0.06];

/// The standard leads, I, II, III, aVR, aVL, aVF and V1 to V6, where they were recorded.
pub type Rows = [Option<Buffer<f64>>; LEADS];

/// The median beat of each lead, around the R peak, above the level before the QRS complex.
#[derive(Debug)]
pub struct MedianBeat {
    /// Standard leads, where they were recorded, mV.
    pub leads: Rows,
    /// Samples before the R peak.
    before: usize,
    /// Samples per second.
    pub fs_hz: f64,
}

impl MedianBeat {
    /// None where fewer than three beats are seen whole.
    #[must_use]
    pub fn of(bands: &Rows, fs_hz: f64, peaks: &[usize]) -> Option<Self> {
        let samples = bands.iter().flatten().next()?.len();
        let (before, after) = (rounded(BEFORE_S * fs_hz), rounded(AFTER_S * fs_hz));
        let (before, after) = (before as usize, after as usize);
        let whole = |peak: &usize| *peak >= before && *peak + after <= samples;
        let whole: Vec<usize> = peaks.iter().copied().filter(whole).collect();
        if whole.len() < FEWEST_BEATS {
            return None;
        }
        let count = whole.len().min(MOST_BEATS);
        let starts: Vec<usize> =
            (0..count).map(|k| whole[k * whole.len() / count] - before).collect();
        let median = |row: &Buffer<f64>| median_beat(row, &starts, before + after);
        let leads = bands.each_ref().map(|row| row.as_ref().map(median));
        let mut beat = Self { leads, before, fs_hz };
        beat.take_level_off();
        Some(beat)
    }

    fn take_level_off(&mut self) {
        let level_span = self.span(LEVEL_S);
        for lead in self.leads.iter_mut().flatten() {
            let part = &lead[level_span.clone()];
            let level = part.iter().sum::<f64>() / part.len() as f64;
            lead.iter_mut().for_each(|v| *v -= level);
        }
    }

    /// Samples from one time to another, in seconds from the R peak.
    #[must_use]
    pub fn span(&self, [from_s, to_s]: [f64; 2]) -> std::ops::Range<usize> {
        let at = |s: f64| (self.before as f64 + rounded(s * self.fs_hz)).max(0.0) as usize;
        at(from_s)..at(to_s)
    }

    /// I, II and V1 to V6.
    #[must_use]
    pub fn independent(&self) -> Option<[&[f64]; 8]> {
        let mut rows: [&[f64]; 8] = [&[]; 8];
        for (row, lead) in rows.iter_mut().zip([0, 1, 6, 7, 8, 9, 10, 11]) {
            *row = self.leads[lead].as_ref()?;
        }
        Some(rows)
    }
}

fn rounded(value: f64) -> f64 {
    (value + 0.5).floor()
}

fn median_beat(row: &[f64], starts: &[usize], samples: usize) -> Buffer<f64> {
    let mut beat = zeros(samples);
    let mut values: Buffer<f64> = zeros(starts.len());
    for (k, median) in beat.iter_mut().enumerate() {
        for (value, start) in values.iter_mut().zip(starts) {
            *value = row[start + k];
        }
        *median = median_of(&mut values);
    }
    beat
}
