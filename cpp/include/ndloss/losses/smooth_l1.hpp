/// Smooth L1: absolute error, rounded off at its tip.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Absolute error with a parabola of width `beta` in place of its tip.
///     r = input - target
///     loss = r^2 / (2 beta)   if |r| < beta
///            |r| - beta / 2   otherwise
/// Domain: input, target in R; beta >= 0. Both branches agree at |r| = beta in value and slope. NaN in, NaN out, gradient too.
/// beta = 0 is the absolute error with its tip: slope 0 at a tie and at NaN. beta = inf is 0 for every finite r.
/// Inside, r / beta is formed first: r^2 overflows where the loss does not.
/// Source: R. Girshick, Fast R-CNN (ICCV 2015), eq. 3; torch.nn.SmoothL1Loss.
struct SmoothL1Loss {
  double beta = 1.0;

  static constexpr const char* name = "smooth_l1_loss";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr bool brief = true;
  static constexpr auto params() { return std::tuple{Param{"beta", &SmoothL1Loss::beta}}; }

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    const V b = static_cast<V>(beta);
    const V r = input - target;
    const V a = math::abs(r);
    const V part = r / b;
    const bool inside = a < b;
    const V tip = math::select(b > V(0), r, V(0));  // NaN, and a tie where beta is 0
    const V slope = math::select(inside, part, math::select(a > V(0), math::copysign(V(1), r), tip));
    const V curvature = math::select(inside, V(1) / b, V(0));
    return {.value = math::select(inside, V(0.5) * part * r, a - V(0.5) * b),
            .grad = {slope, -slope},
            .curvature = {curvature, curvature}};
  }
};

}  // namespace ndloss
