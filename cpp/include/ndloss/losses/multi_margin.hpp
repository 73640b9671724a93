/// Multi-class margin loss of class scores, and the hinge that it shares with the multi-label one.
#pragma once

#include <cstdint>
#include <span>

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

/// What a class's score is added to: margin - x_y, and what its rounding has lost.
template <class V>
struct MarginEdge {
  V head;
  V tail;
};

/// One class against one target: loss, and its derivative for the class's score (its negative is the target's).
template <class V>
struct HingeTerm {
  V value;
  V slope;
};

/// Every class but the target is to stay `margin` below it:
///     z_c = margin - x_y + x_c
///     loss = w_y / C Σ_{c != y} max(0, z_c)^p,     p = 1 or 2
///     d loss / dx_c = w_y / C (1 or 2 z_c) where z_c > 0, else 0;  d loss / dx_y = -Σ of these
///     d2 loss / dx_c^2 = 0 (p = 1), 2 w_y / C [z_c > 0] (p = 2), at y their sum
/// The mean divides by the number of rows. At z_c = 0 the gradient is 0. A NaN is no violation, and a weight of 0 contributes
/// nothing, whatever the scores. z_c is taken to about 1 ULP however much cancels in it.
/// Source: torch.nn.MultiMarginLoss; J. Weston, C. Watkins, Multi-class support vector machines (1998), eq. 3.
struct MultiMarginLoss {
  std::int64_t p = 1;
  double margin = 1.0;
  std::span<const double> weight = {};  // one per class, or none

  static constexpr const char* name = "multi_margin_loss";

  /// Kept finite or infinite: inf - inf in the lost part would be NaN.
  template <class V>
  NDLOSS_INLINE static MarginEdge<V> edge(V margin, V target_score) {
    const math::Pair<V> difference = math::two_sum(margin, -target_score);
    const bool finite = math::abs(difference.head) < math::infinity<V>;
    return {difference.head, math::select(finite, difference.tail, V(0))};
  }

  /// Where x_c cancels `head`, their sum is exact and `tail` restores what the edge has lost.
  template <int P, class V>
  NDLOSS_INLINE static HingeTerm<V> hinge(const MarginEdge<V>& edge, V score) {
    const V z = (score + edge.head) + edge.tail;
    const bool violated = z > V(0);
    const V rise = math::select(violated, z, V(0));
    if constexpr (P == 1) {
      return {rise, math::select(violated, V(1), V(0))};
    } else {
      return {rise * rise, V(2) * rise};
    }
  }

  /// The second derivative of a squared hinge, from its slope.
  template <class V>
  NDLOSS_INLINE static V curvature(V slope) {
    return math::select(slope > V(0), V(2), V(0));
  }

  /// The loss of a row, or its factor on slopes, from the sum over classes.
  NDLOSS_INLINE static double value(double sum, double weight, double classes) { return weight * sum / classes; }
};

}  // namespace ndloss
