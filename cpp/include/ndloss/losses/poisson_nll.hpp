/// Negative log-likelihood of a Poisson distribution, of its rate or the rate's logarithm, with or without Stirling's term.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Negative log-likelihood of a count y, without log y! or, `Full`, with Stirling's approximation of it.
///     loss = e^x - y x,           d loss / dx = e^x - y,            d loss / dy = -x             for a log-rate x
///     loss = x - y log(x + eps),  d loss / dx = 1 - y / (x + eps),  d loss / dy = -log(x + eps)  for a rate x
///     Full, where y > 1:  + y log y - y + log(2 pi y) / 2,  to d loss / dy  + log y + 1 / (2 y)
/// Domain: all of R. A count of 0 contributes nothing times an infinite logarithm, where torch gives NaN; where y <= 1
/// Stirling's term is 0, its slope too (torch: NaN). NaN in, NaN out.
/// Max error: 2 eps times the sum of the magnitudes of the terms above and, of a rate, of y: x + eps is rounded.
/// Source: torch.nn.PoissonNLLLoss; J. Stirling, Methodus differentialis (1730).
template <bool LogInput, bool Full>
struct PoissonNLL {
  double eps = 1e-8;  // of a rate alone

  static constexpr const char* name = LogInput ? (Full ? "poisson_nll_loss_full" : "poisson_nll_loss")
                                               : (Full ? "poisson_nll_loss_rate_full" : "poisson_nll_loss_rate");
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr auto params() { return std::tuple{Param{"eps", &PoissonNLL::eps}}; }

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    const V shifted = LogInput ? input : input + static_cast<V>(eps);
    const V log_rate = LogInput ? input : math::log(shifted);
    const V rate = LogInput ? math::exp(input) : input;
    const bool no_count = (target == V(0)) & (log_rate == -math::infinity<V>);
    const V plain = rate - math::select(no_count, V(0), target * log_rate);
    const V share = target / shifted;
    const V slope = LogInput ? rate - target : V(1) - math::select(no_count, V(0), share);
    const V curvature = LogInput ? rate : share / shifted;
    if constexpr (!Full) {
      return {.value = plain, .grad = {slope, -log_rate}, .curvature = {curvature, V(0)}};
    } else {
      constexpr V half_log_two_pi = V(0.918938533204672741780329736406);
      const bool large = target > V(1);
      const V log_count = math::log(target);
      const V stirling = (target * log_count - target) + (V(0.5) * log_count + half_log_two_pi);
      const V half = V(0.5) / target;
      return {.value = plain + math::select(large, stirling, V(0)),
              .grad = {slope, math::select(large, log_count + half, V(0)) - log_rate},
              .curvature = {curvature, math::select(large, V(1) / target - half / target, V(0))}};
    }
  }
};

using PoissonNLLLoss = PoissonNLL<true, false>;
using PoissonNLLFullLoss = PoissonNLL<true, true>;
using PoissonNLLRateLoss = PoissonNLL<false, false>;
using PoissonNLLRateFullLoss = PoissonNLL<false, true>;

}  // namespace ndloss
