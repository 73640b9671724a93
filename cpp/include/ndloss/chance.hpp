/// The probability given to what happened, in a form that keeps its digits at both ends: losses that are its logarithm multiply
/// before one logarithm is taken for many.
#pragma once

#include <limits>

#include "ndloss/folded.hpp"
#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

/// A chance in [0, 1] as one number: itself below 1/2; from there on what it lacks to 1, with a minus sign, also where that is
/// 0. Its loss is -max(log chance, -100), torch's clamp.
template <class V>
struct Chance {
  V number;

  /// Of `on` and `off`, which add up to 1: the smaller one is exact, the larger one may be rounded.
  NDLOSS_INLINE static Chance of(V on, V off) { return {math::select(on >= V(0.5), -off, on)}; }

  /// The loss, folded. From 2^-8 on, log1p((1 - q) / q), which stays exact near q = 1; below, the exponent apart, so that a
  /// product of arguments does not overflow.
  NDLOSS_INLINE Folded<V> folded() const {
    using R = math::Real<V>;
    constexpr V least = V(3.720075976020836e-44);  // e^-100
    constexpr V ln2 = V(0.693147180559945309);
    constexpr int shift = R::mantissa_bits + 1;
    const V q = math::select(likely(), V(1) + number, number);
    const V rest = math::select(likely(), -number, V(1) - number);
    const bool far = q < V(0x1p-8);
    const bool tiny = q < std::numeric_limits<V>::min();
    const math::Int<V> b = math::bits(math::select(tiny, q * V(math::Int<V>(1) << shift), q));
    const math::Int<V> field = math::exponent_field<V>(b);
    const V mantissa = math::from_bits<V>(math::bits_difference<V>(b, field)) * V(0.5);
    const V exponent = math::exponent_value<V>(field) - math::select(tiny, V(shift - 1), V(-1));
    const V divisor = math::select(far, mantissa, q);
    const V dividend = math::select(far, V(1) - mantissa, rest);
    const bool certain = q < least;
    return {.linear = math::select_special(certain, V(100), math::select(far, -(exponent * ln2), V(0))),
            .argument = math::select_special(certain, V(0), dividend / divisor)};
  }

  NDLOSS_INLINE bool likely() const { return math::bits(number) < 0; }

  /// All bits, if the chance is 1/2 or more; else none.
  NDLOSS_INLINE math::Int<V> number_sign() const { return math::bits(number) >> (8 * sizeof(V) - 1); }
};

/// A product of chances, head + lost: what the rounding of `head` has lost is what it lacks to 1 where all are almost certain.
template <class V>
struct ChanceProduct {
  V head;
  V lost;
  math::Int<V> unusable;  // not 0 if a factor is no chance

  /// Below this, products lose digits, and torch's clamp of -100 for each factor may be due.
  static constexpr V least = sizeof(V) == 4 ? V(0x1p-90) : V(0x1p-140);
  /// Whether factors can be multiplied: what a product loses is exact.
  static constexpr bool possible = sizeof(V) == 4 || math::has_fma;

  NDLOSS_INLINE static ChanceProduct of(Chance<V> chance, math::Int<V> unusable = 0) {
    const V whole = math::from_bits<V>((chance.number_sign()) & math::bits(V(1)));
    const V head = whole + chance.number;
    return {head, (whole - head) + chance.number, unusable};
  }

  /// Not 0 if it is below `least`, or NaN, or not made of chances.
  NDLOSS_INLINE math::Int<V> failed() const { return unusable | static_cast<math::Int<V>>(!(head >= least)); }

  NDLOSS_INLINE math::Pair<V> log() const { return math::log_of_pair(head, lost); }
};

template <class V>
NDLOSS_INLINE ChanceProduct<V> operator+(const ChanceProduct<V>& a, const ChanceProduct<V>& b) {
  const V head = a.head * b.head;
  const V crossed = math::fma(a.head, b.lost, a.lost * b.head);
  return {head, crossed + math::product_residual(a.head, b.head, head), a.unusable | b.unusable};
}

}  // namespace ndloss
