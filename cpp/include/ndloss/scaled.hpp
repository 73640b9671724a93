/// Non-negative numbers beyond the range of their type: a mantissa and a power of two, side by side.
///
/// What the recursions of sequence losses add and multiply. Next to logarithms, which torch adds there, they need no
/// exponential and no logarithm at a step, and lose a rounding where a logarithm loses one of its own size. Straight lines, as
/// in `math.hpp`. The exponent is a floating number, so that it neither wraps nor ends: a log-probability of -1e30 is a number.
#pragma once

#include <limits>

#include "ndloss/math.hpp"

namespace ndloss::math {

/// mantissa * 2^exponent. Zero is {0, anything down to -inf}; the exponent is never NaN.
template <class V>
struct Scaled {
  V mantissa;
  V exponent;
};

template <class V>
NDLOSS_INLINE constexpr Scaled<V> scaled_zero() {
  return {V(0), -infinity<V>};
}

template <class V>
NDLOSS_INLINE constexpr Scaled<V> scaled_one() {
  return {V(1), V(0)};
}

/// e^x.
/// Types: float, double. Max error: 0.90 ULP of the mantissa; beyond 2^49 (float: 2^20) that of x itself. Range: all.
/// At -0, +0: 1. At -inf: 0. At +inf and what is next to it: NaN. NaN: NaN.
template <class V>
NDLOSS_INLINE Scaled<V> scaled_exp(V x) {
  using R = Real<V>;
  constexpr V far = V(Int<V>(1) << (R::mantissa_bits - 3));
  const V magic = R::round_magic;
  const V whole = fma(x, R::log2e, magic) - magic;
  const V coarse = fma(whole, -R::ln2_hi, x);
  const V r = fma(whole, -R::ln2_lo, coarse);
  const V near_mantissa = exp_of_remainder(Power<V>{r, fma(whole, -R::ln2_lo, coarse - r), V(1)});
  const V product = x * R::log2e;
  const V below = select(product > -infinity<V>, V(1), V(0));
  const bool near = abs(x) < far;
  return {select(near, near_mantissa, select_special(x < V(0), below, nan<V>)),
          select(near, whole, select(x < V(0), product, V(0)))};
}

/// The larger exponent, which is finite even where both numbers are 0.
template <class V>
NDLOSS_INLINE V top_exponent(V a, V b) {
  const V larger = a > b ? a : b;
  return at_least(larger, std::numeric_limits<V>::lowest());
}

/// The mantissa at another exponent, `top`, at or above its own. What is 2^800 times smaller (float: 2^100) is as good as zero
/// in a sum, and no subnormal on the way to it.
template <class V>
NDLOSS_INLINE V aligned(const Scaled<V>& a, V top) {
  constexpr V floor = V(std::numeric_limits<V>::max_exponent) * V(-0.78125);
  const V down = at_least(a.exponent - top, floor);
  return a.mantissa * from_bits<V>(bits(down + power_magic<V>(0)) << Real<V>::mantissa_bits);
}

/// Sums and products do not bring the mantissa back to 1: `normalized` does, every `normal_steps` steps.
template <class V>
NDLOSS_INLINE Scaled<V> operator+(const Scaled<V>& a, const Scaled<V>& b) {
  const V top = top_exponent(a.exponent, b.exponent);
  return {aligned(a, top) + aligned(b, top), top};
}

template <class V>
NDLOSS_INLINE Scaled<V> sum(const Scaled<V>& a, const Scaled<V>& b, const Scaled<V>& c) {
  const V top = top_exponent(a.exponent > b.exponent ? a.exponent : b.exponent, c.exponent);
  return {(aligned(a, top) + aligned(b, top)) + aligned(c, top), top};
}

template <class V>
NDLOSS_INLINE Scaled<V> operator*(const Scaled<V>& a, const Scaled<V>& b) {
  return {a.mantissa * b.mantissa, a.exponent + b.exponent};
}

template <class V>
NDLOSS_INLINE Scaled<V> select(bool condition, const Scaled<V>& yes, const Scaled<V>& no) {
  return {select(condition, yes.mantissa, no.mantissa), select(condition, yes.exponent, no.exponent)};
}

/// So many sums of three and products with an exponential leave a double's mantissa between 2^-32 and 2^134.
inline constexpr int normal_steps = 64;

/// The same number with its mantissa in [3/4, 3/2).
template <class V>
NDLOSS_INLINE Scaled<V> normalized(const Scaled<V>& a) {
  const bool ordinary = (a.mantissa > V(0)) & (a.mantissa < infinity<V>);
  const Int<V> b = bits(a.mantissa);
  const Int<V> field = exponent_field<V>(b);
  return {select(ordinary, from_bits<V>(bits_difference<V>(b, field)), a.mantissa),
          a.exponent + select(ordinary, exponent_value<V>(field), V(0))};
}

/// log of a normalized number.
/// Max error: 1.5 ULP. At 0: -inf. NaN: NaN.
template <class V>
NDLOSS_INLINE V scaled_log(const Scaled<V>& a) {
  using R = Real<V>;
  return fma(a.exponent, R::ln2_hi, fma(a.exponent, R::ln2_lo, log(a.mantissa)));
}

/// The number itself, rounded once where it is subnormal; infinite where it is too large.
template <class V>
NDLOSS_INLINE V unscaled(const Scaled<V>& a) {
  constexpr V limit = V(std::numeric_limits<V>::max_exponent - 24);
  const V first = at_most(at_least(a.exponent, -limit), limit);
  const V second = at_most(at_least(a.exponent - first, -limit), limit);
  const V one = from_bits<V>(bits(first + power_magic<V>(0)) << Real<V>::mantissa_bits);
  const V two = from_bits<V>(bits(second + power_magic<V>(0)) << Real<V>::mantissa_bits);
  return a.mantissa * one * two;
}

}  // namespace ndloss::math
