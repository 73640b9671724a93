/// Binary cross entropy on probabilities.
#pragma once

#include "ndloss/chance.hpp"
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
  static constexpr bool folds_chances = true;

  /// A soft target needs both logarithms, each times its own number. On the bits: -0 is not folded, and compares with nothing.
  template <class V>
  NDLOSS_INLINE math::Int<V> unfoldable(V input, V target) const {
    const math::Int<V> x = math::bits(input);
    const math::Int<V> outside = (x | math::bits_difference<V>(math::bits(V(1)), x)) >> (8 * sizeof(V) - 1);
    return outside | (target == V(1) ? 0 : math::bits(target));
  }

  template <class V>
  NDLOSS_INLINE Chance<V> folded(V input, V target) const {
    const bool on = target == V(1);
    const V off = V(1) - input;
    return Chance<V>::of(math::select(on, input, off), math::select(on, off, input));
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
};

}  // namespace ndloss
