/// Negative log likelihood of log-probabilities.
#pragma once

#include <cstdint>
#include <span>

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

/// Minus the weighted log-probability of the target class.
///     loss = -w_y x_y, 0 where y = ignore_index; the weighted mean divides by Σ w_y of the kept rows
///     d loss / dx_c = -w_y [c = y]
/// Only x_y is read. A weight of 0 contributes nothing, whatever x_y holds.
/// Source: torch.nn.NLLLoss.
struct NLLLoss {
  std::span<const double> weight = {};  // one per class, or none
  std::int64_t ignore_index = -100;

  static constexpr const char* name = "nll_loss";

  template <class V>
  NDLOSS_INLINE static V value(V weight, V log_probability) {
    return -math::product_or_zero(weight, log_probability);
  }

  template <class V>
  NDLOSS_INLINE static V slope(V weight) {
    return -weight;
  }
};

}  // namespace ndloss
