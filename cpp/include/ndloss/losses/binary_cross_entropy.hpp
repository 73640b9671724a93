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

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    constexpr V floor = V(-100);
    constexpr V least_variance = V(1e-12F);
    const V log_on = math::log(input);
    const V log_off = math::log1p(-input);
    const V off = V(1) - target;
    const V variance = math::at_least(input * (V(1) - input), least_variance);
    const V curvature = target / (input * input) + off / ((V(1) - input) * (V(1) - input));
    return {.value = -(target * math::at_least(log_on, floor)) - off * math::at_least(log_off, floor),
            .grad = {(input - target) / variance, log_off - log_on},
            .curvature = {curvature, V(0)}};
  }
};

}  // namespace ndloss
