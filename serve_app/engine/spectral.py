"""A wide convolution by its spectrum: a twentieth of the arithmetic for ECG-FM's 128 positions.

The discrete Fourier transform of so few tokens is a small matrix product; between the two of them
each frequency mixes its channels by a matrix of its own. Circular convolution equals the padded one
where the period has room for the taps that reach beyond the tokens (Oppenheim and Schafer,
Discrete-Time Signal Processing, section 8.7).
"""

from dataclasses import dataclass

import numpy as np

from .drawing import Convolution
from .protocol import Float32s

__all__ = ["SpectralConvolution", "spectral"]


@dataclass(frozen=True)
class SpectralConvolution:
    """What a convolution over so many tokens is in frequencies; real parts come first.

    Args:
        forward: (2 frequencies, tokens) float32, from tokens to their spectrum.
        real: (frequencies, groups, in, out) float32, what mixes the channels.
        imaginary: The same.
        backward: (tokens, 2 frequencies) float32, from the spectrum to tokens.
    """

    forward: Float32s
    real: Float32s
    imaginary: Float32s
    backward: Float32s


def spectral(layer: Convolution, tokens: int) -> SpectralConvolution:
    """Transform a convolution of stride 1 that gives as many tokens as it takes."""
    out, of_group, kernel = layer.weight.shape
    before, after = layer.padding
    if layer.stride != 1 or before + after != kernel - 1:
        raise ValueError("only convolutions that keep the length have a spectrum here")
    period = tokens + max(before, after)
    frequencies = np.arange(period // 2 + 1)
    angles = 2 * np.pi * np.outer(frequencies, np.arange(tokens)) / period
    taps = 2 * np.pi * np.outer(np.arange(kernel) - before, frequencies) / period
    # All but the lowest and, of an even period, the highest stand for two.
    twice = np.where((frequencies == 0) | (2 * frequencies == period), 1.0, 2.0)[:, None] / period
    weight = layer.weight.reshape(layer.groups, out // layer.groups, of_group, kernel)
    mixed = np.tensordot(weight, np.exp(1j * taps), 1).transpose(3, 0, 2, 1)
    return SpectralConvolution(
        _float32(np.concatenate([np.cos(angles), -np.sin(angles)])),
        _float32(mixed.real),
        _float32(mixed.imag),
        _float32(np.concatenate([twice * np.cos(angles), -twice * np.sin(angles)]).T),
    )


def _float32(array: np.ndarray) -> Float32s:
    return np.ascontiguousarray(array, np.float32)
