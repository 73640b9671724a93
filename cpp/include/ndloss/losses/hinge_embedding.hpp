/// Hinge loss of distances between pairs that belong together or do not.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Hinge loss of a distance x: its size for a pair that belongs together (y = 1), what it lacks to `margin` for one that does
/// not (y = -1).
///     loss = [y != 1] max(0, margin - x) + [y != -1] x
/// Domain: all of R; any other y has both terms. At x = margin the slope is that of the hinge's inner side, as in torch; the
/// hinge passes no gradient to NaN, whose value is NaN.
/// Source: torch.nn.HingeEmbeddingLoss; R. Hadsell, S. Chopra, Y. LeCun, Dimensionality reduction by learning an invariant
/// mapping (CVPR 2006).
struct HingeEmbeddingLoss {
  double margin = 1.0;

  static constexpr const char* name = "hinge_embedding_loss";
  static constexpr int operands = 2;
  static constexpr int inputs = 1;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr bool brief = true;
  static constexpr auto params() { return std::tuple{Param{"margin", &HingeEmbeddingLoss::margin}}; }

  template <class V>
  NDLOSS_INLINE Term<V, 1> operator()(V input, V target) const {
    const V lack = static_cast<V>(margin) - input;
    const bool apart = target != V(1);
    const bool together = target != V(-1);
    const V falling = math::select(lack >= V(0), V(-1), V(0));
    return {.value = math::select(apart, math::at_least(lack, V(0)), V(0)) + math::select(together, input, V(0)),
            .grad = {math::select(apart, falling, V(0)) + math::select(together, V(1), V(0))},
            .curvature = {V(0)}};
  }
};

}  // namespace ndloss
