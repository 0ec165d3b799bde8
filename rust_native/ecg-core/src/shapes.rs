//! Shapes of beats: how well they agree with one another, and which are not the usual one.

use crate::curves::Curves;
use crate::likeness::likeness;
use crate::scratch::{Buffer, empty, leftover, zeros};
use crate::voices::Voices;

/// Points of a beat's shape, and their distance.
pub const POINTS: usize = 16;
const POINT_S: f64 = 0.013;

/// Beats that share one usual shape: the heart's axis moves with posture and breath.
const TOGETHER: usize = 64;
const LEAST: usize = 4;
const ALIKE: f64 = 0.75;

/// Mark the beats that correlate by less than 0.75 with the average of the beats around them.
///
/// The average is taken twice, the second time without the marked ones. Where more than half would
/// be marked, there is no usual shape and none is.
#[must_use]
pub fn unlike_the_usual(curves: &Curves, voices: &Voices, places: &[usize]) -> Buffer<bool> {
    let mut unlike: Buffer<bool> = empty();
    unlike.resize(places.len(), false);
    let size = voices.voters.len() * POINTS;
    let shapes = read_shapes(curves, voices, places);
    if size == 0 || places.len() < LEAST {
        return unlike;
    }
    let groups = places.len().div_ceil(TOGETHER);
    for group in 0..groups {
        let range = group * places.len() / groups..(group + 1) * places.len() / groups;
        let shapes = &shapes[range.start * size..range.end * size];
        let marks = &mut unlike[range];
        mark(shapes, size, marks);
        mark(shapes, size, marks);
        if 2 * marks.iter().filter(|mark| **mark).count() > marks.len() {
            marks.fill(false);
        }
    }
    unlike
}

/// Hold each shape against the average of those not marked.
fn mark(shapes: &[f32], size: usize, marks: &mut [bool]) {
    let mut usual: Buffer<f64> = zeros(size);
    for (shape, _) in shapes.chunks_exact(size).zip(&*marks).filter(|(_, mark)| !**mark) {
        for (sum, v) in usual.iter_mut().zip(shape) {
            *sum += f64::from(*v);
        }
    }
    let length = usual.iter().map(|v| v * v).sum::<f64>().sqrt();
    for (shape, mark) in shapes.chunks_exact(size).zip(marks) {
        let along: f64 = usual.iter().zip(shape).map(|(a, b)| a * f64::from(*b)).sum();
        *mark = along < ALIKE * length;
    }
}

/// For each place how well its shape agrees with the three most similar ones nearby, -1 to 1.
#[must_use]
pub fn likeness_of(curves: &Curves, voices: &Voices, peak: &[usize]) -> Buffer<f64> {
    let shapes = read_shapes(curves, voices, peak);
    likeness(&shapes, peak.len(), voices.voters.len() * POINTS)
}

/// Shapes of beats in the voters' leads, beat after beat: dot products of two are weighed votes.
#[must_use]
pub fn read_shapes(curves: &Curves, voices: &Voices, peak: &[usize]) -> Buffer<f32> {
    let voters = &voices.voters;
    let share: f64 = voters.iter().map(|lead| voices.weights[*lead]).sum();
    let mut shapes: Buffer<f32> = leftover(peak.len() * voters.len() * POINTS);
    let grid = Grid::at(curves.fs_hz);
    for (k, out) in shapes.chunks_exact_mut(POINTS).enumerate() {
        let lead = voters[k % voters.len()];
        let weight = (voices.weights[lead] / share) as f32;
        grid.read(curves.qrs(lead), peak[k / voters.len()], weight, out);
    }
    shapes
}

/// Where the points of a shape lie around its peak: whole samples, and the part of one beyond them.
struct Grid {
    offsets: [isize; POINTS],
    parts: [f32; POINTS],
}

impl Grid {
    fn at(fs_hz: f64) -> Self {
        let position = |i: usize| (i as f64 - (POINTS - 1) as f64 / 2.0) * POINT_S * fs_hz;
        Self {
            offsets: std::array::from_fn(|i| position(i).floor() as isize),
            parts: std::array::from_fn(|i| (position(i) - position(i).floor()) as f32),
        }
    }

    /// Read a shape by linear interpolation, scaled so that the dot product of two is weighed.
    fn read(&self, qrs: &[f32], peak: usize, weight: f32, out: &mut [f32]) {
        let last = qrs.len() - 2;
        let mut length = 0.0_f32;
        for (out, (offset, part)) in out.iter_mut().zip(self.offsets.iter().zip(&self.parts)) {
            let left = peak.saturating_add_signed(*offset).min(last);
            *out = qrs[left] + (qrs[left + 1] - qrs[left]) * part;
            length += *out * *out;
        }
        let scale = if length > 0.0 { (weight / length).sqrt() } else { 0.0 };
        for out in out {
            *out *= scale;
        }
    }
}
