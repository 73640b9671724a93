/// Powers of non-negative doubles to any real exponent.
#pragma once

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss::math {

/// a * b and what its rounding lost: by fma, or where there is none by splitting both in halves (Dekker 1971).
NDLOSS_INLINE Pair<double> product_pair(double a, double b) {
  const double product = a * b;
  if constexpr (has_fma) {
    return {product, fma(a, b, -product)};
  } else {
    constexpr double splitter = 0x1p27 + 1;
    const double a_scaled = splitter * a;
    const double a_high = a_scaled - (a_scaled - a);
    const double a_low = a - a_high;
    const double b_scaled = splitter * b;
    const double b_high = b_scaled - (b_scaled - b);
    const double b_low = b - b_high;
    return {product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
  }
}

/// log x as a pair, for a positive finite x.
NDLOSS_INLINE Pair<double> log_pair(double x) {
  using R = Real<double>;
  const bool tiny = x < std::numeric_limits<double>::min();
  const Int<double> b = bits(select(tiny, x * 0x1p53, x));
  const Int<double> field = exponent_field<double>(b);
  const double f = from_bits<double>(bits_difference<double>(b, field)) - 1.0;
  const double i = exponent_value<double>(field) - select(tiny, double(R::mantissa_bits + 1), 0.0);
  // The parts of log_compose are not apart: the tail holds f^2 / 2 too.
  const Pair<double> parts = log_compose(i, f, 0.0);
  return two_sum(parts.head, parts.tail);
}

/// e^(head + tail).
NDLOSS_INLINE double exp_pair(double head, double tail) {
  const double power = exp(head);
  const double whole = fma(power, tail, power);
  return select(abs(power) < infinity<double>, whole, power);
}

/// x^exponent = e^(exponent log x) for x >= 0 and exponent != 0, the logarithm and the product carried in pairs: without, a
/// result of magnitude e^t would be off by |t| units in the last place.
/// Types: double. Max error: 2.5 ULP for exponents of magnitude up to 8. Range: x in [0, inf], any exponent but 0.
/// At 0: 0 or +inf by the sign of the exponent. At +inf: +inf or 0. NaN: NaN.
NDLOSS_INLINE double power(double x, double exponent) {
  const Pair<double> logarithm = log_pair(x);
  const Pair<double> product = product_pair(exponent, logarithm.head);
  const double result = exp_pair(product.head, fma(exponent, logarithm.tail, product.tail));
  const bool grows = exponent > 0.0;
  const double at_zero = select(grows, 0.0, infinity<double>);
  const double at_infinity = select(grows, infinity<double>, 0.0);
  return select_special(x == 0.0, at_zero,
                        select_special(x == infinity<double>, at_infinity, select(x < infinity<double>, result, x)));
}

/// x^(1 / degree), the quotient carried in pairs: as `power`, for degrees of magnitude 1/8 and more.
NDLOSS_INLINE double root(double x, double degree) {
  const Pair<double> logarithm = log_pair(x);
  const double quotient = logarithm.head / degree;
  const Pair<double> back = product_pair(quotient, degree);
  const double lost = ((logarithm.head - back.head) - back.tail + logarithm.tail) / degree;
  const double result = exp_pair(quotient, lost);
  const bool grows = degree > 0.0;
  const double at_zero = select(grows, 0.0, infinity<double>);
  const double at_infinity = select(grows, infinity<double>, 0.0);
  return select_special(x == 0.0, at_zero,
                        select_special(x == infinity<double>, at_infinity, select(x < infinity<double>, result, x)));
}

}  // namespace ndloss::math
