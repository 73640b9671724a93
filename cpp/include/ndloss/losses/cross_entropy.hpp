/// Cross entropy of logits with class indices or class probabilities.
#pragma once

#include <cstdint>
#include <span>

#include "ndloss/softmax.hpp"

namespace ndloss {

/// Cross entropy of one row of logits x. Every variant gives each class c a coefficient a_c, with A = Σ a_c:
///     loss = A log Σ_c e^(x_c - m) + Σ_c a_c (m - x_c),     m = max x
///     d loss / dx_c = A P_c - a_c,  d2 loss / dx_c^2 = A P_c (1 - P_c),     P = softmax(x)
/// Index y:        a_c = (1 - eps) w_y [c = y] + eps / C w_c; the weighted mean divides by w_y.
/// Probabilities q: a_c = w_c ((1 - eps) q_c + eps / C); the mean divides by the number of rows; d loss / dq_c is
///                 (1 - eps) w_c (m - x_c + log Σ e^(x - m)), d loss / dw_c is the same with (1 - eps) q_c + eps / C for w_c.
/// A coefficient of 0 contributes nothing, whatever x_c holds. An ignored row (y = ignore_index) is 0 in value and gradient.
/// Domain: all of R; -inf is a class that cannot be; a row with NaN or +inf, or with nothing but -inf, is NaN.
/// Source: torch.nn.CrossEntropyLoss; C. Szegedy et al., Rethinking the Inception Architecture (2016), section 7 (eps).
struct CrossEntropyLoss {
  std::span<const double> weight = {};  // one per class, or none
  std::int64_t ignore_index = -100;
  double label_smoothing = 0.0;

  static constexpr const char* name = "cross_entropy";

  /// The loss, given A and `distance` = Σ a_c (m - x_c).
  NDLOSS_INLINE static double value(const SoftmaxRow& row, double coefficients, double distance) {
    return coefficients * row.log_total + distance;
  }

  /// d loss / dx_c of a class with coefficient a and probability P.
  template <class V>
  NDLOSS_INLINE static V slope(V coefficients, V probability, V coefficient) {
    return coefficients * probability - coefficient;
  }

  /// The same for the target of a row, with 1 - P taken from the other classes where the target is the maximum.
  NDLOSS_INLINE static double slope_at_target(const SoftmaxRow& row, double coefficients, double coefficient, double x,
                                              double probability) {
    const double complement = math::select(x == row.max, row.rest / (1.0 + row.rest), 1.0 - probability);
    return (coefficients - coefficient) * probability - coefficient * complement;
  }

  /// d2 loss / dx_c^2. Only a dominant class has a P above 1/2: its 1 - P comes from `complement`, that of the maximum.
  template <class V>
  NDLOSS_INLINE static V curvature(V coefficients, V probability, V complement) {
    return coefficients * probability * math::select(probability > V(0.5), complement, V(1) - probability);
  }
};

}  // namespace ndloss
