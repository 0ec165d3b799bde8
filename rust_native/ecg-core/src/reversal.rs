//! Exchanged electrodes, told from the average beat of a 12-lead recording.
//!
//! Chest leads say where the limb leads must point (after Kors and van Herpen, Am. J. Cardiol. 88
//! (2001) 396), and P, QRS and T have usual axes in the frontal plane (after Hedén et al., Am. J.
//! Cardiol. 75 (1995) 929). Each way to exchange electrodes is undone in turn; a conditional
//! logistic model, fitted on PTB-XL, CPSC and Chapman-Shaoxing records, says how usual each result
//! is. Along the chest, leads change little by little: an exchange makes that rough.

use crate::error::Error;
use crate::filter::{Band, bandpass_into};
use crate::leads::{Leads, Sample};
use crate::median_beat::{LEADS, MedianBeat, Rows};
use crate::rpeaks::detect_r_peaks;
use crate::scratch::{Buffer, empty, leftover};

const BAND: Band = Band { low_hz: 0.5, high_hz: 40.0, order: 2, mains: None };
/// What an Einthoven or Goldberger sum may leave: as part of the largest lead, and mV.
const RESIDUAL_PART: f64 = 0.2;
const RESIDUAL_MV: f64 = 0.02;
/// Swing of the lead between two legs, as part of the largest limb lead.
const LEGS_PART: f64 = 0.05;
/// Log-odds against an exchange of limb and of chest electrodes, before any lead is seen.
const LIMB_PRIOR: f64 = 3.0;
const CHEST_PRIOR: f64 = 5.0;
/// Two thirds of the turn against the other exchanges: it takes two mistakes.
const ROTATED_PRIOR: f64 = 1.0;
const TOLD: f64 = 0.5;
/// Limb leads that agree less with the chest leads than this tell nothing.
const LEAST_AGREEMENT: f64 = 0.3;

const P_S: [f64; 2] = [-0.22, -0.07];
const QRS_S: [f64; 2] = [-0.06, 0.06];
const T_S: [f64; 2] = [0.12, 0.42];
const QRS_T_S: [f64; 2] = [-0.06, 0.42];
/// Areas below these tell little of an axis, mV·s.
const FAINT: [f64; 3] = [0.001, 0.002, 0.004];
/// Weights of cosine and sine of the axes of P, twice that of P, QRS and T; of the agreement.
const WEIGHTS: [f64; 9] = [0.65, 0.32, -0.58, 0.17, 0.18, -0.24, 0.81, 0.84, 4.29];
/// I and II from V1 to V6.
const FROM_CHEST: [[f64; 6]; 2] =
    [[-0.528, 0.209, 0.107, -0.139, -0.043, 0.459], [-0.014, -0.096, 0.114, 0.158, -0.037, 0.480]];
/// Weights of the two measures of roughness along the chest.
const ROUGHNESS: [f64; 2] = [-3.87, -2.17];

/// Which electrode is where RA, LA and LL should be.
const LIMB: [(&str, [usize; 3]); 6] = [
    ("none", [0, 1, 2]),
    ("RA/LA", [1, 0, 2]),
    ("RA/LL", [2, 1, 0]),
    ("LA/LL", [0, 2, 1]),
    ("RA/LA/LL", [1, 2, 0]),
    ("RA/LA/LL", [2, 0, 1]),
];
const CHEST: [(&str, usize, usize); 10] = [
    ("none", 0, 0),
    ("V1/V2", 0, 1),
    ("V2/V3", 1, 2),
    ("V3/V4", 2, 3),
    ("V4/V5", 3, 4),
    ("V5/V6", 4, 5),
    ("V1/V3", 0, 2),
    ("V2/V4", 1, 3),
    ("V3/V5", 2, 4),
    ("V4/V6", 3, 5),
];

/// Electrodes that seem exchanged, or leads that contradict one another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reversal {
    /// "RA/LA", "RA/LL", "LA/LL", "RA/LA/LL" (turned round), "RA/RL", "LA/RL", two neighbours
    /// of V1 to V6 such as "V1/V2", "einthoven" or "goldberger".
    pub kind: &'static str,
    /// 0.5 to 1.
    pub confidence: f64,
    /// What was seen. Limb: QRS axis in degrees and agreement with the chest leads, -1 to 1;
    /// a leg: swing of the flat lead and of the largest, mV; chest: the two measures of roughness;
    /// sums: what they leave and the largest lead, rms in mV.
    pub recorded: [f64; 2],
    /// The same once the exchange is undone; NaN where nothing can be.
    pub undone: [f64; 2],
}

/// Look for exchanged electrodes; `order` names the row of each of I, II, III, aVR, aVL, aVF and V1
/// to V6. Limb electrodes are judged where I, II and V1 to V6 are there.
///
/// # Errors
/// [`Error::TooShort`] below one second, [`Error::Parameter`] for a rate outside 100 to 2000 Hz,
/// [`Error::NoSuchLead`].
pub fn check_lead_reversal<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    order: &[Option<usize>; LEADS],
) -> Result<Vec<Reversal>, Error> {
    let peaks = detect_r_peaks(x, fs_hz)?;
    let bands = banded(x, fs_hz, order)?;
    let mut found = contradictions(&bands);
    let Some(beat) = MedianBeat::of(&bands, fs_hz, &peaks) else { return Ok(found) };
    let legs = if found.is_empty() { beat.leg_exchange() } else { None };
    found.extend(legs.or_else(|| beat.limb_exchange()));
    found.extend(beat.chest_exchange());
    Ok(found)
}

/// Each standard lead in the band that beats are judged in.
fn banded<S: Sample>(
    x: &Leads<S>,
    fs_hz: f64,
    order: &[Option<usize>; LEADS],
) -> Result<Rows, Error> {
    let mut bands: Rows = std::array::from_fn(|_| None);
    for (band, row) in bands.iter_mut().zip(order) {
        let Some(row) = row else { continue };
        let mut wide: Buffer<f64> = empty();
        wide.extend(x.row(*row)?.iter().map(|v| -> f64 { (*v).into() }));
        let mut out = leftover(wide.len());
        bandpass_into(&Leads::new(&wide, 1, wide.len())?, fs_hz, &BAND, &mut out)?;
        *band = Some(out);
    }
    Ok(bands)
}

/// I + III = II, and aVR + aVL + aVF = 0.
fn contradictions(bands: &Rows) -> Vec<Reversal> {
    let sums = [("einthoven", [0, 2, 1], -1.0), ("goldberger", [3, 4, 5], 1.0)];
    let check = |(kind, leads, sign): (&'static str, [usize; 3], f64)| {
        let [a, b, c] = leads.map(|lead| bands[lead].as_ref());
        let (a, b, c) = (a?, b?, c?);
        let left = rms(a.iter().zip(b.iter()).zip(c.iter()).map(|((a, b), c)| a + b + sign * c));
        let largest = [a, b, c].map(|row| rms(row.iter().copied()));
        let largest = largest.into_iter().fold(0.0, f64::max);
        let told = left >= RESIDUAL_MV && left >= RESIDUAL_PART * largest;
        told.then(|| Reversal {
            kind,
            confidence: (TOLD + 0.5 * left / largest).min(1.0),
            recorded: [left, largest],
            undone: [f64::NAN; 2],
        })
    };
    sums.into_iter().filter_map(check).collect()
}

fn rms(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    (values.map(|v| v * v).sum::<f64>() / n).sqrt()
}

impl MedianBeat {
    /// Lead II lies between two legs, or III does: it is all but flat.
    fn leg_exchange(&self) -> Option<Reversal> {
        let [i, ii, iii] = [0, 1, 2].map(|lead| self.leads[lead].as_ref().map(|row| swing(row)));
        let (i, ii) = (i?, ii?);
        let largest = i.max(ii);
        let exchange = |kind, flat: f64| Reversal {
            kind,
            confidence: 1.0 - 0.5 * flat / (LEGS_PART * largest),
            recorded: [flat, largest],
            undone: [f64::NAN; 2],
        };
        let is_flat = |flat: &f64| *flat < LEGS_PART * largest;
        let second = Some(ii).filter(is_flat).map(|flat| exchange("RA/RL", flat));
        second.or_else(|| iii.filter(is_flat).map(|flat| exchange("LA/RL", flat)))
    }

    fn limb_exchange(&self) -> Option<Reversal> {
        let rows = self.independent()?;
        let seen = LIMB.map(|(_, from)| self.limb_view(&rows, from));
        let mut odds = seen.map(|view| dot(&view.features, &WEIGHTS));
        odds[0] += LIMB_PRIOR;
        odds[4] -= ROTATED_PRIOR;
        odds[5] -= ROTATED_PRIOR;
        let (best, confidence) = likeliest(&odds)?;
        let (now, then) = (seen[0], seen[best]);
        (then.agreement() >= LEAST_AGREEMENT).then(|| Reversal {
            kind: LIMB[best].0,
            confidence,
            recorded: [now.axis_deg, now.agreement()],
            undone: [then.axis_deg, then.agreement()],
        })
    }

    /// The limb leads as if the electrodes were to be taken in this order.
    fn limb_view(&self, rows: &[&[f64]; 8], from: [usize; 3]) -> View {
        let mut features = [0.0; 9];
        let mut axis_deg = 0.0;
        let waves = [(P_S, 0, true), (QRS_S, 4, false), (T_S, 6, false)];
        for ((span, at, sloped), faint) in waves.into_iter().zip(FAINT) {
            let area = |row: &[f64]| area(&row[self.span(span)], sloped) / self.fs_hz;
            let [x, y] = frontal(exchanged(area(rows[0]), area(rows[1]), from));
            let size = x.hypot(y);
            let (cosine, sine, weight) =
                (x / (size + 1e-12), y / (size + 1e-12), size / (size + faint));
            (features[at], features[at + 1]) = (weight * cosine, weight * sine);
            if at == 0 {
                features[2] = weight * (cosine * cosine - sine * sine);
                features[3] = weight * 2.0 * cosine * sine;
            } else if at == 4 {
                axis_deg = y.atan2(x).to_degrees();
            }
        }
        features[8] = self.agreement(rows, from);
        View { features, axis_deg }
    }

    /// Of the limb leads with what the chest leads make of them, over QRS and T: -1 to 1.
    fn agreement(&self, rows: &[&[f64]; 8], from: [usize; 3]) -> f64 {
        let (mut product, mut own, mut other) = (0.0, 0.0, 0.0);
        for k in self.span(QRS_T_S) {
            let seen = frontal(exchanged(rows[0][k], rows[1][k], from));
            let told =
                FROM_CHEST.map(|weights| (0..6).map(|v| weights[v] * rows[v + 2][k]).sum::<f64>());
            let told = frontal(told);
            product += seen[0] * told[0] + seen[1] * told[1];
            own += seen[0] * seen[0] + seen[1] * seen[1];
            other += told[0] * told[0] + told[1] * told[1];
        }
        product / (own * other + 1e-12).sqrt()
    }

    fn chest_exchange(&self) -> Option<Reversal> {
        let rows = self.independent()?;
        let chest: [&[f64]; 6] = std::array::from_fn(|v| &rows[v + 2][self.span(QRS_S)]);
        let seen = CHEST.map(|(_, a, b)| {
            let mut order = chest;
            order.swap(a, b);
            roughness(&order)
        });
        let mut odds = seen.map(|rough| dot(&rough.map(f64::ln), &ROUGHNESS));
        odds[0] += CHEST_PRIOR;
        let (best, confidence) = likeliest(&odds)?;
        let kind = CHEST[best].0;
        Some(Reversal { kind, confidence, recorded: seen[0], undone: seen[best] })
    }
}

/// The limb leads in one order of the electrodes.
#[derive(Clone, Copy)]
struct View {
    features: [f64; 9],
    axis_deg: f64,
}

impl View {
    fn agreement(&self) -> f64 {
        self.features[8]
    }
}

fn swing(row: &[f64]) -> f64 {
    let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    high - row.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Sum of the samples; above the straight line through both ends if `sloped`.
fn area(part: &[f64], sloped: bool) -> f64 {
    let sum: f64 = part.iter().sum();
    if !sloped {
        return sum;
    }
    let end = (part.len() / 8).max(1).min(part.len());
    let ends = part[..end].iter().sum::<f64>() + part[part.len() - end..].iter().sum::<f64>();
    sum - 0.5 * part.len() as f64 * ends / end as f64
}

/// I and II with the electrodes taken in another order.
fn exchanged(i: f64, ii: f64, from: [usize; 3]) -> [f64; 2] {
    // Against Wilson's terminal.
    let electrodes = [-(i + ii) / 3.0, (2.0 * i - ii) / 3.0, (2.0 * ii - i) / 3.0];
    let [ra, la, ll] = from.map(|electrode| electrodes[electrode]);
    [la - ra, ll - ra]
}

/// Rightwards and downwards in the frontal plane, from I and II.
fn frontal([i, ii]: [f64; 2]) -> [f64; 2] {
    [i, (2.0 * ii - i) / 3.0_f64.sqrt()]
}

/// How abruptly neighbours change: bends between the shapes, and between the leads as they are.
fn roughness(leads: &[&[f64]; 6]) -> [f64; 2] {
    let sizes = leads.map(|lead| (lead.iter().map(|v| v * v).sum::<f64>() + 1e-12).sqrt());
    let (mut shapes, mut amplitudes) = (1e-9, 1e-9);
    for k in 1..5 {
        let (mut of_shape, mut of_lead) = (0.0, 0.0);
        for ((a, b), c) in leads[k - 1].iter().zip(leads[k]).zip(leads[k + 1]) {
            of_shape += (a / sizes[k - 1] - 2.0 * b / sizes[k] + c / sizes[k + 1]).powi(2);
            of_lead += (a - 2.0 * b + c).powi(2);
        }
        shapes += of_shape;
        amplitudes += of_lead.sqrt();
    }
    [shapes, amplitudes]
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The likeliest exchange, and the probability of any, if that is even or more.
fn likeliest<const N: usize>(odds: &[f64; N]) -> Option<(usize, f64)> {
    let (best, most) = (1..N).map(|k| (k, odds[k])).reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    let top = most.max(odds[0]);
    let exchanged: f64 = odds[1..].iter().map(|o| (o - top).exp()).sum();
    let confidence = exchanged / (exchanged + (odds[0] - top).exp());
    (confidence >= TOLD).then_some((best, confidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanged_electrodes_turn_the_leads() {
        let [i, ii] = [0.4, 1.0];
        assert!((exchanged(i, ii, LIMB[0].1)[0] - i).abs() < 1e-12);
        let arms = exchanged(i, ii, LIMB[1].1);
        assert!((arms[0] + i).abs() < 1e-12 && (arms[1] - (ii - i)).abs() < 1e-12);
        let right = exchanged(i, ii, LIMB[2].1);
        assert!((right[0] - (i - ii)).abs() < 1e-12 && (right[1] + ii).abs() < 1e-12);
        let left = exchanged(i, ii, LIMB[3].1);
        assert!((left[0] - ii).abs() < 1e-12 && (left[1] - i).abs() < 1e-12);
    }

    #[test]
    fn hostile_signals_do_not_panic() {
        let all = std::array::from_fn(Some);
        for n in [100, 301, 5000] {
            let residue = |i: u32| f64::from((i % 1009).pow(2) % 101);
            let noise: Vec<f64> = (0..12 * n).map(residue).collect();
            for data in [noise, vec![0.0; 12 * n as usize]] {
                let x = Leads::new(&data, 12, n as usize).unwrap();
                for fs in [100.0, 257.0, 2000.0] {
                    let found = check_lead_reversal(&x, fs, &all).unwrap_or_default();
                    assert!(found.iter().all(|f| f.confidence >= 0.5 && f.confidence <= 1.0));
                }
            }
        }
        let one = vec![0.0; 500];
        let one = Leads::new(&one, 1, 500).unwrap();
        assert!(check_lead_reversal(&one, 500.0, &[None; 12]).unwrap().is_empty());
        let mut missing = [None; 12];
        missing[3] = Some(4);
        assert!(check_lead_reversal(&one, 500.0, &missing).is_err());
    }
}
