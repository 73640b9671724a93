/// An unreduced loss as it stands.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// The loss itself: reduces, weighs and masks what another family has already computed element by element.
///     loss = input
/// Domain: all of R. NaN in, NaN out.
struct Identity {
  static constexpr const char* name = "identity";
  static constexpr int operands = 1;
  static constexpr int inputs = 1;
  static constexpr Domain domains[] = {Domain::real};
  static constexpr bool brief = true;

  template <class V>
  NDLOSS_INLINE Term<V, 1> operator()(V input) const {
    return {.value = input, .grad = {V(1)}, .curvature = {V(0)}};
  }
};

}  // namespace ndloss
