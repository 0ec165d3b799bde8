//! Whether a stream can be in millivolts: the rule of whole recordings, on its last ten seconds.

use crate::error::Error;
use crate::issues::Extremes;
use crate::leads::{BLOCK_S, Leads, MAX_SWING_MV, Sample};
use std::collections::VecDeque;

/// Blocks judged together: ten seconds.
const BLOCKS: usize = 5;
/// Fewer wild ones than this may be an electrode that is being attached.
const LEAST_WILD: usize = 3;

/// How far the leads swing, block by block.
#[derive(Debug, Clone)]
pub(super) struct Swings {
    /// Samples of a block.
    block: usize,
    /// Samples of the present one so far, and its extremes by lead.
    filled: usize,
    lows: Vec<f64>,
    highs: Vec<f64>,
    /// Widest swing of each block in which every lead that moves swings too far, else zero.
    wild_mv: VecDeque<f64>,
}

impl Swings {
    pub(super) fn of(leads: usize, fs_hz: f64) -> Self {
        Self {
            block: ((BLOCK_S * fs_hz + 0.5) as usize).max(1),
            filled: 0,
            lows: vec![f64::INFINITY; leads],
            highs: vec![f64::NEG_INFINITY; leads],
            wild_mv: VecDeque::new(),
        }
    }

    /// Take in the next samples.
    ///
    /// # Errors
    /// [`Error::Implausible`] where a wild block ends and most of those judged are wild: nothing is
    /// taken, and a new block begins, so that a calm chunk is welcome at once.
    pub(super) fn take<S: Sample>(&mut self, x: &Leads<S>) -> Result<(), Error> {
        let mut next = self.clone();
        let ended = next.extend(x);
        if let Some(swing_mv) = next.implausible(ended) {
            self.begin_block();
            return Err(Error::Implausible { swing_mv, most_mv: MAX_SWING_MV });
        }
        let old = next.wild_mv.len().saturating_sub(BLOCKS);
        next.wild_mv.drain(..old);
        *self = next;
        Ok(())
    }

    /// Take in samples; tells how many blocks ended.
    fn extend<S: Sample>(&mut self, x: &Leads<S>) -> usize {
        let (mut taken, mut ended) = (0, 0);
        while taken < x.samples() {
            let size = (self.block - self.filled).min(x.samples() - taken);
            for (lead, row) in x.rows().enumerate() {
                let extremes = Extremes::of(&row[taken..taken + size]);
                self.lows[lead] = self.lows[lead].min(extremes.low_mv);
                self.highs[lead] = self.highs[lead].max(extremes.high_mv);
            }
            taken += size;
            self.filled += size;
            if self.filled == self.block {
                self.wild_mv.push_back(self.wild_swing_mv());
                self.begin_block();
                ended += 1;
            }
        }
        ended
    }

    fn begin_block(&mut self) {
        self.filled = 0;
        self.lows.fill(f64::INFINITY);
        self.highs.fill(f64::NEG_INFINITY);
    }

    /// The widest swing, or zero if a lead moves as a heart does, or none at all.
    fn wild_swing_mv(&self) -> f64 {
        let swings = self.highs.iter().zip(&self.lows).map(|(high, low)| high - low);
        let moving = swings.filter(|swing| *swing > 0.0);
        let (mut calmest, mut wildest) = (f64::INFINITY, 0.0_f64);
        for swing in moving {
            (calmest, wildest) = (calmest.min(swing), wildest.max(swing));
        }
        if calmest > MAX_SWING_MV { wildest } else { 0.0 }
    }

    /// The widest swing, if one of the blocks just ended and most of those judged are wild.
    fn implausible(&self, ended: usize) -> Option<f64> {
        let latest = |n: usize| self.wild_mv.iter().rev().take(n).copied();
        let judged = ended.max(BLOCKS).min(self.wild_mv.len());
        let wild = latest(judged).filter(|swing| *swing > 0.0).count();
        let refused =
            latest(ended).any(|swing| swing > 0.0) && wild >= LEAST_WILD && 2 * wild > judged;
        refused.then(|| latest(judged).fold(0.0, f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FS_HZ: f64 = 100.0;

    fn seconds(count: usize, gain: f64) -> Vec<f64> {
        (0..100 * count).map(|i| gain * (i as f64 * 0.1).sin()).collect()
    }

    fn take(swings: &mut Swings, x: &[f64]) -> Result<(), Error> {
        swings.take(&Leads::new(x, 1, x.len()).unwrap())
    }

    /// Ends, in samples, of the chunks that were refused.
    fn refused(swings: &mut Swings, x: &[f64], size: usize) -> Vec<usize> {
        let mut ends = Vec::new();
        for (i, chunk) in x.chunks(size).enumerate() {
            if take(swings, chunk).is_err() {
                ends.push((i + 1) * size);
            }
        }
        ends
    }

    #[test]
    fn microvolts_are_told_after_three_blocks_however_they_are_cut() {
        for size in [1, 10, 200] {
            let mut swings = Swings::of(1, FS_HZ);
            assert_eq!(refused(&mut swings, &seconds(7, 500.0), size), [600]);
        }
        assert!(take(&mut Swings::of(1, FS_HZ), &seconds(60, 500.0)).is_err());
    }

    #[test]
    fn artefacts_and_leads_that_stand_still_are_not_microvolts() {
        let mut swings = Swings::of(1, FS_HZ);
        assert!(refused(&mut swings, &seconds(4, 500.0), 10).is_empty());
        assert!(refused(&mut swings, &[0.0; 1000], 10).is_empty());
        let hour = [seconds(1000, 1.0), seconds(8, 500.0), seconds(1000, 1.0)].concat();
        assert!(take(&mut Swings::of(1, FS_HZ), &hour).is_ok());
        let both = [seconds(20, 500.0), seconds(20, 1.0)].concat();
        assert!(Swings::of(2, FS_HZ).take(&Leads::new(&both, 2, 2000).unwrap()).is_ok());
    }

    #[test]
    fn millivolts_are_welcome_at_once_after_a_refusal() {
        let mut swings = Swings::of(1, FS_HZ);
        assert_eq!(refused(&mut swings, &seconds(6, 500.0), 10), [600]);
        assert!(refused(&mut swings, &seconds(20, 1.0), 7).is_empty());
        assert!(swings.wild_mv.len() <= BLOCKS);
    }
}
