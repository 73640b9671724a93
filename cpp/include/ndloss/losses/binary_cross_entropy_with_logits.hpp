/// Binary cross entropy on logits, with and without a weight for the positive class.
#pragma once

#include "ndloss/elementwise.hpp"

namespace ndloss {

/// Binary cross entropy of a logit x, with y the target and p the weight of the positive class (1 if there is none).
///     loss = (1 - y) softplus(x) + y p softplus(-x)
///          = a |x| + (1 - y + y p) log1p(e^-|x|)     with a = 1 - y if x > 0, else y p
///     d loss / dx = (1 - y) sigmoid(x) - y p sigmoid(-x),  d loss / dy = -x + (p - 1) softplus(-x)
/// torch's (1 - y) x + q softplus(-x) cancels for negative x: 1 % of a loss of 4.5e-5 is wrong at x = -10 in float32.
/// Domain: all of R; targets outside [0, 1] are used as they are. A zero coefficient times an infinite logit is 0, which
/// gives the limits at +-inf where torch gives NaN.
/// Source: torch.nn.BCEWithLogitsLoss.
template <bool HasPosWeight>
struct BCEWithLogits {
  static constexpr const char* name =
      HasPosWeight ? "binary_cross_entropy_with_logits_pos_weight" : "binary_cross_entropy_with_logits";
  static constexpr int operands = HasPosWeight ? 3 : 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real, Domain::real};
  static constexpr bool folds = !HasPosWeight;

  template <class V>
  NDLOSS_INLINE Folded<V> folded(V input, V target) const {
    const V away = math::select(input > V(0), V(1) - target, target);
    const V distance = math::abs(input);
    return {.linear = math::product_or_zero(away, distance), .argument = math::exp_nonpositive(-distance)};
  }

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target) const
    requires(!HasPosWeight)
  {
    const Folded<V> parts = folded(input, target);
    const Sides<V> sides = sigmoids(input, parts.argument);
    return {.value = parts.value(),
            .grad = {(V(1) - target) * sides.on - target * sides.off, -input},
            .curvature = {sides.on * sides.off, V(0)}};
  }

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V input, V target, V pos_weight) const
    requires HasPosWeight
  {
    const V off_weight = V(1) - target;
    const V on_weight = target * pos_weight;
    const V both = off_weight + on_weight;
    const V distance = math::abs(input);
    const V u = math::exp_nonpositive(-distance);
    const V near = math::log1p_nonnegative(u);
    const V softplus_minus = near + math::select(input < V(0), distance, V(0));
    const Sides<V> sides = sigmoids(input, u);
    return {.value = math::product_or_zero(math::select(input > V(0), off_weight, on_weight), distance) + both * near,
            .grad = {off_weight * sides.on - on_weight * sides.off,
                     math::product_or_zero(pos_weight - V(1), softplus_minus) - input},
            .curvature = {both * sides.on * sides.off, V(0)}};
  }

 private:
  template <class V>
  struct Sides {
    V on;   // sigmoid(x)
    V off;  // sigmoid(-x)
  };

  /// Both sigmoids from u = e^-|x|, neither by subtraction.
  template <class V>
  NDLOSS_INLINE static Sides<V> sigmoids(V input, V u) {
    const V larger = V(1) / (V(1) + u);
    const V smaller = u * larger;
    return {.on = math::select(input < V(0), smaller, larger), .off = math::select(input < V(0), larger, smaller)};
  }
};

using BCEWithLogitsLoss = BCEWithLogits<false>;
using BCEWithLogitsPosWeightLoss = BCEWithLogits<true>;

}  // namespace ndloss
