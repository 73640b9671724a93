/// The lanes every kernel sums in: a fixed number, the same for every ISA, so that FMA-capable ones give the same bits.
///
/// A lane adds `run` terms in the compute type before they enter a double: longer plain runs would break the error bound on
/// constant data (4.5 units of 2^-24 after 16 additions, 8.5 after 32). In double every addition is compensated.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/math.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

inline constexpr int lanes = 32;
inline constexpr int run = 8;

/// One lane's sum over one run.
template <class T>
struct Tally {
  T head = 0;
  T tail = 0;  // double only: what head has lost

  NDLOSS_INLINE void add(T term) {
    if constexpr (sizeof(T) == 8) {
      const math::Pair<T> sum = math::two_sum(head, term);
      head = sum.head;
      tail += sum.tail;
    } else {
      head += term;
    }
  }
};

/// The lanes of a sum in memory, between the groups of an incomplete run.
template <class T>
struct TallyLanes {
  T head[lanes] = {};
  T tail[lanes] = {};

  NDLOSS_INLINE Tally<T> get(int l) const { return {head[l], tail[l]}; }
  NDLOSS_INLINE void set(int l, const Tally<T>& tally) {
    head[l] = tally.head;
    tail[l] = tally.tail;
  }
};

/// The lanes of a sum in double. For float terms the tails stay zero.
template <class T>
struct WideLanes {
  double head[lanes] = {};
  double tail[lanes] = {};

  NDLOSS_INLINE void add(int l, const Tally<T>& tally) {
    if constexpr (sizeof(T) == 8) {
      const math::Pair<double> sum = math::two_sum(head[l], tally.head);
      head[l] = sum.head;
      tail[l] += sum.tail + tally.tail;
    } else {
      head[l] += static_cast<double>(tally.head);
    }
  }

  NDLOSS_INLINE void add(int l, double term) {
    const math::Pair<double> sum = math::two_sum(head[l], term);
    head[l] = sum.head;
    tail[l] += sum.tail;
  }

  /// Joins the lanes pairwise.
  NDLOSS_INLINE math::Pair<double> join() {
#pragma GCC unroll 8
    for (int half = lanes / 2; half > 0; half /= 2) {
#pragma omp simd
      for (int l = 0; l < half; ++l) {
        const math::Pair<double> sum = math::two_sum(head[l], head[l + half]);
        head[l] = sum.head;
        tail[l] += tail[l + half] + sum.tail;
      }
    }
    return {head[0], tail[0]};
  }
};

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
