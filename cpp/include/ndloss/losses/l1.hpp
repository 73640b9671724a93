/// Mean absolute error.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Absolute difference.
///     r = input - target
///     loss = |r|,  d loss / d input = sign(r)
/// Domain: all of R. At a tie, and at NaN, the slope is 0, as in torch; the value of NaN is NaN, as is inf - inf.
/// A weighted mean divides by the sum of the weights, as in torch.
/// Source: P. S. Laplace, Memoire sur la probabilite des causes (1774); torch.nn.L1Loss.
struct L1Loss {
  static constexpr const char* name = "l1_loss";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr bool brief = true;
  static constexpr bool weighted_mean = true;

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    const V r = input - target;
    const V slope = math::select(r > V(0), V(1), math::select(r < V(0), V(-1), V(0)));
    return {.value = math::abs(r), .grad = {slope, -slope}, .curvature = {V(0), V(0)}};
  }
};

}  // namespace ndloss
