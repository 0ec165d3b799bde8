//! Long arrays of numbers in a JSON text: parsed without a Python object for each number.

use crate::guard::guarded;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A text without its arrays, their values end to end, and how many each of them had.
type Taken<'py> = (Bound<'py, PyBytes>, Bound<'py, PyArray1<f64>>, Vec<usize>);

#[pyfunction]
pub(crate) fn take_json_numbers<'py>(
    py: Python<'py>,
    text: &[u8],
    fewest: usize,
) -> PyResult<Taken<'py>> {
    let (rest, values, counts) = guarded(py, || Ok(take(text, fewest)))?;
    Ok((PyBytes::new(py, &rest), PyArray1::from_vec(py, values), counts))
}

/// Puts `null` for each array of `fewest` numbers or more; what is no such array stays.
///
/// No byte is looked at more than twice, however the text is made.
fn take(text: &[u8], fewest: usize) -> (Vec<u8>, Vec<f64>, Vec<usize>) {
    let (mut rest, mut values, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    let mut start = 0;
    while let Some(&byte) = text.get(start) {
        let mut end = start + 1;
        if byte == b'[' {
            let before = values.len();
            let after = array(text, end, &mut values);
            let count = values.len() - before;
            if let Some(after) = after.filter(|_| count >= fewest) {
                rest.extend_from_slice(b"null");
                counts.push(count);
                start = after;
                continue;
            }
            values.truncate(before);
        } else if byte == b'"' {
            end = after_string(text, end);
        }
        rest.extend_from_slice(&text[start..end]);
        start = end;
    }
    (rest, values, counts)
}

fn after_string(text: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Reads numbers from `at` on; the place after the bracket that ends them.
fn array(text: &[u8], mut at: usize, values: &mut Vec<f64>) -> Option<usize> {
    loop {
        let (value, after) = number(text, skip_blanks(text, at))?;
        values.push(value);
        at = skip_blanks(text, after);
        match text.get(at)? {
            b',' => at += 1,
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// A finite number as RFC 8259 has it; the parser takes more than that, such as `+1`, `.5`, `nan`.
fn number(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let (value, length) = fast_float2::parse_partial::<f64, _>(&text[at..]).ok()?;
    let written = &text[at..at + length];
    let digits = written.strip_prefix(b"-").unwrap_or(written);
    let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let leads_well = whole == 1 || (whole > 1 && digits[0] != b'0');
    let goes_on_well =
        digits.get(whole) != Some(&b'.') || digits.get(whole + 1).is_some_and(u8::is_ascii_digit);
    (leads_well && goes_on_well && value.is_finite()).then_some((value, at + length))
}
