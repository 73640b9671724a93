/// Branch-free elementary functions that a compiler vectorizes: exp, log, log1p, sigmoid, softplus and their parts.
///
/// Every function is a straight line of adds, multiplies, explicit `fma` and selects, so that a loop over it vectorizes at
/// every ISA and gives the same bits on all those that have FMA. Without FMA `fma` multiplies and adds: other bits, the
/// same bounds, which is why the reductions use constants with trailing zeros (their products are exact).
/// Rounding to an integer is done by adding and subtracting 1.5 * 2^(mantissa bits), because `rint` keeps SSE2 from
/// vectorizing. Bounds hold in round-to-nearest.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <type_traits>

#include "ndloss/inline.hpp"
#include "ndloss/real.hpp"

namespace ndloss::math {

template <class V>
using Int = typename Real<V>::Int;

template <class V>
inline constexpr V infinity = std::numeric_limits<V>::infinity();

template <class V>
inline constexpr V nan = std::numeric_limits<V>::quiet_NaN();

template <class V>
NDLOSS_INLINE Int<V> bits(V x) {
  return std::bit_cast<Int<V>>(x);
}

template <class V>
NDLOSS_INLINE V from_bits(Int<V> i) {
  return std::bit_cast<V>(i);
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
inline constexpr bool has_fma = true;
#else
inline constexpr bool has_fma = false;
#endif

/// a * b + c, rounded once where the hardware can.
template <class V>
NDLOSS_INLINE V fma(V a, V b, V c) {
  if constexpr (!has_fma) {
    return a * b + c;
  } else if constexpr (sizeof(V) == 4) {
    return __builtin_fmaf(a, b, c);
  } else {
    return __builtin_fma(a, b, c);
  }
}

/// a * b - c where the two nearly cancel: exact in float at every ISA, in double where there is FMA.
template <class V>
NDLOSS_INLINE V product_residual(V a, V b, V c) {
  if constexpr (has_fma) {
    return fma(a, b, -c);
  } else {
    return static_cast<V>(static_cast<double>(a) * static_cast<double>(b) - static_cast<double>(c));
  }
}

template <class V>
NDLOSS_INLINE V select(bool condition, V yes, V no) {
  return condition ? yes : no;
}

/// select for a constant NaN or infinity, on the bits: seen as a number, the constant is folded into the sums around it and
/// becomes a branch, and the loop no longer vectorizes.
template <class V>
NDLOSS_INLINE V select_special(bool condition, V special, V otherwise) {
  return from_bits<V>(condition ? bits(special) : bits(otherwise));
}

template <class V>
NDLOSS_INLINE V abs(V x) {
  if constexpr (sizeof(V) == 4) {
    return __builtin_fabsf(x);
  } else {
    return __builtin_fabs(x);
  }
}

template <class V>
NDLOSS_INLINE V copysign(V magnitude, V sign) {
  if constexpr (sizeof(V) == 4) {
    return __builtin_copysignf(magnitude, sign);
  } else {
    return __builtin_copysign(magnitude, sign);
  }
}

/// The larger of x and floor; NaN in x is kept.
template <class V>
NDLOSS_INLINE V at_least(V x, V floor) {
  return x < floor ? floor : x;
}

/// The smaller of x and ceiling; NaN in x is kept.
template <class V>
NDLOSS_INLINE V at_most(V x, V ceiling) {
  return x > ceiling ? ceiling : x;
}

/// x between floor and ceiling; NaN in x is kept. Both look at x: nested, the one's constant becomes a branch of the other.
template <class V>
NDLOSS_INLINE V within(V x, V floor, V ceiling) {
  return select(x > ceiling, ceiling, at_least(x, floor));
}

/// c[First] + c[First + 1] x + ... of `Count` coefficients by Estrin's scheme: both halves side by side, the higher one times a
/// power of x. The powers are x, x^2, x^4, ...: arguments, because an array of them would not be vectorized.
template <std::size_t First, std::size_t Count, class V, std::size_t N, class... Powers>
NDLOSS_INLINE V halves(const V (&c)[N], Powers... powers) {
  if constexpr (Count == 1) {
    return c[First];
  } else {
    constexpr std::size_t low = std::bit_ceil(Count) / 2;
    const V high = halves<First + low, Count - low>(c, powers...);
    const V power = std::get<std::countr_zero(low)>(std::tuple<Powers...>(powers...));
    return fma(high, power, halves<First, low>(c, powers...));
  }
}

/// Coefficients up to which Horner's rule is taken: each of its steps waits for the one before, and of a longer chain the
/// processor cannot look far enough ahead to fill the time.
inline constexpr std::size_t horner_coefficients = 5;

/// c[0] + c[1] x + ...
template <class V, std::size_t N>
NDLOSS_INLINE V polynomial(const V (&c)[N], V x) {
  if constexpr (N <= horner_coefficients) {
    V p = c[N - 1];
#pragma GCC unroll 32
    for (std::size_t i = N - 1; i > 0; --i) {
      p = fma(p, x, c[i - 1]);
    }
    return p;
  } else {
    static_assert(N <= 32);
    const V x2 = x * x;
    const V x4 = x2 * x2;
    const V x8 = x4 * x4;
    return halves<0, N>(c, x, x2, x4, x8, x8 * x8);
  }
}

/// coefficient * x, where a zero coefficient gives 0 whatever x holds (torch's xlogy rule; NaN and infinity included).
template <class V>
NDLOSS_INLINE V product_or_zero(V coefficient, V x) {
  return coefficient == V(0) ? V(0) : coefficient * x;
}

/// e^t = 2^k e^r in its two parts.
template <class V>
struct Power {
  V r;       // |r| <= ln2 / 2
  V r_lost;  // what the rounding of r lost; the compiler drops it where nobody asks
  V scale;   // 2^(k + offset)
};

/// What to add to `t * log2e` so that the integer part of the sum, shifted into the exponent, is 2^(k + offset).
template <class V>
NDLOSS_INLINE constexpr V power_magic(int offset) {
  return Real<V>::round_magic + V(std::numeric_limits<V>::max_exponent - 1 + offset);
}

/// Splits t into k ln2 + r; `magic` is power_magic(offset), where 2^(k + offset) must be a normal number.
template <class V>
NDLOSS_INLINE Power<V> split_power(V t, V magic) {
  using R = Real<V>;
  const V rounded = fma(t, R::log2e, magic);
  const V k = rounded - magic;
  const V coarse = fma(k, -R::ln2_hi, t);
  const V r = fma(k, -R::ln2_lo, coarse);
  return {r, fma(k, -R::ln2_lo, coarse - r), from_bits<V>(bits(rounded) << R::mantissa_bits)};
}

/// e^r of a split power, without its scale. Without FMA the roundings of Horner's last steps cost too much: 1 + a small
/// sum is better there, and needs what r has lost.
template <class V>
NDLOSS_INLINE V exp_of_remainder(const Power<V>& power, V tail) {
  if constexpr (has_fma) {
    return fma(fma(tail, power.r, V(1)), power.r, V(1));
  } else {
    return V(1) + (power.r + (power.r * power.r * tail + power.r_lost));
  }
}

template <class V>
NDLOSS_INLINE V exp_of_remainder(const Power<V>& power) {
  return exp_of_remainder(power, polynomial(Real<V>::exp_tail, power.r));
}

/// 2^offset e^t, where `magic` is power_magic(offset) and the result is a normal number: the exponential of the softmax
/// family, whose scale makes every term normal and every rescaling exact.
/// Types: float, double. Max error: 0.90 ULP float, 0.90 double. NaN: NaN.
template <class V>
NDLOSS_INLINE V exp_scaled(V t, V magic) {
  const Power<V> power = split_power(t, magic);
  return exp_of_remainder(power) * power.scale;
}

/// e^x for x <= 0.
/// Types: float, double. Max error: 0.90 ULP float, 0.90 double, subnormal results included. Range: (-inf, 0].
/// At -0, +0: 1. At -inf: 0. NaN: NaN.
template <class V>
NDLOSS_INLINE V exp_nonpositive(V x) {
  using R = Real<V>;
  return exp_scaled(at_least(x, R::exp_floor), power_magic<V>(R::exp_bias)) * R::unbias;
}

/// e^x = raised * unit, where `unit` is a power of two and `raised` keeps its digits where e^x is subnormal, or beyond.
template <class V>
struct RaisedExp {
  V raised;
  V unit;

  NDLOSS_INLINE V value() const { return raised * unit; }

  /// e^x times a factor that may be large.
  NDLOSS_INLINE V times(V factor) const {
    const bool small = (raised < V(1)) & (unit < V(1));
    return select(small, raised, value()) * factor * select(small, unit, V(1));
  }
};

/// What exp_scaled is given for t, so that neither end of its range overflows, and what undoes it.
template <class V>
NDLOSS_INLINE V exp_magic(V t) {
  return select(t > V(0), power_magic<V>(-Real<V>::exp_bias), power_magic<V>(Real<V>::exp_bias));
}

template <class V>
NDLOSS_INLINE V exp_unit(V t) {
  return select(t > V(0), V(1) / Real<V>::unbias, Real<V>::unbias);
}

/// e^x with all its digits.
/// Types: float, double. Max error: 0.90 ULP float, 0.90 double. Range: all.
/// At -inf and below raised_floor (e^-131, double: e^-1063): 0. At +inf: +inf. NaN: NaN.
template <class V>
NDLOSS_INLINE RaisedExp<V> exp_raised(V x) {
  using R = Real<V>;
  const V t = at_most(at_least(x, R::raised_floor), R::exp_ceiling);
  return {.raised = select(x < R::raised_floor, V(0), exp_scaled(t, exp_magic(t))), .unit = exp_unit(t)};
}

/// e^x, 2^k as the product of two powers that are normal where 2^k is not. Two ways of raising, chosen by the sign, would make
/// the compiler compute every exponential both ways.
/// Types: float, double. Max error: 0.90 ULP float, 0.90 double, subnormal results included. Range: all.
/// At -0, +0: 1. At +inf: +inf. At -inf: 0. NaN: NaN.
template <class V>
NDLOSS_INLINE V exp(V x) {
  using R = Real<V>;
  using U = std::make_unsigned_t<Int<V>>;
  constexpr V magic = power_magic<V>(std::numeric_limits<V>::max_exponent - 1);
  const V t = within(x, R::exp_floor, R::exp_ceiling);
  const Power<V> power = split_power(t, magic);
  const U both = static_cast<U>(bits(fma(t, R::log2e, magic)));  // k and twice an exponent's bias; shifts drop what is above
  const U half = both >> 1;
  const V first = from_bits<V>(static_cast<Int<V>>(half << R::mantissa_bits));
  const V second = from_bits<V>(static_cast<Int<V>>((both - half) << R::mantissa_bits));
  return exp_of_remainder(power) * first * second;
}

/// a - b on the bits of floating numbers, which wraps.
template <class V>
NDLOSS_INLINE Int<V> bits_difference(Int<V> a, Int<V> b) {
  using U = std::make_unsigned_t<Int<V>>;
  return static_cast<Int<V>>(static_cast<U>(a) - static_cast<U>(b));
}

/// The exponent i and the rest f of x = 2^i (1 + f) with f in [-1/4, 1/2), for a normal positive x given by its bits.
template <class V>
NDLOSS_INLINE Int<V> exponent_field(Int<V> x) {
  constexpr Int<V> three_quarters = std::bit_cast<Int<V>>(V(0.75));
  return bits_difference<V>(x, three_quarters) & (~Int<V>(0) << Real<V>::mantissa_bits);
}

/// An exponent field (a multiple of 2^mantissa_bits) as a floating number.
template <class V>
NDLOSS_INLINE V exponent_value(Int<V> field) {
  if constexpr (sizeof(V) == 4) {
    return static_cast<V>(field) * V(0x1p-23);
  } else {
    // AVX2 has no conversion of 64-bit integers: put the biased exponent into the mantissa of 2^52 instead.
    constexpr std::int64_t bias = 2048;
    const std::int64_t biased =
        static_cast<std::int64_t>((static_cast<std::uint64_t>(field) + (static_cast<std::uint64_t>(bias) << 52)) >> 52);
    constexpr std::int64_t two52 = std::bit_cast<std::int64_t>(0x1p52);
    return from_bits<V>(two52 | biased) - V(0x1p52 + bias);
  }
}

/// An unevaluated sum head + tail, |tail| far below |head|.
template <class V>
struct Pair {
  V head;
  V tail;
};

/// a + b and what its rounding lost (Knuth's TwoSum; no order of magnitudes assumed).
template <class V>
NDLOSS_INLINE Pair<V> two_sum(V a, V b) {
  const V sum = a + b;
  const V b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

/// head + tail, where a sum that is not finite has no use for its tail.
template <class V>
NDLOSS_INLINE V joined(V head, V tail) {
  return select(abs(head) < infinity<V>, head + tail, head);
}

/// i ln2 + log1p(f + correction), with f in [-1/4, 1/2] and correction at most a rounding error of 1 + f.
template <class V>
NDLOSS_INLINE Pair<V> log_compose(V i, V f, V correction) {
  using R = Real<V>;
  const V high = i * R::ln2_hi;
  const V head = high + f;
  const V lost = f - (head - high);  // exact: |high| >= |f| or high = 0
  const V square = f * f;
  const V cubic = fma(square * f, polynomial(R::log_tail, f), V(-0.5) * square);
  return {head, (cubic + fma(i, R::ln2_lo, correction)) + lost};
}

/// Natural logarithm.
/// Types: float, double. Max error: 0.94 ULP float (0.97 without FMA), 1.0 double, subnormal arguments included. Range: all.
/// At -0, +0: -inf. At +inf: +inf. Below 0: NaN. NaN: NaN.
template <class V>
NDLOSS_INLINE V log(V x) {
  using R = Real<V>;
  const bool tiny = x < std::numeric_limits<V>::min();
  constexpr V scale = V(Int<V>(1) << (R::mantissa_bits + 1));
  const Int<V> b = bits(select(tiny, x * scale, x));
  const Int<V> field = exponent_field<V>(b);
  const V f = from_bits<V>(bits_difference<V>(b, field)) - V(1);
  const V i = exponent_value<V>(field) - select(tiny, V(R::mantissa_bits + 1), V(0));
  const Pair<V> parts = log_compose(i, f, V(0));
  const V finite = parts.head + parts.tail;
  return select_special(x < V(0), nan<V>, select_special(x == V(0), -infinity<V>, select(x < infinity<V>, finite, x)));
}

/// log(x) of a number in [0, 1]: what `log` is without its special cases, every x raised as it raises subnormal ones.
/// Types: float, double. Max error: 0.94 ULP float (0.97 without FMA), 1.0 double, subnormal arguments included. Range: (0, 1].
/// At -0, +0: a number below that of the least positive x. Elsewhere, NaN: any number.
template <class V>
NDLOSS_INLINE V log_of_probability(V x) {
  using R = Real<V>;
  constexpr int raised = R::mantissa_bits + 1;
  const Int<V> b = bits(x * V(Int<V>(1) << raised));
  const Int<V> field = exponent_field<V>(b);
  const V f = from_bits<V>(bits_difference<V>(b, field)) - V(1);
  const Pair<V> parts = log_compose(exponent_value<V>(field) - V(raised), f, V(0));
  return parts.head + parts.tail;
}

/// log(1 + x) for x > -1, finite: the part that log1p and its restrictions share.
template <class V>
NDLOSS_INLINE V log1p_finite(V x) {
  const Int<V> field = exponent_field<V>(bits(V(1) + x));
  // 2^-i times x by its exponent, so that 1 + f = 2^-i (1 + x) keeps the bits of x that 1 + x has lost; the sum is exact.
  const V scaled = from_bits<V>(bits_difference<V>(bits(x), field));
  const V four_scaled = from_bits<V>(bits_difference<V>(std::bit_cast<Int<V>>(V(4)), field));
  const V f = scaled + fma(V(0.25), four_scaled, V(-1));
  const Pair<V> parts = log_compose(exponent_value<V>(field), f, V(0));
  return parts.head + parts.tail;
}

/// log(1 + x) for x >= 0: what sums of folded logarithms need.
/// Types: float, double. Max error: 0.89 ULP float (0.91 without FMA), 1.0 double. Range: [0, inf].
/// At +0: 0. At +inf: +inf. NaN: NaN.
template <class V>
NDLOSS_INLINE V log1p_nonnegative(V x) {
  return select(x < infinity<V>, log1p_finite(x), x);
}

/// log(1 + x) of a double x >= 0, computed in V: for float to about 27 bits in float arithmetic, which is what a float loss
/// needs before its one rounding; for double in full.
template <class V>
NDLOSS_INLINE double log1p_wide(double x) {
  if constexpr (sizeof(V) == 8) {
    return log1p_nonnegative(x);
  } else {
    const V high = static_cast<V>(x);
    const V low = static_cast<V>(x - static_cast<double>(high));
    const Int<V> field = exponent_field<V>(bits(V(1) + high));
    const V four_scaled = from_bits<V>(bits_difference<V>(std::bit_cast<Int<V>>(V(4)), field));
    const V f = from_bits<V>(bits(high) - field) + fma(V(0.25), four_scaled, V(-1));
    const V correction = V(0.25) * four_scaled * low;
    const Pair<V> parts = log_compose(exponent_value<V>(field), f, fma(-correction, f * (V(1) - f), correction));
    const double sum = static_cast<double>(parts.head) + static_cast<double>(parts.tail);
    // Beyond float the argument is the answer to nobody's question; infinity and NaN pass through.
    return x < static_cast<double>(std::numeric_limits<V>::max()) ? sum : x;
  }
}

/// log(head + tail), head + tail; |tail| is far below |head|, and head between 2^-100 and 2.
template <class V>
NDLOSS_INLINE Pair<V> log_of_pair(V head, V tail) {
  const Int<V> field = exponent_field<V>(bits(head));
  const V f = from_bits<V>(bits_difference<V>(bits(head), field)) - V(1);
  const V scaled = tail * from_bits<V>(bits_difference<V>(bits(V(1)), field));
  return log_compose(exponent_value<V>(field), f, fma(-scaled, f * (V(1) - f), scaled));
}

/// log(1 + x).
/// Types: float, double. Max error: 0.94 ULP float (0.98 without FMA), 1.0 double. Range: all.
/// At -0, +0: x. At +inf: +inf. At -1: -inf. Below -1: NaN. NaN: NaN.
template <class V>
NDLOSS_INLINE V log1p(V x) {
  const bool tiny = abs(x) < std::numeric_limits<V>::min();  // the sign of zero, and infinity times zero in f
  const V result = select(tiny | !(x < infinity<V>), x, log1p_finite(x));
  return select_special(x < V(-1), nan<V>, select_special(x == V(-1), -infinity<V>, result));
}

/// e^x for x <= 0 (or NaN) with about ten bits beyond the type, results down to the subnormals.
template <class V>
NDLOSS_INLINE Pair<V> exp_nonpositive_pair(V x) {
  using R = Real<V>;
  const Power<V> power = split_power(at_least(x, R::exp_floor), power_magic<V>(R::exp_bias));
  const V bend = fma(power.r * power.r, polynomial(R::exp_tail, power.r), power.r_lost);
  const V tail = power.r + bend;
  const V head = V(1) + tail;
  const V lost = (tail - (head - V(1))) + (bend - (tail - power.r));
  return {head * power.scale * R::unbias, lost * power.scale * R::unbias};
}

/// Logistic function 1 / (1 + e^-x), by a division whose remainder is put back.
/// Types: float, double. Max error: 0.81 ULP float, 0.75 double (1.3 without FMA). Range: all.
/// At -0, +0: 1/2. At +inf: 1. At -inf: 0. NaN: NaN.
template <class V>
NDLOSS_INLINE V sigmoid(V x) {
  const Pair<V> u = exp_nonpositive_pair(-abs(x));
  const V d = V(1) + u.head;
  const V d_tail = (u.head - (d - V(1))) + u.tail;
  const bool falls = x < V(0);
  const V numerator = select(falls, u.head, V(1));
  const V numerator_tail = select(falls, u.tail, V(0));
  const V reciprocal = V(1) / d;
  const V quotient = numerator * reciprocal;
  const V remainder = fma(-quotient, d_tail, numerator_tail - product_residual(quotient, d, numerator));
  return fma(remainder, reciprocal, quotient);
}

/// log(1 + e^x).
/// Types: float, double. Max error: 0.97 ULP float (0.98 without FMA), 1.0 double, subnormal results included. Range: all.
/// At -0, +0: log 2. At +inf: +inf. At -inf: 0. NaN: NaN.
template <class V>
NDLOSS_INLINE V softplus(V x) {
  const Pair<V> u = exp_nonpositive_pair(-abs(x));
  // log(1 + u) = i ln2 + log1p(f): f is exact in both halves of (0, 1].
  const bool upper = u.head >= V(0.5);
  const V f = select(upper, V(0.5) * (u.head - V(1)), u.head);
  const V u_tail = select(upper, V(0.5) * u.tail, u.tail);
  V correction = fma(-u_tail, f * (V(1) - f), u_tail);  // u_tail / (1 + f), to the third order
  if constexpr (sizeof(V) == 4 && !has_fma) {
    correction = correction - V(0.5) * product_residual(f, f, f * f);  // without it: 1.005 ULP
  }
  const Pair<V> log_part = log_compose(select(upper, V(1), V(0)), f, correction);
  const Pair<V> sum = two_sum(x > V(0) ? x : V(0), log_part.head);
  const V finite = sum.head + (sum.tail + log_part.tail);
  return select(x == -infinity<V>, V(0), select(x < infinity<V>, finite, x));
}

}  // namespace ndloss::math
