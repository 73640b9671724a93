/// Multi-label margin loss of class scores.
#pragma once

#include "ndloss/losses/multi_margin.hpp"

namespace ndloss {

/// Every target is to stay 1 above every class that is none:
///     loss = 1 / C Σ_{k in T} Σ_{c not in T} max(0, 1 - x_k + x_c)
///     d loss / dx_c += 1 / C, d loss / dx_k -= 1 / C for every pair with 1 - x_k + x_c > 0
/// T are the leading non-negative entries of the row's target, which is padded with -1; a label that stands there twice counts
/// twice. Entries behind the first -1 are not used, but must be -1 or a class too. Hinge, ties and NaN as in MultiMarginLoss.
/// Source: torch.nn.MultiLabelMarginLoss; A. Elisseeff, J. Weston, A kernel method for multi-labelled classification (2001).
struct MultiLabelMarginLoss {
  static constexpr const char* name = "multilabel_margin_loss";
  static constexpr double margin = 1.0;
  static constexpr int lowest_label = -1;
};

}  // namespace ndloss
