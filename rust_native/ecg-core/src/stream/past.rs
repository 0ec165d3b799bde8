//! How high and how busy each lead of a stream has been so far: its say in the vote.

use crate::curves::{Curves, count};
use crate::reductions::{BLOCK_S, highest, total, usual_height};
use crate::scratch::empty;
use crate::voices::Voices;

/// Heights that are kept: of every block for half an hour, then of every other one, and so on.
pub(super) const MOST_BLOCKS: usize = 900;
/// At the live end of the curves they still change, s.
const UNSETTLED_S: f64 = 0.25;

/// Height and mean of the slope energy of all blocks since the stream began.
///
/// The longer the past, the nearer its voices are to those of the whole recording, and so are the
/// peaks: those of the last ten seconds alone would move with every change of posture.
#[derive(Debug)]
pub(super) struct Past {
    /// Heights of each lead, of one block in `every`.
    pub(super) maxima: Vec<Vec<f64>>,
    every: u64,
    /// Blocks so far.
    learnt: u64,
    /// Of the means of all blocks.
    sums: Vec<f64>,
    levels: Vec<f64>,
}

impl Past {
    pub(super) fn of(leads: usize) -> Self {
        let zeros = || vec![0.0; leads];
        let maxima = vec![Vec::new(); leads];
        Self { maxima, every: 1, learnt: 0, sums: zeros(), levels: zeros() }
    }

    /// Take in the blocks that have settled since the last look; `start` is that of the curves, in
    /// recorded samples.
    pub(super) fn learn(&mut self, curves: &Curves, start: u64) {
        let block = count(BLOCK_S, curves.fs_hz);
        let first = (start / curves.step as u64) as usize;
        let settled = first + curves.samples - count(UNSETTLED_S, curves.fs_hz).min(curves.samples);
        while (self.learnt as usize + 1) * block <= settled {
            let from = self.learnt as usize * block - first;
            self.remember(curves, from..from + block);
        }
    }

    fn remember(&mut self, curves: &Curves, block: std::ops::Range<usize>) {
        let kept = self.learnt.is_multiple_of(self.every);
        for lead in 0..curves.leads {
            let energy = &curves.energy(lead)[block.clone()];
            self.sums[lead] += total(energy) / energy.len() as f64;
            if kept {
                self.maxima[lead].push(highest(energy));
                let mut sorted = empty();
                sorted.extend_from_slice(&self.maxima[lead]);
                self.levels[lead] = usual_height(&mut sorted);
            }
        }
        self.learnt += 1;
        self.thin();
    }

    /// Forget every other height once there are too many.
    fn thin(&mut self) {
        if self.maxima[0].len() < MOST_BLOCKS {
            return;
        }
        for maxima in &mut self.maxima {
            let mut at = 0;
            maxima.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        self.every *= 2;
    }

    pub(super) fn voices(&self) -> Voices {
        let (mut levels, mut averages) = (empty(), empty::<f64>());
        levels.extend_from_slice(&self.levels);
        averages.extend(self.sums.iter().map(|sum| sum / self.learnt.max(1) as f64));
        Voices::weighed(levels, &averages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leads::Leads;

    const FS_HZ: f64 = 100.0;

    /// One lead, two seconds at a time, each louder than the one before.
    fn learnt(blocks: u16) -> Past {
        let mut past = Past::of(1);
        let block = count(BLOCK_S, FS_HZ);
        for i in 0..blocks {
            let wave = |t: usize| 0.01 * f32::from(i) * (0.5 * t as f32).sin();
            let x: Vec<f32> = (0..2 * block).map(wave).collect();
            let curves = Curves::of(&Leads::new(&x, 1, x.len()).unwrap(), FS_HZ);
            past.remember(&curves, 0..block);
        }
        past
    }

    #[test]
    fn the_median_is_that_of_all_seconds_and_memory_is_bounded() {
        let (short, long) = (learnt(10), learnt(2000));
        assert!(long.maxima[0].len() < MOST_BLOCKS && long.every == 4);
        // Loudness rises evenly, so the median is that of the middle.
        let rise = short.levels[0] / 4.5;
        assert!((long.levels[0] / rise - 999.5).abs() < 5.0, "{}", long.levels[0] / rise);
        let mean = long.sums[0] / long.learnt as f64;
        let ratio = mean / (short.sums[0] / 10.0);
        assert!((ratio - 999.5 / 4.5).abs() < 0.01, "{ratio}");
    }
}
