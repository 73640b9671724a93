/// Joining the segments of a row that is too long for one.
#pragma once

#include <cstdint>

#include "ndloss/math.hpp"
#include "softmax_tile.hpp"

namespace ndloss {

/// What the segments of a long row come to together.
struct LongRow {
  SoftmaxRow row;
  double coefficients;
  double distance;
};

/// e^(a - b) for a <= b, with the rounding of the difference put back.
inline double exp_difference(double a, double b) {
  const math::Pair<double> difference = math::two_sum(a, -b);
  return math::exp_nonpositive(difference.head) * (1.0 + difference.tail);
}

inline LongRow merge(const SegmentState* states, std::int64_t count) {
  double max = -math::infinity<double>;
  for (std::int64_t s = 0; s < count; ++s) {
    max = states[s].max > max ? states[s].max : max;
  }
  const bool finite = math::abs(max) < math::infinity<double>;
  const double origin = max == -math::infinity<double> ? 0.0 : max;
  double rest = 0;
  double maxima = 0;
  LongRow result{};
  for (std::int64_t s = 0; s < count; ++s) {
    const SegmentState& state = states[s];
    if (state.max == max) {
      rest += state.rest;
      maxima += 1;
    } else {
      rest += (state.rest + 1.0) * exp_difference(state.max, max);
    }
    const double from = state.max == -math::infinity<double> ? 0.0 : state.max;
    result.coefficients += state.coefficients;
    result.distance += state.distance + math::product_or_zero(state.coefficients, origin - from);
  }
  rest = finite ? rest + (maxima - 1.0) : math::nan<double>;
  result.row = {.max = max, .rest = rest, .log_total = math::log1p_nonnegative(rest), .share = 1.0 / (1.0 + rest)};
  return result;
}

}  // namespace ndloss
