/// Margin ranking loss: which of two scores should be the higher.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Hinge loss of the difference of two scores; y = 1 wants the first to be higher by `margin`, y = -1 the second.
///     z = margin - y (x1 - x2)
///     loss = max(0, z),  and where z >= 0:  d loss / dx1 = -y,  d loss / dx2 = y,  d loss / dy = -(x1 - x2)
/// Domain: all of R; y need not be +-1. At z = 0 the gradient passes, as in torch; where z is NaN the loss is, and 0 times the
/// slope passes.
/// Max error: 1.5 eps (|margin| + |y (x1 - x2)|).
/// Source: torch.nn.MarginRankingLoss; R. Herbrich, T. Graepel, K. Obermayer, Large margin rank boundaries for ordinal
/// regression (2000).
struct MarginRankingLoss {
  double margin = 0.0;

  static constexpr const char* name = "margin_ranking_loss";
  static constexpr int operands = 3;
  static constexpr int inputs = 3;
  static constexpr Domain domains[] = {Domain::real, Domain::real, Domain::real};
  static constexpr bool brief = true;
  static constexpr auto params() { return std::tuple{Param{"margin", &MarginRankingLoss::margin}}; }

  template <class V>
  NDLOSS_INLINE Term<V, 3> operator()(V input1, V input2, V target) const {
    const V r = input1 - input2;
    const V z = static_cast<V>(margin) - target * r;
    const V gate = math::select(z >= V(0), V(1), V(0));
    const V slope = target * gate;
    return {.value = math::at_least(z, V(0)), .grad = {-slope, slope, -r * gate}, .curvature = {V(0), V(0), V(0)}};
  }
};

}  // namespace ndloss
