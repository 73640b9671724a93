// The algebra of partial results: joining them in any grouping loses nothing and forgets no bad value.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "ndloss/accumulator.hpp"

using ndloss::Accumulator;
using ndloss::BadValue;
using ndloss::Reduction;

namespace {

Accumulator part(double sum, double weight = 1, std::int64_t count = 1) {
  Accumulator a;
  a.sum = sum;
  a.weight = weight;
  a.count = count;
  return a;
}

Accumulator bad_at(std::int64_t index, std::int8_t operand, std::uint64_t value) {
  Accumulator a = part(0);
  a.bad = BadValue{index, value, operand};
  return a;
}

/// Terms of both signs over forty binary orders of magnitude.
std::vector<double> terms(std::size_t n) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> mantissa(-1, 1);
  std::uniform_int_distribution<int> exponent(-20, 20);
  std::vector<double> x(n);
  std::generate(x.begin(), x.end(), [&] { return std::ldexp(mantissa(random), exponent(random)); });
  return x;
}

}  // namespace

TEST_CASE("nothing: the sum is 0 and the mean NaN") {
  const Accumulator nothing;
  CHECK(nothing.compute(Reduction::sum) == 0);
  CHECK(std::isnan(nothing.compute(Reduction::mean)));
  CHECK(nothing.count == 0);
  CHECK(!nothing.bad.found());
}

TEST_CASE("nothing is neutral on either side") {
  Accumulator left;
  left += part(0.1, 3, 2);
  Accumulator right = part(0.1, 3, 2);
  right += Accumulator{};
  for (const Accumulator& a : {left, right}) {
    CHECK(a.total() == 0.1);
    CHECK(a.divisor() == 3);
    CHECK(a.count == 2);
    CHECK(a.compute(Reduction::mean) == 0.1 / 3);
  }
}

TEST_CASE("what a sum loses is kept") {
  Accumulator a = part(1);
  for (int i = 0; i < 1000; ++i) {
    a += part(0x1p-60, 0x1p-60);
  }
  a += part(-1, -1);
  CHECK(a.total() == 1000 * 0x1p-60);
  CHECK(a.divisor() == 1000 * 0x1p-60);
  CHECK(a.count == 1002);
}

TEST_CASE("what the weights lose is kept") {
  Accumulator a = part(0, 0x1p60);
  for (int i = 0; i < 100; ++i) {
    a += part(0, 1);
  }
  a += part(0, -0x1p60);
  CHECK(a.divisor() == 100);
}

TEST_CASE("any grouping gives the same total to the last bit") {
  const std::vector<double> x = terms(4096);
  long double exact = 0;
  for (const double term : x) {
    exact += static_cast<long double>(term);
  }
  Accumulator sequential;
  for (const double term : x) {
    sequential += part(term);
  }
  CHECK(sequential.total() == doctest::Approx(static_cast<double>(exact)).epsilon(1e-16));
  for (const std::size_t group : {2U, 3U, 7U, 64U, 1000U}) {
    CAPTURE(group);
    Accumulator all;
    for (std::size_t first = 0; first < x.size(); first += group) {
      Accumulator one;
      for (std::size_t i = first; i < std::min(first + group, x.size()); ++i) {
        one += part(x[i]);
      }
      all += one;
    }
    CHECK(all.total() == sequential.total());
    CHECK(all.count == sequential.count);
  }
}

TEST_CASE("joining in the other order gives the same total") {
  const std::vector<double> x = terms(512);
  Accumulator forwards;
  Accumulator backwards;
  for (std::size_t i = 0; i < x.size(); ++i) {
    forwards += part(x[i]);
    backwards += part(x[x.size() - 1 - i]);
  }
  CHECK(forwards.total() == backwards.total());
}

TEST_CASE("infinity and NaN come through, whatever the carry holds") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  Accumulator a = part(inf);
  a += part(1);
  CHECK(a.compute(Reduction::sum) == inf);
  CHECK(a.compute(Reduction::mean) == inf);
  a += part(-inf);
  CHECK(std::isnan(a.compute(Reduction::sum)));
  Accumulator overflow = part(std::numeric_limits<double>::max());
  overflow += part(std::numeric_limits<double>::max());
  CHECK(overflow.compute(Reduction::sum) == inf);
  Accumulator nan = part(std::numeric_limits<double>::quiet_NaN());
  nan += part(1);
  CHECK(std::isnan(nan.compute(Reduction::mean)));
}

TEST_CASE("a mean over a weight of zero is NaN") {
  CHECK(std::isnan(part(0, 0).compute(Reduction::mean)));
  CHECK(std::isnan(part(1, 0).compute(Reduction::mean)));
  CHECK(part(1, 0).compute(Reduction::sum) == 1);
}

TEST_CASE("the lowest bad position wins, in every order of joining") {
  std::vector<Accumulator> parts = {bad_at(40, 0, 1), bad_at(7, 1, 2), part(1), bad_at(7, 0, 3), bad_at(99, 0, 4)};
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  do {
    Accumulator all;
    for (const std::size_t i : order) {
      all += parts[i];
    }
    REQUIRE(all.bad.index == 7);
    REQUIRE(all.bad.operand == 0);
    REQUIRE(all.bad.value == 3);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("position 0 is a position") {
  Accumulator a = bad_at(5, 0, 1);
  a += bad_at(0, 1, 2);
  CHECK(a.bad.index == 0);
  CHECK(a.bad.operand == 1);
  CHECK(a.bad.found());
}
