/// Multi-label soft margin loss: binary cross entropy on logits, averaged over the classes of a row.
#pragma once

#include "ndloss/losses/binary_cross_entropy_with_logits.hpp"

namespace ndloss {

/// One loss per row: the mean over the last axis of the binary cross entropies of its logits.
///     loss = 1/C sum_c w_c [(1 - y_c) softplus(x_c) + y_c softplus(-x_c)]
/// The term of one class is `BCEWithLogitsLoss`, the mean over the row is the driver's.
/// Source: torch.nn.MultiLabelSoftMarginLoss.
struct MultiLabelSoftMarginLoss {
  static constexpr const char* name = "multilabel_soft_margin_loss";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr bool folds = true;
  static constexpr bool row_mean = true;

  template <class V>
  NDLOSS_INLINE Folded<V> folded(V input, V target) const {
    return BCEWithLogitsLoss{}.folded(input, target);
  }

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const {
    return BCEWithLogitsLoss{}(input, target);
  }
};

}  // namespace ndloss
