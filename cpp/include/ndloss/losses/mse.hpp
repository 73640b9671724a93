/// Mean squared error.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Squared difference.
///     loss = (input - target)^2
/// Domain: all of R. NaN in, NaN out, gradient too; inf - inf is NaN.
/// A weighted mean divides by the sum of the weights, as in torch.
/// Source: C. F. Gauss, Theoria combinationis observationum (1823); torch.nn.MSELoss.
struct MSELoss {
  static constexpr const char* name = "mse_loss";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr bool brief = true;
  static constexpr bool weighted_mean = true;

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    const V r = input - target;
    const V slope = V(2) * r;
    return {.value = r * r, .grad = {slope, -slope}, .curvature = {V(2), V(2)}};
  }
};

}  // namespace ndloss
