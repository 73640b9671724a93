/// The activations that go with the losses: elementwise maps whose "gradient" is their derivative.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// sigmoid(x) = 1 / (1 + e^-x); the derivative is taken from the output, as torch does: s (1 - s).
/// Source: torch.nn.Sigmoid.
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr int operands = 1;
  static constexpr int inputs = 1;
  static constexpr Domain domains[] = {Domain::real};

  template <class V>
  NDLOSS_INLINE Term<V, 1> operator()(V input) const {
    const V s = math::sigmoid(input);
    const V slope = s * (V(1) - s);
    return {.value = s, .grad = {slope}, .curvature = {slope * (V(1) - V(2) * s)}};
  }
};

/// logsigmoid(x) = log sigmoid(x) = -softplus(-x); its derivative is sigmoid(-x).
/// Source: torch.nn.LogSigmoid.
struct LogSigmoid {
  static constexpr const char* name = "logsigmoid";
  static constexpr int operands = 1;
  static constexpr int inputs = 1;
  static constexpr Domain domains[] = {Domain::real};

  template <class V>
  NDLOSS_INLINE Term<V, 1> operator()(V input) const {
    const V s = math::sigmoid(-input);
    return {.value = -math::softplus(-input), .grad = {s}, .curvature = {-s * (V(1) - s)}};
  }
};

}  // namespace ndloss
