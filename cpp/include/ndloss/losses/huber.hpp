/// Huber's loss.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Huber loss: quadratic within `delta` of the target, linear beyond it.
///     r = input - target
///     loss = r^2 / 2                  if |r| <= delta
///            delta (|r| - delta / 2)  otherwise
/// Domain: input, target in R; delta > 0. Both branches agree at |r| = delta in value and slope. NaN in, NaN out, gradient too.
/// A weighted mean divides by the number of elements, as in torch.
/// Source: P. J. Huber, Ann. Math. Statist. 35 (1964) 73-101; torch.nn.HuberLoss.
struct HuberLoss {
  double delta = 1.0;

  static constexpr const char* name = "huber_loss";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr bool brief = true;
  static constexpr auto params() { return std::tuple{Param{"delta", &HuberLoss::delta}}; }

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    const V d = static_cast<V>(delta);
    const V r = input - target;
    const V a = math::abs(r);
    const bool outside = a > d;  // false for NaN: the quadratic branch carries it on
    const V slope = math::select(outside, math::copysign(d, r), r);
    const V curvature = math::select(outside, V(0), V(1));
    return {.value = math::select(outside, d * (a - V(0.5) * d), V(0.5) * r * r),
            .grad = {slope, -slope},
            .curvature = {curvature, curvature}};
  }
};

}  // namespace ndloss
