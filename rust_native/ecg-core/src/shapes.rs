//! Beats whose shape is not the usual one.

use crate::candidates::{POINTS, Voices, read_shapes};
use crate::curves::Curves;
use crate::scratch::{Buffer, empty, zeros};

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
