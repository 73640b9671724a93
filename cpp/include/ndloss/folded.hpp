/// Values as parts of which many need one logarithm.
#pragma once

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

/// A value written as linear + log1p(argument) with argument >= 0, so that a sum may take one logarithm for many elements.
template <class V>
struct Folded {
  V linear;
  V argument;

  NDLOSS_INLINE V value() const { return linear + math::log1p_nonnegative(argument); }
};

}  // namespace ndloss
