//! How much each lead has to say about where the beats are.

use crate::curves::Curves;
use crate::reductions::{average, usual_maximum};
use crate::scratch::{Buffer, empty};

/// Below this a curve is silent, mV.
pub const FLOOR_MV: f64 = 1e-6;
const VOTERS: usize = 4;
/// A lead with this part of the best one's weight shows where peaks are, as it was recorded: were
/// leads weighed there, a peak would move from one extremum to another as the weights do.
const CLEAR: f64 = 0.4;

/// How much each lead says, and at which level its beats are.
#[derive(Debug)]
pub struct Voices {
    /// Share in the vote; they add up to one, unless no lead says anything.
    pub weights: Buffer<f64>,
    /// Usual height of the slope energy's maxima.
    pub levels: Buffer<f64>,
    /// The leads whose shapes are compared, best first.
    pub voters: Buffer<usize>,
    /// The leads whose bands show where in a beat its peak is, best first.
    pub peak_leads: Buffer<usize>,
}

impl Voices {
    /// Weigh each lead by how far its beats stand out.
    #[must_use]
    pub fn of(curves: &Curves) -> Self {
        let (mut levels, mut averages): (Buffer<f64>, Buffer<f64>) = (empty(), empty());
        for lead in 0..curves.leads {
            levels.push(usual_maximum(curves.energy(lead), curves.fs_hz));
            averages.push(average(curves.energy(lead)));
        }
        Self::weighed(levels, &averages)
    }

    /// Weigh leads by the usual height of their slope energy's maxima and by its mean.
    #[must_use]
    pub fn weighed(levels: Buffer<f64>, averages: &[f64]) -> Self {
        let mut weights: Buffer<f64> = empty();
        weights.extend(levels.iter().zip(averages).map(|(level, average)| {
            let stands_out = (1.0 - average / level.max(FLOOR_MV)).max(0.0);
            let weight = if levels.len() == 1 { 1.0 } else { stands_out * stands_out };
            if *level < FLOOR_MV { 0.0 } else { weight }
        }));
        let total: f64 = weights.iter().sum();
        if total > 0.0 {
            for weight in weights.iter_mut() {
                *weight /= total;
            }
        }
        let mut heard: Buffer<usize> = empty();
        heard.extend((0..weights.len()).filter(|lead| weights[*lead] > 0.0));
        heard.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        let (mut voters, mut peak_leads) = (empty(), empty());
        voters.extend(heard.iter().copied().take(VOTERS));
        let clear = |lead: &usize| weights[*lead] >= CLEAR * weights[heard[0]];
        peak_leads.extend(heard.iter().copied().take_while(clear));
        Self { weights, levels, voters, peak_leads }
    }

    /// One lead by itself.
    #[must_use]
    pub fn alone(&self, lead: usize) -> Self {
        let (mut weights, mut levels) = (empty(), empty());
        let (mut voters, mut peak_leads) = (empty(), empty());
        weights.extend((0..self.weights.len()).map(|other| f64::from(u8::from(other == lead))));
        levels.extend_from_slice(&self.levels);
        voters.push(lead);
        peak_leads.push(lead);
        Self { weights, levels, voters, peak_leads }
    }
}
