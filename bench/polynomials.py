"""Derive the polynomial coefficients of exp, log, tanh, pow, erf, gelu, sin and cos in ``csrc/vec_math.h``.

All are weighted minimax approximations found by the Remez exchange (Remez, 1934), worked in 50 decimal digits and
rounded to float32, or to float64 for pow, gelu, sin and cos, at the end:

* exp: q(r) = (e^r - 1 - r) / r^2 on |r| <= ln(2)/2, the error weighed by r^2 / e^r, so that it bounds the relative
  error of 1 + r + r^2 q(r).
* log: p(f) = (log(1+f) - f + f^2/2) / f^3 on sqrt(1/2) <= 1+f <= sqrt(2), weighed by f^3 / log(1+f).
* tanh: p(z) = (tanh(x) / x - 1) / z with z = x^2 on |x| <= ln(2)/4, weighed by z x / tanh(x).
* log2: p(z) = log2(m) / s with s = (m-1) / (m+1), z = s^2 on sqrt(1/2) <= m <= sqrt(2), weighed by s / log2(m).
* exp2: 2^r on |r| <= 1/2, weighed by 2^-r.
* erf: q(z) = erf(x) / x - 1 with z = x^2 on |x| <= 1, weighed by x / erf(x).
* erfc: p(u) = log(erfc(t) / u) + t^2 with u = 1 / (1 + t/2) on 0 <= t <= 10.1, where erfc leaves the range of float32.
* normal: p(u) = Phi(-a) e^(a^2/2) / u with u = 1 / (1 + 0.3 a) on 0 <= a <= 15, where gelu leaves it, weighed by 1 / p.
* sin: q(z) = (sin(r) / r - 1) / z with z = r^2 on |r| <= pi/4, weighed by z r / sin(r).
* cos: q(z) = (cos(r) - 1 + z/2) / z^2 with z = r^2 on |r| <= pi/4, weighed by z^2 / cos(r).

Run ``python bench/polynomials.py`` (half a minute; needs mpmath): it prints the coefficients in C, highest power first
as Horner's rule wants them, and the relative error that they leave.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np

mp.mp.dps = 50
GRID = 4000


def remez(function: Callable, weight: Callable, low, high, degree: int, rounds: int = 12) -> list:
    """Return the degree + 1 coefficients, constant first, that minimise max |weight * (function - polynomial)|."""
    count = degree + 2
    points = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (k + mp.mpf(1) / 2) / count) for k in range(count)]
    grid = [low + (high - low) * mp.mpf(k) / GRID for k in range(GRID + 1)]
    coefficients: list = []
    for _ in range(rounds):
        rows = [[x**j for j in range(degree + 1)] + [(-1) ** k / weight(x)] for k, x in enumerate(points)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([function(x) for x in points]))
        coefficients = list(solution)[:-1]
        errors = [weight(x) * (function(x) - mp.polyval(coefficients[::-1], x)) for x in grid]
        points = alternating_extrema(grid, errors, count)
    return coefficients


def alternating_extrema(grid: list, errors: list, count: int) -> list:
    """Return the points of largest |error|, one for each stretch of equal sign; the weakest ends are dropped."""
    best: list = []
    for x, error in zip(grid, errors):
        if best and (error > 0) == (best[-1][1] > 0):
            if abs(error) > abs(best[-1][1]):
                best[-1] = (x, error)
        else:
            best.append((x, error))
    while len(best) > count:
        best.pop(0 if abs(best[0][1]) < abs(best[-1][1]) else -1)
    return [x for x, _ in best]


def tail_of_exp(r):
    """Return (e^r - 1 - r) / r^2, from its series close to 0."""
    if abs(r) < mp.mpf("1e-6"):
        return mp.mpf(1) / 2 + r / 6 + r * r / 24 + r**3 / 120
    return (mp.exp(r) - 1 - r) / (r * r)


def weight_of_exp(r):
    """Return r^2 / e^r, but for 0."""
    return r * r / mp.exp(r) + mp.mpf("1e-30")


def tail_of_log(f):
    """Return (log(1+f) - f + f^2/2) / f^3, from its series close to 0."""
    if abs(f) < mp.mpf("1e-6"):
        return mp.mpf(1) / 3 - f / 4 + f * f / 5 - f**3 / 6
    return (mp.log1p(f) - f + f * f / 2) / f**3


def tail_of_tanh(z):
    """Return (tanh(x) / x - 1) / z for z = x^2, from its series close to 0."""
    x = mp.sqrt(z)
    return (mp.tanh(x) / x - 1) / z if z > mp.mpf("1e-12") else mp.mpf(-1) / 3 + 2 * z / 15


def weight_of_tanh(z):
    """Return z x / tanh(x) for z = x^2, which tends to z."""
    x = mp.sqrt(z)
    return z * x / mp.tanh(x) if z else mp.mpf("1e-30")


def weight_of_log(f):
    """Return f^3 / log(1+f), which tends to f^2."""
    return f**3 / mp.log1p(f) if f else mp.mpf("1e-30")


def log2_over_s(z):
    """Return log2((1+s) / (1-s)) / s for s^2 = z."""
    s = mp.sqrt(z)
    return mp.log((1 + s) / (1 - s), 2) / s if z else 2 / mp.log(2)


def erf_over_x(z):
    """Return erf(x) / x for z = x^2."""
    x = mp.sqrt(z)
    return mp.erf(x) / x if z else 2 / mp.sqrt(mp.pi)


def log_of_erfc(u):
    """Return log(erfc(t) / u) + t^2 for u = 1 / (1 + t/2)."""
    t = 2 * (1 / u - 1)
    return mp.log(mp.erfc(t) / u) + t * t


def tail_of_normal(u):
    """Return Phi(-a) e^(a^2/2) / u for u = 1 / (1 + 0.3 a)."""
    a = (1 / u - 1) / mp.mpf("0.3")
    return mp.erfc(a / mp.sqrt(2)) * mp.exp(a * a / 2) / (2 * u)


def tail_of_sin(z):
    """Return (sin(r) / r - 1) / z for z = r^2."""
    r = mp.sqrt(z)
    return (mp.sin(r) / r - 1) / z if z > mp.mpf("1e-12") else mp.mpf(-1) / 6 + z / 120


def tail_of_cos(z):
    """Return (cos(r) - 1 + z/2) / z^2 for z = r^2."""
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2 if z > mp.mpf("1e-9") else mp.mpf(1) / 24 - z / 720


def report(name: str, function: Callable, weight: Callable, low, high, degree: int, dtype: type = np.float32) -> None:
    """Print the rounded coefficients of one polynomial and the error that is left."""
    coefficients = [mp.mpf(float(dtype(c))) for c in remez(function, weight, low, high, degree)]
    grid = [low + (high - low) * mp.mpf(k) / GRID for k in range(GRID + 1)]
    error = max(abs(weight(x) * (function(x) - mp.polyval(coefficients[::-1], x))) for x in grid)
    print(f"{name}, degree {degree}: relative error {float(error * 2**24):.3g} * 2^-24")
    print("    " + ", ".join(c_literal(float(c), dtype) for c in coefficients[::-1]))


def c_literal(value: float, dtype: type) -> str:
    """Return a hexadecimal floating point constant without needless zeros."""
    mantissa, exponent = value.hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}{'f' if dtype is np.float32 else ''}"


def main() -> None:
    """Print all tables."""
    half, root = mp.log(2) / 2 * mp.mpf("1.0001"), mp.sqrt(2)
    edge = ((root - 1) / (root + 1)) ** 2
    report("exp", tail_of_exp, weight_of_exp, -half, half, 4)
    report("log", tail_of_log, weight_of_log, 1 / root - 1, root - 1, 7)
    report("tanh", tail_of_tanh, weight_of_tanh, mp.mpf(0), (half / 2) ** 2, 2)
    report("log2", log2_over_s, lambda z: 1 / log2_over_s(z), mp.mpf(0), edge, 4, np.float64)
    report("exp2", lambda r: mp.mpf(2) ** r, lambda r: mp.mpf(2) ** -r, -mp.mpf(1) / 2, mp.mpf(1) / 2, 6, np.float64)
    report("erf", lambda z: erf_over_x(z) - 1, lambda z: 1 / erf_over_x(z), mp.mpf(0), mp.mpf(1), 6)
    report("erfc", log_of_erfc, lambda u: mp.mpf(1), 1 / (1 + mp.mpf("5.05")), mp.mpf(1), 9)
    report("exp, in double", tail_of_exp, weight_of_exp, -half, half, 4, np.float64)
    far = 1 / (1 + mp.mpf("4.5"))
    report("normal", tail_of_normal, lambda u: 1 / tail_of_normal(u), far, mp.mpf(1), 9, np.float64)
    eighth = mp.pi / 4 * mp.mpf("1.0001")
    report("sin", tail_of_sin, lambda z: z + mp.mpf("1e-30"), mp.mpf(0), eighth**2, 3, np.float64)
    report("cos", tail_of_cos, lambda z: z * z + mp.mpf("1e-30"), mp.mpf(0), eighth**2, 3, np.float64)
    high = mp.floor(mp.log(2) * 2**15) / 2**15
    for name, value in (("ln(2)", mp.log(2)), ("ln(2) high", high), ("ln(2) low", mp.log(2) - high),
                        ("log2(e)", 1 / mp.log(2))):  # fmt: skip
        print(f"{name}: {c_literal(float(np.float32(float(value))), np.float32)}")


if __name__ == "__main__":
    main()
