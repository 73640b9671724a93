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
  static constexpr bool batch_mean = true;
  static constexpr Domain domains[] = {Domain::real, Domain::real};

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    if constexpr (LogTarget) {
      const math::RaisedExp<V> power = math::exp_raised(target);
      const V distance = target - input;
      const bool absent = (target < math::Real<V>::raised_floor) & (input == input);
      const auto term = [&](V factor) { return math::select(absent, V(0), power.times(factor)); };
      return {
          .value = term(distance), .grad = {-power.value(), term(distance + V(1))}, .curvature = {V(0), term(distance + V(2))}};
    } else {
      const V distance = math::log(target) - input;
      const bool absent = (target == V(0)) & (input == input);
      const V slope = math::select_special(target == math::infinity<V>, math::nan<V>, distance + V(1));
      return {.value = math::select(absent, V(0), target * distance),
              .grad = {-target, math::select(target <= V(0), V(0), slope)},
              .curvature = {V(0), math::select(target <= V(0), V(0), V(1) / target)}};
    }
  }
};

using KLDivLoss = KLDivergence<false>;
using KLDivLogTargetLoss = KLDivergence<true>;

}  // namespace ndloss
