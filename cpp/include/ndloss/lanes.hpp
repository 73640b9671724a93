/// The lanes every kernel sums in: a fixed number, the same for every ISA, so that FMA-capable ones give the same bits.
///
/// A lane adds `run` terms in the compute type, pairwise, before they enter a double: three roundings deep, and none at all on
/// constant data, where adding them one after the other would cost 4.5 units of 2^-24 after 16. In double every addition is
/// compensated.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/math.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

inline constexpr int lanes = 32;
inline constexpr int run = 8;

/// How far ahead of its loads a pass asks memory for what comes.
inline constexpr std::ptrdiff_t prefetch_bytes = 4096;

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

/// The sum of two sums.
template <class T>
NDLOSS_INLINE Tally<T> operator+(const Tally<T>& a, const Tally<T>& b) {
  if constexpr (sizeof(T) == 8) {
    const math::Pair<T> sum = math::two_sum(a.head, b.head);
    return {sum.head, sum.tail + (a.tail + b.tail)};
  } else {
    return {a.head + b.head, T(0)};
  }
}

/// A sum of float terms in double, without compensation; of double terms with it.
struct Plain {
  double head = 0;
  static constexpr double tail = 0;
};

NDLOSS_INLINE Plain operator+(const Plain& a, const Plain& b) { return {a.head + b.head}; }
NDLOSS_INLINE Plain widen(const Tally<float>& tally) { return {static_cast<double>(tally.head)}; }
NDLOSS_INLINE Tally<double> widen(const Tally<double>& tally) { return tally; }

template <class T>
using Wide = decltype(widen(Tally<T>{}));

/// Calls one(0), one(1), ..., one(N - 1) and adds what they return pairwise. A recursion, because a loop of this size is
/// unrolled only after the vectorizer has looked.
template <int N, int First = 0, class One>
NDLOSS_INLINE auto pairwise(const One& one) {
  if constexpr (N == 1) {
    return one(First);
  } else {
    return pairwise<N / 2, First>(one) + pairwise<N - N / 2, First + N / 2>(one);
  }
}

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

/// The lanes of a sum in double, compensated where the terms are doubles.
template <class T>
struct WideLanes {
  static constexpr bool compensated = sizeof(T) == 8;
  double head[lanes];
  double tail[compensated ? lanes : 1];

  NDLOSS_INLINE void clear() {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      head[l] = 0;
      if constexpr (compensated) {
        tail[l] = 0;
      }
    }
  }

  NDLOSS_INLINE void take(const double* heads, const double* tails) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      head[l] = heads[l];
      if constexpr (compensated) {
        tail[l] = tails[l];
      }
    }
  }

  NDLOSS_INLINE void give(double* heads, double* tails) const {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      heads[l] = head[l];
      if constexpr (compensated) {
        tails[l] = tail[l];
      }
    }
  }

  NDLOSS_INLINE void add(int l, const Wide<T>& term) {
    if constexpr (compensated) {
      const math::Pair<double> sum = math::two_sum(head[l], term.head);
      head[l] = sum.head;
      tail[l] += sum.tail + term.tail;
    } else {
      head[l] += term.head;
    }
  }

  /// The sum in one lane.
  NDLOSS_INLINE double at(int l) const {
    if constexpr (compensated) {
      return math::joined(head[l], tail[l]);
    } else {
      return head[l];
    }
  }

  /// Joins the lanes pairwise.
  NDLOSS_INLINE math::Pair<double> join() {
#pragma GCC unroll 8
    for (int half = lanes / 2; half > 0; half /= 2) {
#pragma omp simd
      for (int l = 0; l < half; ++l) {
        if constexpr (compensated) {
          const math::Pair<double> sum = math::two_sum(head[l], head[l + half]);
          head[l] = sum.head;
          tail[l] += tail[l + half] + sum.tail;
        } else {
          head[l] += head[l + half];
        }
      }
    }
    return {head[0], compensated ? tail[0] : 0.0};
  }
};

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
