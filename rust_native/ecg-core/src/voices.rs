//! How much each lead has to say about where the beats are.

use crate::curves::Curves;
use crate::reductions::{average, usual_maximum};
use crate::scratch::{Buffer, empty};

/// Below this a curve is silent, mV.
pub const FLOOR_MV: f64 = 1e-6;
const VOTERS: usize = 4;

/// How much each lead says, and at which level its beats are.
#[derive(Debug)]
pub struct Voices {
    /// Share in the vote; they add up to one, unless no lead says anything.
    pub weights: Buffer<f64>,
    /// Usual height of the slope energy's maxima.
    pub levels: Buffer<f64>,
    /// The leads whose shapes are compared, best first.
    pub voters: Buffer<usize>,
    /// The leads that say anything, best first.
    pub heard: Buffer<usize>,
    /// What makes the squared QRS bands of these comparable.
    pub gains: Buffer<f32>,
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
        let (mut heard, mut voters): (Buffer<usize>, Buffer<usize>) = (empty(), empty());
        heard.extend((0..weights.len()).filter(|lead| weights[*lead] > 0.0));
        heard.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        voters.extend(heard.iter().copied().take(VOTERS));
        let gains = gains_of(&heard, &weights, &levels);
        Self { weights, levels, voters, heard, gains }
    }

    /// One lead by itself.
    #[must_use]
    pub fn alone(&self, lead: usize) -> Self {
        let (mut weights, mut levels) = (empty(), empty());
        let (mut heard, mut voters) = (empty(), empty());
        weights.extend((0..self.weights.len()).map(|other| f64::from(u8::from(other == lead))));
        levels.extend_from_slice(&self.levels);
        heard.push(lead);
        voters.push(lead);
        let gains = gains_of(&heard, &weights, &levels);
        Self { weights, levels, voters, heard, gains }
    }
}

fn gains_of(heard: &[usize], weights: &[f64], levels: &[f64]) -> Buffer<f32> {
    let mut gains = empty();
    gains.extend(heard.iter().map(|lead| (weights[*lead] / levels[*lead].powi(2)) as f32));
    gains
}
