/// Soft margin loss: logistic regression with answers of 1 and -1.
#pragma once

#include "ndloss/losses/binary_cross_entropy_with_logits.hpp"

namespace ndloss {

/// Logistic loss of a score x and an answer y in {-1, 1}.
///     loss = log(1 + e^(-y x)) = softplus(-y x),  d loss / dx = -y sigmoid(-y x)
/// It is the binary cross entropy of the logit -y x with target 0, which neither overflows nor cancels: torch's
/// log(1 + e^(-y x)) is inf from y x = -89 on in float32, and its gradient NaN.
/// Domain: all of R. NaN in, NaN out.
/// Source: torch.nn.SoftMarginLoss.
struct SoftMarginLoss {
  static constexpr const char* name = "soft_margin_loss";
  static constexpr int operands = 2;
  static constexpr int inputs = 1;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr bool folds = true;

  template <class V>
  NDLOSS_INLINE Folded<V> folded(V input, V target) const {
    return BCEWithLogitsLoss{}.folded(-target * input, V(0));
  }

  template <class V>
  NDLOSS_INLINE Term<V, 1> operator()(V input, V target) const {
    const Term<V, 2> wrong = BCEWithLogitsLoss{}(-target * input, V(0));
    return {.value = wrong.value, .grad = {-target * wrong.grad[0]}, .curvature = {target * target * wrong.curvature[0]}};
  }
};

}  // namespace ndloss
