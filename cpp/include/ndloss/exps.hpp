/// Several exponentials at once: the same function as of one, in an order that leaves nothing to wait for.
#pragma once

#include <cstddef>
#include <utility>

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss::math {

/// Numbers that are worked on side by side.
template <class V, int N>
struct Several {
  V of[N];
};

/// one(0), ..., one(N - 1), called in this order. A pack, because a loop would be unrolled only after the vectorizer has
/// looked.
template <int N, class One>
NDLOSS_INLINE auto several(const One& one) {
  return [&]<int... I>(std::integer_sequence<int, I...> /*indices*/) __attribute__((always_inline)) {
    return Several<decltype(one(0)), N>{{one(I)...}};
  }(std::make_integer_sequence<int, N>{});
}

/// Horner's rule for several x at once, from the coefficients below `Left` on; `p` is what those above have come to.
template <std::size_t Left, class V, std::size_t M, int N>
NDLOSS_INLINE Several<V, N> horner(const V (&c)[M], const Several<V, N>& x, const Several<V, N>& p) {
  if constexpr (Left == 0) {
    return p;
  } else {
    return horner<Left - 1>(
        c, x, several<N>([&](int i) __attribute__((always_inline)) { return fma(p.of[i], x.of[i], c[Left - 1]); }));
  }
}

/// polynomial of several x at once.
template <class V, std::size_t M, int N>
NDLOSS_INLINE Several<V, N> polynomials(const V (&c)[M], const Several<V, N>& x) {
  if constexpr (M <= horner_coefficients) {
    return horner<M - 1>(c, x, several<N>([&](int /*i*/) __attribute__((always_inline)) { return c[M - 1]; }));
  } else {
    return several<N>([&](int i) __attribute__((always_inline)) { return polynomial(c, x.of[i]); });
  }
}

/// Exponentials in two parts, whose product is exact: fma adds it to another term and rounds once.
template <class V, int N>
struct ScaledExps {
  Several<V, N> mantissa;
  Several<V, N> scale;

  NDLOSS_INLINE V value(int i) const { return mantissa.of[i] * scale.of[i]; }

  NDLOSS_INLINE V sum(int i, int j) const { return fma(mantissa.of[i], scale.of[i], value(j)); }
};

/// exp_scaled of several t at once, with its bits. Every step of an exponential waits for the one before: side by side, they
/// have other steps to wait with than those of one more exponential far ahead.
/// Types: float, double. Max error: 0.90 ULP float, 0.90 double. NaN: NaN.
template <class V, int N>
NDLOSS_INLINE ScaledExps<V, N> exps_scaled(const Several<V, N>& t, V magic) {
  using R = Real<V>;
  const auto power = several<N>([&](int i) __attribute__((always_inline)) { return split_power(t.of[i], magic); });
  const auto r = several<N>([&](int i) __attribute__((always_inline)) { return power.of[i].r; });
  const auto tail = polynomials(R::exp_tail, r);
  return {several<N>([&](int i) __attribute__((always_inline)) { return exp_of_remainder(power.of[i], tail.of[i]); }),
          several<N>([&](int i) __attribute__((always_inline)) { return power.of[i].scale; })};
}

}  // namespace ndloss::math
