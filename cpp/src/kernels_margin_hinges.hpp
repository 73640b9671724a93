/// Hinges of some classes of a row against one of its targets, and the lanes that they and their slopes are summed in.
#pragma once

#include <cstddef>
#include <type_traits>

#include "margin_tile.hpp"
#include "ndloss/lanes.hpp"
#include "ndloss/losses/multi_margin.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

static_assert(tile_rows == lanes);

/// Targets of rows with several that are taken side by side: two classes against each are a run.
inline constexpr int abreast = run / 2;

constexpr int power(MarginKind kind) { return kind == MarginKind::one_squared ? 2 : 1; }

/// A sum of slopes that are small whole numbers: exact.
template <class T>
struct Count {
  T head = 0;
};

template <class T>
NDLOSS_INLINE Count<T> operator+(const Count<T>& a, const Count<T>& b) {
  return {a.head + b.head};
}

/// What some classes add to a lane.
template <int P, class T>
struct HingeTally {
  Tally<T> value;
  std::conditional_t<P == 1, Count<T>, Tally<T>> slope;
};

template <int P, class T>
NDLOSS_INLINE HingeTally<P, T> operator+(const HingeTally<P, T>& a, const HingeTally<P, T>& b) {
  return {a.value + b.value, a.slope + b.slope};
}

/// The slopes of one target: across, of one row per lane; along, of one row over all lanes.
template <int P, class T>
struct SlopeLanes : WideLanes<T> {
  NDLOSS_INLINE void add(int l, const Tally<T>& term) { WideLanes<T>::add(l, widen(term)); }

  NDLOSS_INLINE double joined() {
    const math::Pair<double> sum = this->join();
    return math::joined(sum.head, sum.tail);
  }
};

template <class T>
struct SlopeLanes<1, T> {
  T head[lanes];

  NDLOSS_INLINE void clear() {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      head[l] = 0;
    }
  }

  NDLOSS_INLINE void add(int l, const Count<T>& term) { head[l] += term.head; }

  NDLOSS_INLINE double at(int l) const { return static_cast<double>(head[l]); }

  NDLOSS_INLINE double joined() {
#pragma GCC unroll 8
    for (int half = lanes / 2; half > 0; half /= 2) {
#pragma omp simd
      for (int l = 0; l < half; ++l) {
        head[l] += head[l + half];
      }
    }
    return static_cast<double>(head[0]);
  }
};

/// The edges of one target per row.
template <class T>
struct EdgeLanes {
  T head[lanes];
  T tail[lanes];

  NDLOSS_INLINE void set(int l, T margin, T score) {
    const MarginEdge<T> edge = MultiMarginLoss::edge(margin, score);
    head[l] = edge.head;
    tail[l] = edge.tail;
  }
};

/// One class of one row against one target. Its slope is added to those of the targets before.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE HingeTally<power(K), T> observe(const MarginEdge<T>& edge, T times, T score, T& slope) {
  const HingeTerm<T> term = MultiMarginLoss::hinge<power(K)>(edge, score);
  HingeTally<power(K), T> tally;
  if constexpr (K == MarginKind::several) {
    tally.value.head = times * term.value;
    tally.slope.head = times * term.slope;
  } else {
    tally.value.head = term.value;
    tally.slope.head = term.slope;
  }
  if constexpr (J == MarginJob::gradient) {
    slope = K == MarginKind::several ? slope + tally.slope.head : tally.slope.head;
  }
  return tally;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
