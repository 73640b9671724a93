// What the specification blocks of math.hpp say of zeros, infinities, NaN, subnormals and the ends of the range.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "ndloss/exps.hpp"
#include "ndloss/math.hpp"

namespace math = ndloss::math;

namespace {

template <class V>
constexpr V inf = math::infinity<V>;

template <class V>
using Limits = std::numeric_limits<V>;

/// Equal in value and in the sign of zero; NaN equals NaN.
template <class V>
bool same(V a, V b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

/// Within two steps of the C library, whose own error is below one; subnormal numbers included.
template <class V>
bool close(V got, V want) {
  V low = want;
  V high = want;
  for (int i = 0; i < 2; ++i) {
    low = std::nextafter(low, -inf<V>);
    high = std::nextafter(high, inf<V>);
  }
  return got >= low && got <= high;
}

/// The result of a loop that vectorizes must be that of the scalar call.
template <class V, class F>
bool same_in_loop(const std::vector<V>& x, F function) {
  std::vector<V> y(x.size());
#pragma omp simd
  for (std::size_t i = 0; i < x.size(); ++i) {
    y[i] = function(x[i]);
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const volatile V alone = x[i];
    if (!same(y[i], function(V(alone)))) {
      return false;
    }
  }
  return true;
}

template <class V>
std::vector<V> special_values() {
  std::vector<V> x = {V(0),
                      Limits<V>::denorm_min(),
                      Limits<V>::min(),
                      Limits<V>::min() / 2,
                      Limits<V>::epsilon(),
                      V(0.25),
                      V(0.5),
                      V(0.75),
                      V(1),
                      std::nextafter(V(1), V(0)),
                      std::nextafter(V(1), V(2)),
                      V(1.5),
                      V(2),
                      V(17.25),
                      V(88),
                      V(104),
                      V(709),
                      V(746),
                      V(1e4),
                      Limits<V>::max(),
                      inf<V>,
                      math::nan<V>};
  for (std::size_t i = 0, n = x.size(); i < n; ++i) {
    x.push_back(-x[i]);
  }
  return x;
}

}  // namespace

TEST_CASE_TEMPLATE("exp at the ends of its range", V, float, double) {
  CHECK(same(math::exp(V(0)), V(1)));
  CHECK(same(math::exp(-V(0)), V(1)));
  CHECK(same(math::exp(inf<V>), inf<V>));
  CHECK(same(math::exp(-inf<V>), V(0)));
  CHECK(std::isnan(math::exp(math::nan<V>)));
  const V log_max = std::log(Limits<V>::max());
  CHECK(std::isfinite(math::exp(std::nextafter(log_max, V(0)))));
  CHECK(same(math::exp(std::nextafter(log_max, inf<V>) + V(0.01)), inf<V>));
  CHECK(same(math::exp(Limits<V>::max()), inf<V>));
  CHECK(same(math::exp(-Limits<V>::max()), V(0)));
}

TEST_CASE_TEMPLATE("exp underflows gradually", V, float, double) {
  const V log_min = std::log(Limits<V>::min());
  for (V below = V(0); below < V(Limits<V>::digits) * V(0.69); below += V(0.37)) {
    const V x = log_min - below;
    CAPTURE(x);
    const V y = math::exp(x);
    CHECK(y > V(0));
    CHECK(close(y, std::exp(x)));
    CHECK(same(y, math::exp_nonpositive(x)));
  }
}

TEST_CASE_TEMPLATE("exp_nonpositive at its ends", V, float, double) {
  CHECK(same(math::exp_nonpositive(V(0)), V(1)));
  CHECK(same(math::exp_nonpositive(-V(0)), V(1)));
  CHECK(same(math::exp_nonpositive(-inf<V>), V(0)));
  CHECK(std::isnan(math::exp_nonpositive(math::nan<V>)));
  CHECK(same(math::exp_nonpositive(-Limits<V>::denorm_min()), V(1)));
}

TEST_CASE_TEMPLATE("exp_scaled is a power of two times exp", V, float, double) {
  const int offset = math::Real<V>::exp_bias;
  for (const V x : {V(-80), V(-1), V(-0.5), V(0), V(0.5), V(1)}) {
    CAPTURE(x);
    CHECK(close(math::exp_scaled(x, math::power_magic<V>(offset)), std::ldexp(std::exp(x), offset)));
  }
}

TEST_CASE_TEMPLATE("exps_scaled has the bits of exp_scaled, and rounds a sum of two once", V, float, double) {
  const V magic = math::power_magic<V>(math::Real<V>::exp_bias);
  const math::Several<V, 4> t{{V(-80), V(-1.25), V(0.5), math::nan<V>}};
  const auto exps = math::exps_scaled(t, magic);
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(same(exps.value(i), math::exp_scaled(t.of[i], magic)));
  }
  CHECK(same(exps.sum(1, 2), exps.value(1) + exps.value(2)));
}

TEST_CASE_TEMPLATE("exp_raised keeps the digits of what exp loses", V, float, double) {
  for (V x = V(1); x > math::Real<V>::raised_floor; x -= V(0.7)) {
    CAPTURE(x);
    const math::RaisedExp<V> power = math::exp_raised(x);
    CHECK(same(power.value(), math::exp(x)));
    const long double exact = std::exp(static_cast<long double>(x));
    const long double raised = static_cast<long double>(power.raised) * static_cast<long double>(power.unit);
    CHECK(std::abs(raised - exact) <= exact * Limits<V>::epsilon());
    const V factor = Limits<V>::max() / 4;
    if (x < V(0)) {
      const long double product = exact * static_cast<long double>(factor);
      CHECK(std::abs(static_cast<long double>(power.times(factor)) - product) <= 2 * product * Limits<V>::epsilon());
    }
  }
  CHECK(same(math::exp_raised(-inf<V>).times(V(2)), V(0)));
  CHECK(same(math::exp_raised(V(-2) * -math::Real<V>::raised_floor).times(V(2)), V(0)));
  CHECK(same(math::exp_raised(inf<V>).times(V(2)), inf<V>));
  CHECK(std::isnan(math::exp_raised(math::nan<V>).times(V(2))));
}

TEST_CASE_TEMPLATE("log at the ends of its range", V, float, double) {
  CHECK(same(math::log(V(0)), -inf<V>));
  CHECK(same(math::log(-V(0)), -inf<V>));
  CHECK(same(math::log(V(1)), V(0)));
  CHECK(same(math::log(inf<V>), inf<V>));
  CHECK(std::isnan(math::log(-inf<V>)));
  CHECK(std::isnan(math::log(V(-1))));
  CHECK(std::isnan(math::log(-Limits<V>::denorm_min())));
  CHECK(std::isnan(math::log(math::nan<V>)));
  CHECK(close(math::log(Limits<V>::max()), std::log(Limits<V>::max())));
}

TEST_CASE_TEMPLATE("log of subnormal numbers", V, float, double) {
  for (V x = Limits<V>::denorm_min(); x < 4 * Limits<V>::min(); x *= V(1.75)) {
    CAPTURE(x);
    CHECK(close(math::log(x), std::log(x)));
  }
}

TEST_CASE_TEMPLATE("log1p at the ends of its range", V, float, double) {
  CHECK(same(math::log1p(V(0)), V(0)));
  CHECK(same(math::log1p(-V(0)), -V(0)));
  CHECK(same(math::log1p(V(-1)), -inf<V>));
  CHECK(same(math::log1p(inf<V>), inf<V>));
  CHECK(std::isnan(math::log1p(std::nextafter(V(-1), V(-2)))));
  CHECK(std::isnan(math::log1p(-inf<V>)));
  CHECK(std::isnan(math::log1p(math::nan<V>)));
  CHECK(close(math::log1p(std::nextafter(V(-1), V(0))), std::log1p(std::nextafter(V(-1), V(0)))));
  CHECK(close(math::log1p(Limits<V>::max()), std::log1p(Limits<V>::max())));
  for (V x = Limits<V>::denorm_min(); x < V(1); x *= V(7)) {
    CAPTURE(x);
    CHECK(close(math::log1p(x), std::log1p(x)));
    CHECK(close(math::log1p(-x), std::log1p(-x)));
  }
}

TEST_CASE_TEMPLATE("log1p_nonnegative at its ends", V, float, double) {
  CHECK(same(math::log1p_nonnegative(V(0)), V(0)));
  CHECK(same(math::log1p_nonnegative(inf<V>), inf<V>));
  CHECK(std::isnan(math::log1p_nonnegative(math::nan<V>)));
  CHECK(close(math::log1p_nonnegative(Limits<V>::max()), std::log1p(Limits<V>::max())));
  CHECK(close(math::log1p_nonnegative(Limits<V>::denorm_min()), Limits<V>::denorm_min()));
}

TEST_CASE_TEMPLATE("sigmoid at the ends of its range", V, float, double) {
  CHECK(same(math::sigmoid(V(0)), V(0.5)));
  CHECK(same(math::sigmoid(-V(0)), V(0.5)));
  CHECK(same(math::sigmoid(inf<V>), V(1)));
  CHECK(same(math::sigmoid(-inf<V>), V(0)));
  CHECK(same(math::sigmoid(Limits<V>::max()), V(1)));
  CHECK(same(math::sigmoid(-Limits<V>::max()), V(0)));
  CHECK(std::isnan(math::sigmoid(math::nan<V>)));
}

TEST_CASE_TEMPLATE("softplus at the ends of its range", V, float, double) {
  CHECK(close(math::softplus(V(0)), std::log(V(2))));
  CHECK(close(math::softplus(-V(0)), std::log(V(2))));
  CHECK(same(math::softplus(inf<V>), inf<V>));
  CHECK(same(math::softplus(-inf<V>), V(0)));
  CHECK(same(math::softplus(Limits<V>::max()), Limits<V>::max()));
  CHECK(same(math::softplus(-Limits<V>::max()), V(0)));
  CHECK(std::isnan(math::softplus(math::nan<V>)));
  // Far below zero it is e^x, subnormal numbers included.
  const V low = std::log(Limits<V>::min()) - V(5);
  CHECK(math::softplus(low) > V(0));
  CHECK(close(math::softplus(low), std::exp(low)));
}

TEST_CASE_TEMPLATE("a zero coefficient wins over everything", V, float, double) {
  CHECK(same(math::product_or_zero(V(0), inf<V>), V(0)));
  CHECK(same(math::product_or_zero(-V(0), math::nan<V>), V(0)));
  CHECK(same(math::product_or_zero(V(2), V(3)), V(6)));
  CHECK(std::isnan(math::product_or_zero(V(1), math::nan<V>)));
}

TEST_CASE_TEMPLATE("bounds keep NaN", V, float, double) {
  CHECK(std::isnan(math::at_least(math::nan<V>, V(0))));
  CHECK(std::isnan(math::at_most(math::nan<V>, V(0))));
  CHECK(math::at_least(V(-3), V(-1)) == V(-1));
  CHECK(math::at_most(V(3), V(1)) == V(1));
}

TEST_CASE_TEMPLATE("two_sum loses nothing", V, float, double) {
  const V small = Limits<V>::epsilon() / 4;
  const math::Pair<V> up = math::two_sum(V(1), small);
  CHECK(up.head == V(1));
  CHECK(up.tail == small);
  const math::Pair<V> down = math::two_sum(small, V(-1));
  CHECK(down.head == V(-1));
  CHECK(down.tail == small);
}

TEST_CASE_TEMPLATE("vectorized loops give what scalar calls give", V, float, double) {
  const std::vector<V> x = special_values<V>();
  CHECK(same_in_loop(x, [](V v) { return math::exp(v); }));
  CHECK(same_in_loop(x, [](V v) { return math::exp_nonpositive(-math::abs(v)); }));
  CHECK(same_in_loop(x, [](V v) { return math::log(v); }));
  CHECK(same_in_loop(x, [](V v) { return math::log1p(v); }));
  CHECK(same_in_loop(x, [](V v) { return math::log1p_nonnegative(math::abs(v)); }));
  CHECK(same_in_loop(x, [](V v) { return math::sigmoid(v); }));
  CHECK(same_in_loop(x, [](V v) { return math::softplus(v); }));
}
