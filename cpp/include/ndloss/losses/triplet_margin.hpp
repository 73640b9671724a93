/// Triplet margin loss.
#pragma once

#include "ndloss/elementwise.hpp"
#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

/// The loss of three distances, whatever they are distances of.
struct TripletOfDistances {
  double value;
  double by_positive;  // derivative by d(anchor, positive): 1 or 0, ...
  double by_negative;  // ... by d(anchor, negative), ...
  double by_swapped;   // ... by d(positive, negative)
};

/// An anchor is to be nearer to its positive than to its negative, by a margin.
///     d(a, b) = ||a - b + eps||_p over the features, eps added with its sign
///     loss    = max(0, margin + d(anchor, positive) - d(anchor, negative))
///     swap: the nearer of d(anchor, negative) and d(positive, negative) stands for the last; equal ones share its derivative.
/// The derivative passes where the loss is exactly 0, as torch's.
/// Domain: all of R; margin > 0; p any real number, inf or -inf. NaN in, NaN out.
/// Source: V. Balntas et al., Learning local feature descriptors with triplets (2016); torch.nn.TripletMarginLoss.
struct TripletMarginLoss {
  double margin = 1.0;
  double p = 2.0;
  double eps = 1e-6;
  bool swap = false;

  static constexpr const char* name = "triplet_margin_loss";

  NDLOSS_INLINE static TripletOfDistances of(double margin, bool swap, double positive, double negative, double swapped) {
    const bool first = !swap | (negative < swapped);
    const bool tie = swap & (negative == swapped);
    const double share = math::select(first, 1.0, math::select(tie, 0.5, 0.0));
    const bool unordered = swap & (negative != negative);
    const double nearest = math::select(first | unordered, negative, swapped);
    const double excess = (margin + positive) - nearest;
    const double on = math::select(excess >= 0.0, 1.0, 0.0);
    return {math::at_least(excess, 0.0), on, -on * share, -on * (1.0 - share)};
  }
};

/// The same of distances that somebody else has computed.
struct TripletMarginOfDistances {
  double margin = 1.0;

  static constexpr const char* name = "triplet_margin_of_distances";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr Domain domains[] = {Domain::real, Domain::real};
  static constexpr auto params() { return std::tuple{Param{"margin", &TripletMarginOfDistances::margin}}; }

  template <class V>
  NDLOSS_INLINE Term<V, 2> operator()(V positive, V negative) const {
    const TripletOfDistances found =
        TripletMarginLoss::of(margin, false, static_cast<double>(positive), static_cast<double>(negative), 0.0);
    return {.value = static_cast<V>(found.value),
            .grad = {static_cast<V>(found.by_positive), static_cast<V>(found.by_negative)},
            .curvature = {V(0), V(0)}};
  }
};

/// With the distance of positive and negative beside them.
struct TripletMarginOfSwappedDistances {
  double margin = 1.0;

  static constexpr const char* name = "triplet_margin_of_swapped_distances";
  static constexpr int operands = 3;
  static constexpr int inputs = 3;
  static constexpr Domain domains[] = {Domain::real, Domain::real, Domain::real};
  static constexpr auto params() { return std::tuple{Param{"margin", &TripletMarginOfSwappedDistances::margin}}; }

  template <class V>
  NDLOSS_INLINE Term<V, 3> operator()(V positive, V negative, V swapped) const {
    const TripletOfDistances found = TripletMarginLoss::of(margin, true, static_cast<double>(positive),
                                                           static_cast<double>(negative), static_cast<double>(swapped));
    return {.value = static_cast<V>(found.value),
            .grad = {static_cast<V>(found.by_positive), static_cast<V>(found.by_negative), static_cast<V>(found.by_swapped)},
            .curvature = {V(0), V(0), V(0)}};
  }
};

}  // namespace ndloss
