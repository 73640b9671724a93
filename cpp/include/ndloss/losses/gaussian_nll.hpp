/// Negative log-likelihood of a normal distribution with its variance predicted too.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Negative log-likelihood of a target y under a mean x and a variance.
///     v = max(var, eps)
///     loss = (log v + (x - y)^2 / v) / 2,  `full`: + log(2 pi) / 2
///     d loss / dx = (x - y) / v,  d loss / d var = (1 / v - (x - y)^2 / v^2) / 2
/// Domain: x, y in R; var >= 0, checked. The gradient passes through the clamp at eps, as in torch. NaN in, NaN out.
/// The quotient (x - y) / v is formed first: (x - y)^2 overflows where the loss does not.
/// Max error: 2 eps (|log v| + (x - y)^2 / v) / 2.
/// Source: D. A. Nix, A. S. Weigend, Estimating the mean and variance of the target probability distribution (ICNN 1994),
/// eq. 4; torch.nn.GaussianNLLLoss.
struct GaussianNLLLoss {
  bool full = false;
  double eps = 1e-6;

  static constexpr const char* name = "gaussian_nll_loss";
  static constexpr int operands = 3;
  static constexpr int inputs = 3;
  static constexpr Domain domains[] = {Domain::real, Domain::real, Domain::non_negative};
  static constexpr auto params() {
    return std::tuple{Param{"full", &GaussianNLLLoss::full}, Param{"eps", &GaussianNLLLoss::eps}};
  }

  template <class V>
  NDLOSS_INLINE Term<V, 3> operator()(V input, V target, V var) const {
    const V constant = static_cast<V>(full ? 0.918938533204672741780329736406 : 0.0);
    const V v = math::at_least(var, static_cast<V>(eps));
    const V r = input - target;
    const V quotient = r / v;
    const V reciprocal = V(1) / v;
    const V square = quotient * quotient;
    return {.value = V(0.5) * (math::log(v) + r * quotient) + constant,
            .grad = {quotient, -quotient, V(0.5) * (reciprocal - square)},
            .curvature = {reciprocal, reciprocal, (square - V(0.5) * reciprocal) * reciprocal}};
  }
};

}  // namespace ndloss
