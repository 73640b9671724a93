/// Cosine embedding loss.
#pragma once

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

/// Pulls two vectors together (y = 1) or pushes their cosine below the margin (y = -1). Any other y gives 0.
///     cos  = sum x1 x2 / sqrt((sum x1^2 + 1e-12) (sum x2^2 + 1e-12))
///     loss = 1 - cos              if y = 1
///            max(0, cos - margin) if y = -1
///     d loss / d cos = -1, or 1 where cos - margin >= 0
/// Domain: all of R. NaN in, NaN out. A vector of zeros has cosine 0 and a huge gradient.
/// Source: torch.nn.CosineEmbeddingLoss.
struct CosineEmbeddingLoss {
  double margin = 0.0;

  static constexpr const char* name = "cosine_embedding_loss";

  NDLOSS_INLINE double value(double cosine, double label) const {
    const double beyond = math::at_least(cosine - margin, 0.0);
    return math::select(label == 1.0, 1.0 - cosine, math::select(label == -1.0, beyond, 0.0));
  }

  /// The loss's derivative by the cosine.
  NDLOSS_INLINE double slope(double cosine, double label) const {
    return math::select(label == 1.0, -1.0, math::select((label == -1.0) & (cosine - margin >= 0.0), 1.0, 0.0));
  }
};

}  // namespace ndloss
