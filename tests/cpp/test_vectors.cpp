// Losses and distances of vectors from C++: values and gradients of small examples, the same bits whatever runs them, what is
// refused, and powers beside those of long double.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ndloss/ndloss.hpp"

using ndloss::Accumulator;
using ndloss::ArrayView;
using ndloss::CosineEmbeddingLoss;
using ndloss::CosineOfVectors;
using ndloss::Output;
using ndloss::PairwiseDistance;
using ndloss::Reduction;
using ndloss::TripletMarginLoss;

namespace {

template <class T>
std::vector<T> numbers(std::size_t n, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<T> normal(0, 2);
  std::vector<T> result(n);
  for (T& x : result) {
    x = normal(random);
  }
  return result;
}

template <class T>
ArrayView rows(const std::vector<T>& values, std::int64_t features) {
  return {values.data(), {static_cast<std::int64_t>(values.size()) / features, features}};
}

}  // namespace

TEST_CASE("a triplet whose negative is as far as its positive costs the margin's rest") {
  const std::vector<double> anchor = {1, 2};
  const std::vector<double> positive = {1.5, 2};
  const std::vector<double> negative = {1, 3};
  const TripletMarginLoss loss{.margin = 1.0, .eps = 0.0};
  std::vector<double> da(2);
  std::vector<double> dn(2);
  const double value = ndloss::value_and_gradient(loss, {rows(anchor, 2), rows(positive, 2), rows(negative, 2)},
                                                  {Output(da), Output(), Output(dn)});
  CHECK(value == 0.5);
  CHECK(da == std::vector<double>{-1, 1});
  CHECK(dn == std::vector<double>{0, -1});
}

TEST_CASE("cosine embedding pulls 1 and pushes -1") {
  const std::vector<float> one = {1, 0, -1, 1, 0, -1};
  const std::vector<float> other = {0, 1, -1, 0, 1, -1};
  const std::vector<std::int64_t> label = {1, -1};
  std::vector<float> losses(2);
  ndloss::evaluate(CosineEmbeddingLoss{.margin = 0.25}, {rows(one, 3), rows(other, 3)}, label, std::span(losses));
  CHECK(losses[0] == doctest::Approx(0.5));
  CHECK(losses[1] == doctest::Approx(0.25));
  CHECK(ndloss::evaluate(CosineEmbeddingLoss{}, {rows(one, 3), rows(other, 3)}, label) == doctest::Approx(0.5));
}

TEST_CASE("distances of the textbook") {
  const std::vector<double> x = {3, 0, -4};
  const std::vector<double> y = {0, 0, 0};
  const auto distance = [&](double p) {
    return ndloss::evaluate(PairwiseDistance{.p = p, .eps = 0}, {rows(x, 3), rows(y, 3)}, {.reduction = Reduction::sum});
  };
  CHECK(distance(2) == 5);
  CHECK(distance(1) == 7);
  CHECK(distance(0) == 2);
  CHECK(distance(INFINITY) == 4);
  CHECK(distance(-INFINITY) == 0);
  CHECK(distance(3) == doctest::Approx(std::cbrt(91.0)).epsilon(1e-15));
  CHECK(ndloss::evaluate(CosineOfVectors{}, {rows(x, 3), rows(x, 3)}) == doctest::Approx(1));
}

TEST_CASE_TEMPLATE("any number of threads and every level with FMA give the same bits", T, float, double) {
  const std::string before = ndloss::get_isa();
  for (const std::int64_t features : {7, 23, 24, 100, 3000}) {
    const std::size_t n = static_cast<std::size_t>(features * (600'000 / features));
    const std::vector<T> a = numbers<T>(n, 1);
    const std::vector<T> p = numbers<T>(n, 2);
    const std::vector<T> q = numbers<T>(n, 3);
    for (const double order : {1.0, 2.0, 3.0}) {
      const TripletMarginLoss loss{.margin = 3, .p = order, .swap = true};
      std::uint64_t expected = 0;
      for (const std::string& isa : ndloss::available_isas()) {
        if (isa == "baseline") {
          continue;
        }
        ndloss::set_isa(isa);
        for (const int threads : {1, 3}) {
          const double value =
              ndloss::evaluate(loss, {rows(a, features), rows(p, features), rows(q, features)}, {.threads = threads});
          expected = expected == 0 ? std::bit_cast<std::uint64_t>(value) : expected;
          CHECK(std::bit_cast<std::uint64_t>(value) == expected);
        }
      }
    }
  }
  ndloss::set_isa(before);
}

TEST_CASE_TEMPLATE("rows of vectors count as often as their sample weights say", T, float, double) {
  constexpr std::int64_t features = 5;
  constexpr std::size_t count = 700;  // some tiles
  const auto a = numbers<T>(count * features, 1);
  const auto b = numbers<T>(count * features, 2);
  const auto c = numbers<T>(count * features, 3);
  std::vector<std::int64_t> weights(count);
  for (std::size_t r = 0; r < count; ++r) {
    weights[r] = static_cast<std::int64_t>(r % 4);
  }
  const auto copies = [&](const std::vector<T>& vectors) {
    std::vector<T> result;
    for (std::size_t r = 0; r < count; ++r) {
      for (std::int64_t k = 0; k < weights[r]; ++k) {
        const auto at = vectors.begin() + static_cast<std::ptrdiff_t>(r) * features;
        result.insert(result.end(), at, at + features);
      }
    }
    return result;
  };
  const ArrayView weight(weights);
  const auto a_copies = copies(a);
  const auto b_copies = copies(b);
  const auto c_copies = copies(c);
  const TripletMarginLoss loss{.swap = true};
  std::vector<T> plain(a.size());
  static_cast<void>(ndloss::value_and_gradient(loss, {rows(a, features), rows(b, features), rows(c, features)}, {Output(plain)},
                                               {.reduction = Reduction::sum}));
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    const ndloss::Options options{.reduction = reduction, .threads = 3, .sample_weight = &weight};
    const double expected = ndloss::evaluate(
        loss, {rows(a_copies, features), rows(b_copies, features), rows(c_copies, features)}, {.reduction = reduction});
    CHECK(ndloss::evaluate(loss, {rows(a, features), rows(b, features), rows(c, features)}, options) ==
          doctest::Approx(expected).epsilon(1e-12));
    std::vector<T> gradient(a.size());
    CHECK(ndloss::value_and_gradient(loss, {rows(a, features), rows(b, features), rows(c, features)}, {Output(gradient)},
                                     options) == doctest::Approx(expected).epsilon(1e-12));
    const double divisor = reduction == Reduction::mean ? static_cast<double>(a_copies.size() / features) : 1.0;
    for (const std::size_t r : {0U, 1U, 2U, 3U, 699U}) {
      CHECK(
          static_cast<double>(gradient[r * features]) ==
          doctest::Approx(static_cast<double>(plain[r * features]) * static_cast<double>(weights[r]) / divisor).epsilon(1e-6));
    }
  }
  std::vector<T> each(count);
  std::vector<T> weighed(count);
  const CosineEmbeddingLoss embedding{.margin = 0.1};
  const std::vector<std::int8_t> labels(count, 1);
  ndloss::evaluate(embedding, {rows(a, features), rows(b, features)}, labels, std::span{each});
  ndloss::evaluate(embedding, {rows(a, features), rows(b, features)}, labels, std::span{weighed}, {.sample_weight = &weight});
  CHECK(weighed[4] == T(0));
  CHECK(static_cast<double>(weighed[7]) == doctest::Approx(3 * static_cast<double>(each[7])).epsilon(1e-6));
  const ArrayView wrong(std::span<const std::int64_t>(weights).first(3));
  CHECK_THROWS_AS(static_cast<void>(
                      ndloss::evaluate(PairwiseDistance{}, {rows(a, features), rows(b, features)}, {.sample_weight = &wrong})),
                  std::invalid_argument);
  CHECK_THROWS_AS(
      static_cast<void>(ndloss::evaluate(PairwiseDistance{}, {rows(a, features), rows(b, features)}, {.weight = &weight})),
      std::invalid_argument);
}

TEST_CASE("shapes that do not fit are refused") {
  const std::vector<float> six(6);
  const std::vector<float> four(4);
  std::vector<float> out(1);
  const TripletMarginLoss triplet;
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(triplet, {rows(six, 3), rows(six, 3)})), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(triplet, {rows(six, 3), rows(six, 3), rows(four, 2)})),
                  std::invalid_argument);
  CHECK_THROWS_AS(
      static_cast<void>(ndloss::evaluate(TripletMarginLoss{.margin = 0}, {rows(six, 3), rows(six, 3), rows(six, 3)})),
      std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(CosineEmbeddingLoss{}, {rows(six, 3), rows(six, 3)}, four)),
                  std::invalid_argument);
  CHECK_THROWS_AS(ndloss::evaluate(PairwiseDistance{}, {rows(six, 3), rows(six, 3)}, std::span(out)), std::invalid_argument);
  CHECK_THROWS_AS(ndloss::value_and_gradient(PairwiseDistance{}, {rows(six, 3), rows(six, 3)}, {Output(out)}),
                  std::invalid_argument);
}

TEST_CASE("nothing has a mean of NaN and a sum of 0") {
  const std::vector<float> none;
  const ArrayView view(none.data(), {0, 3});
  CHECK(std::isnan(ndloss::evaluate(TripletMarginLoss{}, {view, view, view})));
  CHECK(ndloss::evaluate(TripletMarginLoss{}, {view, view, view}, {.reduction = Reduction::sum}) == 0);
}

TEST_CASE("powers and roots are within 2.5 units in the last place") {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> exponents(-8, 8);
  std::uniform_real_distribution<double> logs(-40, 40);
  double worst = 0;
  for (int i = 0; i < 200'000; ++i) {
    const double x = std::exp2(logs(random));
    const double drawn = exponents(random);
    const double p = std::abs(drawn) < 0.125 ? 0.125 : drawn;
    for (const auto& [found, exact] : {std::pair{ndloss::math::power(x, p), std::pow(static_cast<long double>(x), p)},
                                       std::pair{ndloss::math::root(x, p), std::pow(static_cast<long double>(x), 1.0L / p)}}) {
      if (std::isfinite(found) && found > std::numeric_limits<double>::min()) {
        const double unit = std::nextafter(found, INFINITY) - found;
        worst = std::max(worst, static_cast<double>(std::abs((found - exact) / unit)));
      }
    }
  }
  CAPTURE(worst);
  CHECK(worst <= 2.5);
  CHECK(ndloss::math::power(0.0, 2.5) == 0);
  CHECK(ndloss::math::power(0.0, -2.5) == INFINITY);
  CHECK(ndloss::math::power(INFINITY, 2.5) == INFINITY);
  CHECK(ndloss::math::power(INFINITY, -2.5) == 0);
  CHECK(std::isnan(ndloss::math::power(NAN, 2.5)));
  CHECK(ndloss::math::root(0.0, 3.0) == 0);
}
