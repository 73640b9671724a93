/// Kullback-Leibler divergence of log-probabilities from a target distribution, in probabilities or their logarithms.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// One term of the divergence, with x the input, a log-probability, and y the target.
///     loss = y (log y - x),        d loss / dx = -y,    d loss / dy = log y + 1 - x       for a probability y
///     loss = e^y (y - x),          d loss / dx = -e^y,  d loss / dy = e^y (y - x + 1)     for a log-probability y
/// torch forms y log y - y x, which loses what the two have in common; here one difference is rounded once.
/// Domain: all of R. A zero probability contributes 0 however unlikely the input (-inf), where torch gives NaN; a negative one
/// NaN. The slope by a probability of 0 or less is 0, where torch gives NaN. NaN in, NaN out.
/// Max error: 1.5 eps y (|log y| + |x|), of the log-probability form 3 ULP.
/// Source: S. Kullback, R. A. Leibler, Ann. Math. Statist. 22 (1951) 79-86; torch.nn.KLDivLoss.
template <bool LogTarget>
struct KLDivergence {
  static constexpr const char* name = LogTarget ? "kl_div_log_target" : "kl_div";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real};

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    const V p = LogTarget ? math::exp(target) : target;
    const V log_p = LogTarget ? target : math::log(target);
    const V distance = log_p - input;
    const bool absent = (p == V(0)) & (input == input);
    const V value = math::select(absent, V(0), p * distance);
    if constexpr (LogTarget) {
      return {.value = value,
              .grad = {-p, math::select(absent, V(0), p * (distance + V(1)))},
              .curvature = {V(0), math::select(absent, V(0), p * (distance + V(2)))}};
    } else {
      const V slope = math::select_special(p == math::infinity<V>, math::nan<V>, distance + V(1));
      return {.value = value,
              .grad = {-p, math::select(p <= V(0), V(0), slope)},
              .curvature = {V(0), math::select(p <= V(0), V(0), V(1) / p)}};
    }
  }
};

using KLDivLoss = KLDivergence<false>;
using KLDivLogTargetLoss = KLDivergence<true>;

}  // namespace ndloss
