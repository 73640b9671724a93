/// The fold of one row under softmax: what cross entropy, softmax and log-softmax share.
///
/// Exponentials are taken as 2^bias e^(x - M), where M is the multiple of ln2 nearest to the row's maximum m. The reduction
/// of x - M by multiples of ln2 is exact, so a term far below the maximum is as accurate as one beside it; x - m, rounded,
/// would cost |x - m| units in the last place. The bias keeps every term that matters a normal number. A row that lies far
/// from zero uses M = m instead: there x - m is exact for every x that contributes (Sterbenz).
#pragma once

#include "ndloss/exps.hpp"
#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

template <class V>
struct SoftmaxLimits;

template <>
struct SoftmaxLimits<float> {
  static constexpr float near = 256.0F;   // |m| below this: reduce x itself
  static constexpr float reach = 125.0F;  // e^-125 is nothing beside 1, and 2^64 e^-125 is still normal
};

template <>
struct SoftmaxLimits<double> {
  static constexpr double near = 2048.0;
  static constexpr double reach = 800.0;
};

/// The scale that a row's exponentials are taken in.
template <class V>
struct SoftmaxReference {
  V max;
  V shift;         // subtracted from x before the exponential
  V magic;         // makes the exponential 2^bias e^(x - M)
  V floor;         // the least argument
  V unscale;       // e^(M - m), ...
  V unscale_tail;  // ... and what it has lost

  /// 2^bias e^(x - M).
  NDLOSS_INLINE V exp(V x) const { return math::exp_scaled(math::at_least(x - shift, floor), magic); }

  /// The same of several x.
  template <int N>
  NDLOSS_INLINE math::ScaledExps<V, N> exps(const math::Several<V, N>& x) const {
    return math::exps_scaled(
        math::several<N>([&](int i) __attribute__((always_inline)) { return math::at_least(x.of[i] - shift, floor); }), magic);
  }
};

template <class V>
NDLOSS_INLINE SoftmaxReference<V> softmax_reference(V max) {
  using R = math::Real<V>;
  const bool near = math::abs(max) < SoftmaxLimits<V>::near;
  const bool finite = math::abs(max) < math::infinity<V>;
  const V centre = math::select(near, max, V(0));
  const V k = math::fma(centre, R::log2e, R::round_magic) - R::round_magic;
  const V coarse = math::fma(k, -R::ln2_hi, centre);
  const V r = math::fma(k, -R::ln2_lo, coarse);
  const V r_lost = math::fma(k, -R::ln2_lo, coarse - r);
  const V bend = math::fma(r * r, math::polynomial(R::exp_tail, -r), -r_lost);
  const V tail = bend - r;
  const V head = V(1) + tail;
  return {.max = max,
          .shift = math::select(finite & !near, max, V(0)),
          .magic = math::power_magic<V>(R::exp_bias) - k,
          .floor = centre - SoftmaxLimits<V>::reach,
          .unscale = head,
          .unscale_tail = (tail - (head - V(1))) + (bend - (tail + r))};
}

/// What a fold has found in a row: `rest` = Σ e^(x - m) over all x but one maximum, so that log Σ e^(x - m) = log1p(rest)
/// keeps every digit when one class dominates. All NaN where the row holds NaN or +inf, or nothing but -inf.
struct SoftmaxRow {
  double max;
  double rest;
  double log_total;  // log1p(rest)
  double share;      // P = 2^-bias (stored exponential) share
};

/// `sum` = Σ 2^bias e^(x - M) over all x but as many maxima as `maxima` says, at least one.
template <class T>
NDLOSS_INLINE SoftmaxRow softmax_finish(const SoftmaxReference<T>& reference, double sum, double maxima) {
  const double unscale = static_cast<double>(reference.unscale) + static_cast<double>(reference.unscale_tail);
  const double max = static_cast<double>(reference.max);
  const double all = sum * static_cast<double>(math::Real<T>::unbias) * unscale + (maxima - 1.0);
  const double rest = math::select_special(!(math::abs(max) < math::infinity<double>), math::nan<double>, all);
  return {.max = max, .rest = rest, .log_total = math::log1p_wide<T>(rest), .share = unscale / (1.0 + rest)};
}

}  // namespace ndloss
