/// Binary cross entropy on probabilities.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Binary cross entropy of a probability.
///     loss = -y max(log x, -100) - (1 - y) max(log(1 - x), -100)
///     d loss / dx = (x - y) / max(x (1 - x), 1e-12),  d loss / dy = log(1 - x) - log x
/// Domain: input and target in [0, 1]. The clamp at -100 and the floor of 1e-12 (the float32 number, in float64 too) are
/// torch's: a certain wrong answer costs 100, and its slope is finite. log(1 - x) is log1p(-x), exact for small x.
/// Source: torch.nn.BCELoss; C. M. Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.90.
struct BCELoss {
  static constexpr const char* name = "binary_cross_entropy";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::probability, Domain::probability};
  static constexpr bool folds = true;

  /// A soft target needs both logarithms, each times its own number.
  template <class V>
  NDLOSS_INLINE bool foldable(V /*input*/, V target) const {
    return (target == V(0)) | (target == V(1));
  }

  template <class V>
  NDLOSS_INLINE Folded<V> folded(V input, V target) const {
    const bool on = target == V(1);
    const V off = V(1) - input;
    return minus_log(math::select(on, input, off), math::select(on, off, input));
  }

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    constexpr V floor = V(-100);
    constexpr V least_variance = V(1e-12F);
    const V log_on = log_of(input);
    const V log_off = log_of_rest(input);
    const V off = V(1) - target;
    const V variance = math::at_least(input * (V(1) - input), least_variance);
    const V curvature = over_square(target, input) + over_square(off, V(1) - input);
    return {.value = -(target * math::at_least(log_on, floor)) - off * math::at_least(log_off, floor),
            .grad = {(input - target) / variance, log_off - log_on},
            .curvature = {curvature, V(0)}};
  }

 private:
  // Without the special cases of `log`, which a probability does not have. gcc keeps them packed in double, but not these.
  template <class V>
  static constexpr bool restricted = sizeof(V) == sizeof(float);

  /// log x
  template <class V>
  NDLOSS_INLINE static V log_of(V x) {
    if constexpr (restricted<V>) {
      const V log = math::select_special(x == V(0), -math::infinity<V>, math::log_of_probability(x));
      return math::select_special(in_domain(Domain::probability, x), log, math::nan<V>);
    } else {
      return math::log(x);
    }
  }

  /// log(1 - x)
  template <class V>
  NDLOSS_INLINE static V log_of_rest(V x) {
    if constexpr (restricted<V>) {
      const V log = math::select_special(x == V(1), -math::infinity<V>, math::log1p_finite(-x));
      return math::select_special(in_domain(Domain::probability, x), log, math::nan<V>);
    } else {
      return math::log1p(-x);
    }
  }

  /// y / x^2, which neither underflows on the way nor asks for x where y is 0.
  template <class V>
  NDLOSS_INLINE static V over_square(V y, V x) {
    return math::select(y == V(0), V(0), y / x / x);
  }

  /// -max(log q, -100) from q and 1 - q. From 2^-8 on, log1p((1 - q) / q), which stays exact near q = 1; below, the exponent
  /// apart, so that a product of arguments does not overflow.
  template <class V>
  NDLOSS_INLINE static Folded<V> minus_log(V q, V rest) {
    using R = math::Real<V>;
    constexpr V least = V(3.720075976020836e-44);  // e^-100
    constexpr V ln2 = V(0.693147180559945309);
    constexpr int shift = R::mantissa_bits + 1;
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
};

}  // namespace ndloss
